from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from maftia.core import init_file
from maftia.core.codec import encode
from maftia.core.errors import FormatError
from maftia.core.identifiers import Domain, PartyId
from maftia.core.init_file import Header, InitFile, init_header, is_init_file, open_init, passphrase_of_file, seal
from tests.dealing import sample_cluster, seeded_bytes

INIT = sample_cluster().inits[1]
OTHER = sample_cluster().inits[2]
LOG2_N = 4
SEALED = seal(INIT, b"right", seeded_bytes("seal"), log2_n=LOG2_N)
CLEAR = seal(INIT, None, seeded_bytes("clear"))


def rebuilt(data: bytes, header: Header, body: bytes | None = None) -> bytes:
    """The file with another header, its checksum made right again: damage on purpose."""
    _, _, old_body = init_file._split(data)
    encoded = encode(header)
    content = init_file.MAGIC + len(encoded).to_bytes(2, "big") + encoded + (old_body if body is None else body)
    return content + hashlib.sha256(content).digest()


def test_what_was_sealed_opens() -> None:
    assert open_init(SEALED, b"right") == INIT
    assert open_init(CLEAR, None) == INIT
    assert open_init(CLEAR, b"ignored") == INIT


def test_the_header_says_whether_a_passphrase_is_needed() -> None:
    assert init_header(SEALED).is_sealed
    assert not init_header(CLEAR).is_sealed
    assert (init_header(SEALED).party, init_header(SEALED).cluster) == (1, INIT.cluster.cluster_id)
    assert is_init_file(SEALED)
    assert not is_init_file(INIT.cluster_text.encode())


@pytest.mark.parametrize("wrong", [b"wrong", b"right ", b"righ", b"Right"])
def test_a_wrong_passphrase_is_told_from_damage(wrong: bytes) -> None:
    with pytest.raises(FormatError, match="wrong passphrase"):
        open_init(SEALED, wrong)


def test_a_missing_passphrase_is_asked_for() -> None:
    with pytest.raises(FormatError, match="passphrase is needed"):
        open_init(SEALED, None)


@pytest.mark.parametrize("data", [SEALED, CLEAR])
def test_damage_anywhere_is_seen(data: bytes) -> None:
    for position in range(0, len(data), 61):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(FormatError, match=r"not an init file|damaged"):
            open_init(bytes(damaged), b"right")
    for size in range(len(init_file.MAGIC), len(data), 997):
        with pytest.raises(FormatError, match="damaged"):
            open_init(data[:size], b"right")
    with pytest.raises(FormatError, match="damaged"):
        open_init(data + b"\n", b"right")


def test_other_files_are_not_init_files() -> None:
    for data in (b"", b"maftia-init/2\n", INIT.cluster_text.encode()):
        with pytest.raises(FormatError, match="not an init file"):
            open_init(data, None)


@pytest.mark.parametrize(
    "change",
    [{"party": 2}, {"epoch": 1}, {"cluster": bytes(32)}, {"salt": bytes(32)}, {"nonce": bytes(12)}, {"log2_n": 5}],
)
def test_the_header_is_authenticated(change: dict[str, object]) -> None:
    header = init_header(SEALED)
    fields = {name: getattr(header, name) for name in header.__struct_fields__}
    with pytest.raises(FormatError, match="wrong passphrase"):
        open_init(rebuilt(SEALED, Header(**{**fields, **change})), b"right")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 2}, "format 2 is not known"),
        ({"kdf": "argon"}, "makes no sense"),
        ({"cluster": b"short"}, "makes no sense"),
        ({"log2_n": 19}, "more work"),
        ({"log2_n": 2**40}, "more work"),
        ({"log2_n": 0}, "more work"),
        ({"log2_n": -1}, "more work"),
        ({"r": 1 << 20}, "more work"),
        ({"r": 4}, "more work"),
        ({"p": 1 << 20}, "more work"),
        ({"salt": b""}, "more work"),
        ({"nonce": b""}, "more work"),
    ],
)
def test_a_hostile_header_costs_nothing(change: dict[str, object], complaint: str) -> None:
    header = init_header(SEALED)
    fields = {name: getattr(header, name) for name in header.__struct_fields__}
    with pytest.raises(FormatError, match=complaint):
        open_init(rebuilt(SEALED, Header(**{**fields, **change})), b"right")


