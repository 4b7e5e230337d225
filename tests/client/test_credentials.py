"""An authority's word: what it is bound to, and its file."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from maftia.client.credentials import (
    LABEL,
    Credentials,
    HeldCertificate,
    authorize,
    misfit,
    parse_authorization,
    render_authorization,
)
from maftia.client.keys import EncryptionKey, SubjectKey
from maftia.core.codec import encode
from maftia.core.errors import FormatError
from maftia.core.files import pem_of_der
from maftia.core.identifiers import Domain
from maftia.core.limits import AUTHORIZATION_SIZE_BYTES_MAX, NAMES_MAX, TIME_MS_MAX
from maftia.core.signing import SigningKey
from maftia.core.spki import UnsupportedKeyError, key_digest, verify_by_key
from maftia.dca.requests import Authorization, authorization_string
from tests.client.authority import COMPOSER, NOW_S, key, rid
from tests.replica.fakes import DOMAIN

AUTHORITY = SubjectKey(ec.derive_private_key(99, ec.SECP256R1()))
UNTIL_MS = NOW_S * 1000
NAMES = ("dns:a.example.org", "dns:www.example.org")


def word(*names: str, spki: bytes = b"", until_ms: int = UNTIL_MS) -> Authorization:
    return authorize(DOMAIN, AUTHORITY, names or NAMES, spki or key().spki, until_ms)


def test_an_authorization_is_signed_over_cluster_key_names_and_time() -> None:
    one = word("dns:www.EXAMPLE.org", "dns:a.example.org", "dns:a.example.org")
    assert (one.authority, one.names, one.key, one.until_ms) == (
        AUTHORITY.spki,
        NAMES,
        key_digest(key().spki),
        UNTIL_MS,
    )
    string = authorization_string(DOMAIN, NAMES, one.key, UNTIL_MS)
    assert verify_by_key(AUTHORITY.spki, string, one.signature)


def test_names_with_other_letters_are_converted() -> None:
    assert word("dns:bücher.example").names == ("dns:xn--bcher-kva.example",)


def test_what_cannot_be_authorized_is_told() -> None:
    with pytest.raises(FormatError):
        word("www.example.org")
    with pytest.raises(FormatError):
        authorize(DOMAIN, AUTHORITY, (), key().spki, UNTIL_MS)
    with pytest.raises(FormatError):
        word(spki=b"no key")
    with pytest.raises(UnsupportedKeyError):
        word(spki=SubjectKey(ec.derive_private_key(5, ec.SECP521R1())).spki)
    for until_ms in (-1, TIME_MS_MAX + 1):
        with pytest.raises(FormatError, match="ends between"):
            word(until_ms=until_ms)


# --- its file


def test_the_file_begins_and_ends_with_lines_and_gives_the_same_back() -> None:
    given = word()
    text = render_authorization(given)
    assert text.startswith(f"-----BEGIN {LABEL}-----\n")
    assert text.endswith(f"-----END {LABEL}-----\n")
    assert text.isascii()
    assert parse_authorization(text) == given


def test_any_other_form_of_the_file_is_refused() -> None:
    text = render_authorization(word())
    for other in (
        "",
        text + "\n",
        "comment\n" + text,
        text.replace("\n", "\r\n"),
        text.replace(LABEL, "CERTIFICATE"),
        text[:-30],
        text.replace("\n", "", 3),
        text.lower(),
        text + text,
    ):
        with pytest.raises(FormatError):
            parse_authorization(other)


@pytest.mark.parametrize(
    "change",
    [
        {"authority": b"no key"},
        {"authority": EncryptionKey(x25519.X25519PrivateKey.from_private_bytes(b"x" * 32)).spki},
        {"names": ()},
        {"names": tuple(reversed(NAMES))},
        {"names": ("dns:WWW.example.org",)},
        {"names": tuple(f"dns:h{i:03}.example.org" for i in range(NAMES_MAX + 1))},
        {"key": b"\x01" * 31},
        {"until_ms": -1},
        {"until_ms": TIME_MS_MAX + 1},
        {"signature": b"s" * 2000},
    ],
)
def test_what_no_server_would_read_is_no_authorization(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(word(), **change)
    with pytest.raises(FormatError):
        parse_authorization(pem_of_der(encode(changed), LABEL))


def test_the_file_is_bounded_and_canonical() -> None:
    data = encode(word())
    with pytest.raises(FormatError):
        parse_authorization(pem_of_der(data + b"\x00", LABEL))
    with pytest.raises(FormatError):
        parse_authorization(pem_of_der(bytes(AUTHORIZATION_SIZE_BYTES_MAX + 1), LABEL))


# --- whom it fits


def misfit_of(one: Authorization, *names: str, seed: int = 1, domain: Domain = DOMAIN) -> str:
    signed = COMPOSER.issue(rid(), key(seed).spki, names or NAMES, "server")
    return misfit(domain, one, signed.request)


def test_it_fits_the_key_and_any_of_its_names() -> None:
    assert misfit_of(word()) == ""
    assert misfit_of(word(), "dns:a.example.org") == ""
    assert misfit_of(word("dn:CN=Alice", "dns:a.example.org"), "dn:CN=ALICE") == ""


def test_it_fits_no_other_key_name_or_cluster_and_says_why() -> None:
    assert "another key" in misfit_of(word(), seed=2)
    assert "does not have the name dns:b.example.org" in misfit_of(word(), "dns:a.example.org", "dns:b.example.org")
    for domain in (Domain(b"\x08" * 32, 0), Domain(DOMAIN.cluster, 1)):
        assert "not for this cluster" in misfit_of(word(), domain=domain)


@pytest.mark.parametrize(
    "change",
    [
        {"until_ms": UNTIL_MS + 1},
        {"names": (*NAMES, "dns:z.example.org")},
        {"key": key_digest(key(2).spki)},
        {"authority": key(3).spki},
        {"signature": b""},
    ],
)
def test_whatever_is_changed_in_it_the_signature_tells(change: dict[str, object]) -> None:
    assert "was changed" in misfit_of(msgspec.structs.replace(word(), **change), seed=2)


def test_no_token_is_in_the_text_of_credentials() -> None:
    seed = b"\x77" * 32
    held = Credentials(tokens=(SigningKey(seed),), certificates=(HeldCertificate(b"s" * 16, AUTHORITY),))
    for secret in (seed.hex(), repr(seed), SigningKey(seed).public.hex()):
        assert secret not in repr(held)
