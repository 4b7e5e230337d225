"""What an operator gets wrong is said before anything is touched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from maftia.core.init_file import seal
from maftia.server.config import ServerStartError, load_config
from tests.dealing import seeded_bytes
from tests.server.dealt import PASSPHRASE, Folder, dealing, write


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return write(tmp_path, dealing(), 1)


@pytest.fixture
def sealed(tmp_path: Path) -> Folder:
    return write(tmp_path, dealing(), 1, PASSPHRASE)


def test_the_cluster_file_says_where_to_listen_unless_told_otherwise(folder: Folder) -> None:
    assert str(load_config(folder.init, folder.data).listen) == "127.0.0.1:7401"
    assert str(load_config(folder.init, folder.data, listen="[::1]:99").listen) == "[::1]:99"


def test_a_sealed_file_opens_with_the_passphrase_of_file_or_person(sealed: Folder) -> None:
    from_file = load_config(sealed.init, sealed.data, passphrase_file=sealed.passphrase_file)
    asked = load_config(sealed.init, sealed.data, ask_passphrase=lambda: PASSPHRASE)
    assert from_file.init == asked.init == dealing().inits[1]


def test_an_open_file_asks_for_nothing(folder: Folder) -> None:
    assert load_config(folder.init, folder.data, ask_passphrase=lambda: pytest.fail("asked")).init.party == 1


def test_without_passphrase_it_says_how_to_give_one(sealed: Folder) -> None:
    with pytest.raises(ServerStartError, match="--passphrase-file"):
        load_config(sealed.init, sealed.data)


def test_a_wrong_passphrase_is_called_so(sealed: Folder) -> None:
    with pytest.raises(ServerStartError, match="wrong passphrase"):
        load_config(sealed.init, sealed.data, ask_passphrase=lambda: b"wrong")


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"x" * 5000])
def test_a_passphrase_file_that_is_none_is_refused(sealed: Folder, content: bytes) -> None:
    sealed.passphrase_file.write_bytes(content)
    with pytest.raises(ServerStartError, match="passphrase file"):
        load_config(sealed.init, sealed.data, passphrase_file=sealed.passphrase_file)


def test_a_missing_file_is_named(folder: Folder) -> None:
    with pytest.raises(ServerStartError, match=r"cannot read .*nowhere: No such file"):
        load_config(folder.path / "nowhere", folder.data)
    with pytest.raises(ServerStartError, match=r"cannot read .*: Is a directory"):
        load_config(folder.path, folder.data)


def test_a_damaged_file_is_called_so(folder: Folder) -> None:
    data = bytearray(folder.init.read_bytes())
    data[len(data) // 2] ^= 1
    folder.init.write_bytes(data)
    with pytest.raises(ServerStartError, match="damaged"):
        load_config(folder.init, folder.data)


def test_another_kind_of_file_is_called_so(folder: Folder) -> None:
    with pytest.raises(ServerStartError, match="not an init file"):
        load_config(folder.passphrase_file, folder.data)


def test_shares_that_do_not_fit_the_keys_are_found_at_once(folder: Folder) -> None:
    mine, other = dealing().inits[1], dealing().inits[2]
    mixed = dataclasses.replace(mine, dca_share=other.dca_share)
    folder.init.write_bytes(seal(mixed, None, seeded_bytes("mixed")))
    with pytest.raises(ServerStartError, match="do not fit the cluster's keys: dca"):
        load_config(folder.init, folder.data)


@pytest.mark.parametrize("listen", ["", "host", "host:0", "host:70000", ":80", "a b:80"])
def test_an_address_that_is_none_is_refused(folder: Folder, listen: str) -> None:
    with pytest.raises(ServerStartError):
        load_config(folder.init, folder.data, listen=listen)


def test_nothing_was_touched(folder: Folder) -> None:
    load_config(folder.init, folder.data)
    assert not folder.data.exists()
    assert "seed" not in repr(load_config(folder.init, folder.data))
