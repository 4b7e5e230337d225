"""What keeps a server from starting is said, and changes nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from maftia.server.config import ServerConfig, ServerStartError, load_config
from maftia.server.process import ServerFailedError, run
from maftia.store.data_dir import DataDir, open_data_dir
from maftia.store.journal import HEAD_SIZE_BYTES, START
from tests.canary import Bug, planted
from tests.server.dealt import Folder, dealing, write


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return write(tmp_path, dealing(), 1)


@pytest.fixture
def port() -> Iterator[int]:
    """A port that somebody else listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def config(folder: Folder, port: int | None = None) -> ServerConfig:
    return load_config(folder.init, folder.data, listen=f"127.0.0.1:{port or free_port()}", log_level="error")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def open_data(folder: Folder) -> DataDir:
    """The data of a server that has run."""
    init = dealing().inits[folder.party]
    return open_data_dir(folder.data, folder.init, init.cluster.domain, init.party, os.urandom)


def test_a_port_in_use_is_named_before_the_data_is_touched(folder: Folder, port: int) -> None:
    with pytest.raises(ServerStartError, match=f"cannot listen at 127.0.0.1:{port}.*in use.*running already"):
        run(config(folder, port))
    assert not folder.data.exists()
    assert not folder.init.with_name(folder.init.name + ".started").exists()


def test_libraries_that_encode_certificates_otherwise_are_refused_before_the_data_is_touched(folder: Folder) -> None:
    other = Bug("maftia.core.builder_check:_leaf", "serial_of(bytes(32))", "serial_of(b'x' * 32)")
    with planted(other), pytest.raises(ServerStartError, match=r"exactly the versions of constraints\.txt"):
        run(config(folder))
    assert not folder.data.exists()


def test_data_in_use_is_refused(folder: Folder) -> None:
    opened = open_data(folder)
    with pytest.raises(ServerStartError, match="in use by another process"):
        run(config(folder))
    opened.close()


def test_the_data_of_another_server_is_refused(folder: Folder) -> None:
    open_data(folder).close()
    other = write(folder.path, dealing(), 2)
    other.data.symlink_to(folder.data)
    with pytest.raises(ServerStartError, match="belongs to another server"):
        run(config(other))


def test_the_data_of_another_cluster_is_refused(folder: Folder) -> None:
    open_data(folder).close()
    with pytest.raises(ServerStartError, match="belongs to another server, cluster"):
        run(config(write(folder.path, dealing("another cluster"), 1)))


def test_a_lost_journal_is_called_so(folder: Folder) -> None:
    open_data(folder).close()
    folder.data.rename(folder.path / "elsewhere")
    with pytest.raises(ServerStartError, match="it is lost"):
        run(config(folder))


def test_a_damaged_journal_is_refused(folder: Folder) -> None:
    opened = open_data(folder)
    for record in (b"one", b"two"):
        opened.journal.append([record])
        opened.journal.sync()
    opened.close()
    journal = folder.data / "journal"
    data = bytearray(journal.read_bytes())
    data[START + HEAD_SIZE_BYTES] ^= 1
    journal.write_bytes(data)
    with pytest.raises(ServerStartError, match="damaged at byte"):
        run(config(folder))


def test_a_damaged_state_is_refused(folder: Folder) -> None:
    open_data(folder).close()
    (folder.data / "state.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(ServerStartError, match="cannot use the data folder"):
        run(config(folder))


def test_a_data_folder_that_cannot_be_made_is_named(folder: Folder) -> None:
    folder.data.write_text("a file")
    with pytest.raises(ServerStartError, match="cannot use the data folder"):
        run(config(folder))


def test_what_is_no_wrong_use_is_a_failure_with_its_reason(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_data(folder)
    opened.journal.append([b"a record that this program never writes"])
    opened.journal.sync()
    opened.close()
    with pytest.raises(ServerFailedError, match="unknown kind"):
        run(config(folder))
    assert "the server must stop" in capsys.readouterr().err