def test_a_sealed_file_cannot_be_passed_off_as_clear() -> None:
    header = init_header(CLEAR)
    _, _, body = init_file._split(SEALED)
    with pytest.raises(FormatError):
        open_init(rebuilt(CLEAR, header, body), None)


def test_repr_shows_no_secret() -> None:
    shown = repr(INIT)
    assert shown == "InitFile(party=1)"
    for secret in (INIT.signing_seed, INIT.mac_secret, INIT.coin_share):
        assert secret.hex() not in shown
    for secret in (INIT.signing_seed, INIT.mac_secret, INIT.coin_share, INIT.tls_key):
        assert secret not in SEALED
        assert secret in CLEAR


@pytest.mark.parametrize(
    ("init", "complaint"),
    [
        (replace(INIT, party=OTHER.party), "signing key is not that of server 2"),
        (replace(INIT, party=PartyId(4)), "another cluster or server"),
        (replace(INIT, signing_seed=OTHER.signing_seed), "signing key is not that of server 1"),
        (replace(INIT, signing_seed=b"short"), "signing key is unusable"),
        (replace(INIT, tls_key=OTHER.tls_key), "TLS key is not that of server 1"),
        (replace(INIT, tls_key=b"no key"), "TLS key is not that of server 1"),
        (replace(INIT, mac_secret=b""), "MAC secret"),
        (replace(INIT, policy_text=INIT.policy_text + " "), "policy is not the one"),
        (replace(INIT, cluster_text=sample_cluster(seed="1").cluster_text), "signing key is not that of server 1"),
    ],
)
def test_parts_of_different_dealings_do_not_open(init: InitFile, complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        open_init(seal(init, None, seeded_bytes("x")), None)


def test_salt_and_nonce_are_fresh_for_each_file() -> None:
    random_bytes = seeded_bytes("twice")
    first, second = (seal(INIT, b"right", random_bytes, log2_n=LOG2_N) for _ in range(2))
    assert init_header(first).salt != init_header(second).salt
    assert init_header(first).nonce != init_header(second).nonce


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1025])
def test_no_file_is_sealed_with_such_a_passphrase(passphrase: bytes) -> None:
    with pytest.raises(ValueError, match="passphrase"):
        seal(INIT, passphrase, seeded_bytes("x"), log2_n=LOG2_N)


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [(b"a", b"a"), (b"a\n", b"a"), (b"a b \r\n", b"a b "), (b"a\n\n", b"a"), (b"\xff\n", b"\xff")],
)
def test_a_passphrase_file_holds_one_line(data: bytes, passphrase: bytes) -> None:
    assert passphrase_of_file(data) == passphrase


@pytest.mark.parametrize("data", [b"", b"\n", b"\na", b"a\nb", b"x" * 1025])
def test_other_passphrase_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="one line"):
        passphrase_of_file(data)


def test_a_server_starts_only_with_its_own_file() -> None:
    INIT.require_server(INIT.cluster.domain, PartyId(1))
    with pytest.raises(FormatError, match="for server 1, but server 2"):
        INIT.require_server(INIT.cluster.domain, PartyId(2))
    with pytest.raises(FormatError, match="of cluster"):
        INIT.require_server(Domain(bytes(32), 0), PartyId(1))
    with pytest.raises(FormatError, match="epoch 0, but epoch 1"):
        INIT.require_server(Domain(INIT.cluster.cluster_id, 1), PartyId(1))


def test_the_default_cost_is_the_one_stated() -> None:
    header = init_header(seal(INIT, b"x", seeded_bytes("cost")))
    assert (header.log2_n, header.r, header.p) == (15, 8, 3)
