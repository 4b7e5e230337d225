"""What a server process is told: its init file, its data folder, where to listen, how to log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maftia.core.address import Address, parse_address
from maftia.core.errors import FormatError, MaftiaError
from maftia.core.init_file import InitFile, init_header, open_init, passphrase_of_file
from maftia.core.limits import INIT_FILE_SIZE_BYTES_MAX, PASSPHRASE_SIZE_BYTES_MAX
from maftia.threshold.material import wrong_shares

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


class ServerStartError(MaftiaError):
    """The server cannot start as it was asked to; the text says what to do."""


@dataclass(frozen=True)
class ServerConfig:
    """All that `maftia.server.process.run` needs."""

    init: InitFile
    init_path: Path
    data_path: Path
    listen: Address
    log_format: str = "text"
    log_level: str = "info"


def load_config(
    init_path: Path,
    data_path: Path,
    *,
    passphrase_file: Path | None = None,
    ask_passphrase: Callable[[], bytes] | None = None,
    listen: str | None = None,
    log_format: str = "text",
    log_level: str = "info",
) -> ServerConfig:
    """Open the init file and check it.  `ask_passphrase` is called where one is needed and no file gives it.

    Raises ServerStartError.
    """
    try:
        init = _open(init_path, passphrase_file, ask_passphrase)
        if wrong := wrong_shares(init):
            raise FormatError(f"its secret shares do not fit the cluster's keys: {', '.join(wrong)}")
        address = init.cluster.servers[init.party].address if listen is None else parse_address(listen)
    except FormatError as error:
        raise ServerStartError(f"{init_path}: {error}") from None
    return ServerConfig(init, init_path, data_path, address, log_format, log_level)


def _open(path: Path, passphrase_file: Path | None, ask_passphrase: Callable[[], bytes] | None) -> InitFile:
    data = _read(path, INIT_FILE_SIZE_BYTES_MAX)
    if not init_header(data).is_sealed:
        return open_init(data, None)
    if passphrase_file is not None:
        return open_init(data, passphrase_of_file(_read(passphrase_file, 2 * PASSPHRASE_SIZE_BYTES_MAX)))
    if ask_passphrase is not None:
        return open_init(data, ask_passphrase())
    raise FormatError("it is sealed, and there is no terminal to ask at: give its passphrase with --passphrase-file")


def _read(path: Path, size_bytes_max: int) -> bytes:
    """At most one byte more than allowed, so that whoever checks the size sees it."""
    try:
        with path.open("rb") as file:
            return file.read(size_bytes_max + 1)
    except OSError as error:
        raise ServerStartError(f"cannot read {path}: {error.strerror}") from None
