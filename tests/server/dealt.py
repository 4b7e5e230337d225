"""A dealt cluster on free ports of this machine, in files, as operators get it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dealer.deal import Dealing, DealSpec, deal
from maftia.core.address import Address
from maftia.core.init_file import seal
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums
from tests.dealing import DEALT_AT_MS, fixed_primes, seeded_bytes

PASSPHRASE = b"correct horse"
SERVERS = 4


@cache
def dealing(seed: str = "server", ports: tuple[int, ...] = (7400, 7401, 7402, 7403)) -> Dealing:
    spec = DealSpec(
        quorums=Quorums.of(SERVERS),
        addresses=tuple(Address("127.0.0.1", port) for port in ports),
        policy_text=DEFAULT_POLICY_TOML,
        dealt_at_ms=DEALT_AT_MS,
    )
    return deal(spec, fixed_primes(2048), seeded_bytes(seed))


@dataclass
class Folder:
    """Where the files of one server are."""

    path: Path
    party: int

    @property
    def init(self) -> Path:
        return self.path / f"server-{self.party}.init"

    @property
    def data(self) -> Path:
        return self.path / f"data-{self.party}"

    @property
    def passphrase_file(self) -> Path:
        return self.path / "passphrase"


def write(path: Path, dealt: Dealing, party: int, passphrase: bytes | None = None) -> Folder:
    """Write a server's init file."""
    folder = Folder(path, party)
    folder.init.write_bytes(seal(dealt.inits[party], passphrase, seeded_bytes("seal"), log2_n=4))
    folder.passphrase_file.write_bytes(PASSPHRASE + b"\n")
    return folder
