"""Hostile certification requests, and the code that each is refused with."""

from __future__ import annotations

from maftia.core import der
from maftia.core.csr import ECDSA_WITH_SHA384, EXTENSION_REQUEST, PURE_ED25519
from maftia.core.errors import Code
from maftia.core.spki import rsa_spki
from tests.core.keys import private_key, public_key, sign
from tests.core.weak_keys import close_primes, roca, small_factor
from tests.corpus import maker
from tests.corpus.keys import COMPRESSED
from tests.corpus.maker import (
    EMPTY,
    FALSE,
    KEY,
    OTHER,
    SPKI,
    TRUE,
    asking,
    asks,
    attribute,
    bound,
    common_name,
    csr,
    dns,
    extension,
    info,
    rdn,
    san,
    signed,
)

GOOD = csr()
_INFO = info(asks(san()))
_UNSTRUCTURED = attribute(der.object_id("1.2.840.113549.1.9.2"), der.element(0x13, b"x"))
_OCTETS = {size: der.element(der.OCTET_STRING, bytes(size)) for size in (16, 31, 32)}
_NAMES_10K = san(*(dns(b"a%d.example" % i) for i in range(10_000)))
_NAMES_101 = san(*(dns(b"a%d.example" % i) for i in range(101)))


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _indefinite(data: bytes) -> bytes:
    """The same element in BER, with an indefinite length."""
    return b"\x30\x80" + der.Reader(data).content(der.SEQUENCE) + b"\x00\x00"


def _long_length(data: bytes) -> bytes:
    """The same element in BER, with one byte of length too many."""
    body = der.Reader(data).content(der.SEQUENCE)
    return b"\x30\x83" + len(body).to_bytes(3, "big") + body


MALFORMED = {
    "nothing": b"",
    "PEM": b"-----BEGIN CERTIFICATE REQUEST-----\n",
    "a megabyte": bytes(1 << 20),
    "cut short": GOOD[:-1],
    "a byte too many": GOOD + b"\x00",
    "two requests": GOOD + GOOD,
    "indefinite length": _indefinite(GOOD),
    "padded length": _long_length(GOOD),
    "indefinite length inside": signed(_indefinite(_INFO)),
    "padded length inside": signed(_long_length(_INFO)),
    "length of 2^31": b"\x30\x84\x80\x00\x00\x00",
    "a thousand sequences in each other": b"\x30\x82\x03\xe8" * 250,
    "version 1": signed(info(asks(san()), version=der.unsigned(1))),
    "version -1": signed(info(asks(san()), version=b"\x02\x01\xff")),
    "version padded": signed(info(asks(san()), version=b"\x02\x02\x00\x00")),
    "no attributes at all": signed(der.sequence(der.unsigned(0), EMPTY, SPKI)),
    "a field after the attributes": signed(der.sequence(der.unsigned(0), EMPTY, SPKI, b"\xa0\x00", der.null())),
    "a field after the signature": der.sequence(_INFO, maker.ECDSA_WITH_SHA256, der.bits(sign(KEY, _INFO)), der.null()),
    "signature with unused bits": der.sequence(_INFO, maker.ECDSA_WITH_SHA256, der.element(3, b"\x01\x02")),
    "an attribute twice": csr(*2 * (asks(san()),)),
    "an attribute twice, unlike": csr(*sorted((asks(san(dns(b"a.example"))), asks(san(dns(b"b.example")))))),
    "attributes out of order": csr(*sorted((asks(san()), _UNSTRUCTURED), reverse=True)),
    "seventeen attributes": csr(*(attribute(der.object_id(f"1.2.3.{i}"), der.null()) for i in range(17))),
    "extensions twice in one attribute": csr(
        attribute(EXTENSION_REQUEST, der.sequence(san()), der.sequence(san(dns(b"b.example"))))
    ),
    "extensions of no value": csr(attribute(EXTENSION_REQUEST)),
    "an extension twice": asking(san()),
    "an extension twice, unlike": asking(san(dns(b"other.example"))),
    "basic constraints twice": asking(extension("bc", EMPTY), extension("bc", der.sequence(TRUE))),
    "thirty-three extensions": asking(*(extension(f"1.2.3.{i}", b"") for i in range(33))),
    "critical FALSE written out": asking(extension("bc", EMPTY, FALSE)),
    "critical as 0x01": asking(extension("bc", EMPTY, der.element(1, b"\x01"))),
    "CA:FALSE written out": asking(extension("bc", der.sequence(FALSE))),
    "CA as 0x01": asking(extension("bc", der.sequence(der.element(1, b"\x01")))),
    "path length without CA": asking(extension("bc", der.sequence(der.unsigned(0)))),
    "negative path length": asking(extension("bc", der.sequence(TRUE, b"\x02\x01\xff"))),
    "bytes after basic constraints": asking(extension("bc", EMPTY + b"\x00")),
    "key usage of no bits": asking(extension("ku", b"\x03\x01\x00")),
    "key usage with trailing zeros": asking(extension("ku", b"\x03\x02\x00\x80")),
    "key usage with padding set": asking(extension("ku", b"\x03\x02\x07\x81")),
    "key usage of 8 bytes": asking(extension("ku", b"\x03\x09\x00" + b"\xff" * 8)),
    "ten thousand names": csr(asks(_NAMES_10K)),
    "a hundred and one names": csr(asks(_NAMES_101)),
    "a hundred and one names of other kinds": csr(asks(san(*101 * (der.element(0x88, b"\x2a"),)))),
    "an empty list of names": csr(asks(san(b"")).replace(san(b""), extension("san", EMPTY))),
    "NUL in a name": csr(asks(san(dns(b"www.example.org\x00.evil.example")))),
    "newline in a name": csr(asks(san(dns(b"www.example.org\n")))),
    "control byte in a name": csr(asks(san(dns(b"www\x1b.example.org")))),
    "UTF-8 in a name": csr(asks(san(dns("bücher.example".encode())))),
    "Latin-1 in a name": csr(asks(san(dns("bücher.example".encode("latin-1"))))),
    "empty name": csr(asks(san(dns(b"")))),
    "empty label": csr(asks(san(dns(b"www..example.org")))),
    "final dot": csr(asks(san(dns(b"www.example.org.")))),
    "label of 64": csr(asks(san(dns(b"a" * 64 + b".example")))),
    "name of 254": csr(asks(san(dns(b"a." * 123 + b"example1")))),
    "bare wildcard": csr(asks(san(dns(b"*")))),
    "wildcard for a whole domain": csr(asks(san(dns(b"*.org")))),
    "wildcard inside": csr(asks(san(dns(b"www.*.example.org")))),
    "partial wildcard": csr(asks(san(dns(b"w*.example.org")))),
    "two wildcards": csr(asks(san(dns(b"*.*.example.org")))),
    "underscore": csr(asks(san(dns(b"_dmarc.example.org")))),
    "an address as host": csr(asks(san(dns(b"192.0.2.7")))),
    "a space": csr(asks(san(dns(b" ")))),
    "the hundredth name is bad": csr(asks(san(*(dns(b"a%d.example" % i) for i in range(99)), dns(b"a b.example")))),
    "address of 3 bytes": csr(asks(san(der.element(0x87, b"\x01\x02\x03")))),
    "address with a mask": csr(asks(san(der.element(0x87, bytes(8))))),
    "IPv4 mapped": csr(asks(san(der.element(0x87, bytes(10) + b"\xff\xff\xc0\x00\x02\x01")))),
    "email without host": csr(asks(san(der.element(0x81, b"alice")))),
    "email with a display name": csr(asks(san(der.element(0x81, b"Alice <alice@example.org>")))),
    "email with two @": csr(asks(san(der.element(0x81, b"a@b@example.org")))),
    "relative URI": csr(asks(san(der.element(0x86, b"/path")))),
    "URI with a user": csr(asks(san(der.element(0x86, b"https://user:pw@example.org/")))),
    "URI with dots": csr(asks(san(der.element(0x86, b"https://example.org/../etc")))),
    "CN of 64 KiB": csr(subject=common_name(b"a" * 65536)),
    "CN of 65": csr(subject=common_name(b"a" * 65)),
    "empty CN": csr(subject=common_name(b"")),
    "NUL in the CN": csr(subject=common_name(b"www.example.org\x00.evil")),
    "newline in the CN": csr(subject=common_name(b"www\n")),
    "CN that is no UTF-8": csr(subject=common_name(b"\xff\xfe")),
    "surrogate in the CN": csr(subject=common_name(b"\xed\xa0\x80")),
    "CN as BMPString": csr(subject=common_name("a".encode("utf-16-be"), 0x1E)),
    "CN as TeletexString": csr(subject=common_name(b"a", 0x14)),
    "CN as INTEGER": csr(subject=common_name(b"\x01", 0x02)),
    "PrintableString with @": csr(subject=common_name(b"a@b", 0x13)),
    "organization of 256": csr(subject=der.sequence(rdn("2.5.4.10", 0x0C, b"a" * 256))),
    "seventeen parts": csr(subject=der.sequence(*17 * (rdn("2.5.4.11", 0x0C, b"a"),))),
    "an empty part": csr(subject=der.sequence(der.element(der.SET, b""))),
    "compressed point": csr(key=COMPRESSED),
    "key with trailing bytes": csr(key=der.sequence(der.Reader(SPKI).content(der.SEQUENCE) + der.null())),
    "binding without digest": csr(bound(_OCTETS[32], der.unsigned(0), _OCTETS[32], _OCTETS[16])),
    "binding of another size": csr(bound(_OCTETS[31], der.unsigned(0), _OCTETS[32], _OCTETS[16], _OCTETS[32])),
    "binding to epoch -1": csr(bound(_OCTETS[32], b"\x02\x01\xff", _OCTETS[32], _OCTETS[16], _OCTETS[32])),
    "binding to epoch 2^40": csr(bound(_OCTETS[32], der.unsigned(1 << 40), _OCTETS[32], _OCTETS[16], _OCTETS[32])),
    "binding and more": csr(bound(_OCTETS[32], der.unsigned(0), _OCTETS[32], _OCTETS[16], _OCTETS[32], der.null())),
}

_SIGNATURE = sign(KEY, _INFO)
_ALGORITHM = maker.ECDSA_WITH_SHA256
_SHA1_RSA = der.sequence(der.object_id("1.2.840.113549.1.1.5"), der.null())
_MD5_RSA = der.sequence(der.object_id("1.2.840.113549.1.1.4"), der.null())
_PSS = der.sequence(der.object_id("1.2.840.113549.1.1.10"), EMPTY)
_RSA_INFO = info(asks(san()), key=public_key("rsa"))
_RSA = private_key("rsa")
_X25519_INFO = info(asks(san()), key=public_key("x25519"))

BAD_SIGNATURE = {
    "signed by another key": csr(signer=OTHER),
    "signature over another name": der.sequence(info(asks(san(dns(b"b.example")))), _ALGORITHM, der.bits(_SIGNATURE)),
    "flipped signature": _flipped(GOOD, len(GOOD) - 1),
    "flipped key": _flipped(GOOD, GOOD.index(b"www.example.org")),
    "empty signature": der.sequence(_INFO, _ALGORITHM, der.bits(b"")),
    "signature of zeros": der.sequence(_INFO, _ALGORITHM, der.bits(der.sequence(der.unsigned(0), der.unsigned(0)))),
    "signature in BER": der.sequence(_INFO, _ALGORITHM, der.bits(_long_length(_SIGNATURE))),
    "signature and a byte": der.sequence(_INFO, _ALGORITHM, der.bits(_SIGNATURE + b"\x00")),
    "named with another hash": der.sequence(_INFO, ECDSA_WITH_SHA384, der.bits(_SIGNATURE)),
    "named as another algorithm": der.sequence(_INFO, PURE_ED25519, der.bits(_SIGNATURE)),
    "an algorithm with parameters": der.sequence(
        _INFO, der.sequence(der.object_id("1.2.840.10045.4.3.2"), der.null()), der.bits(_SIGNATURE)
    ),
    "an unknown algorithm": der.sequence(_INFO, der.sequence(der.object_id("1.2.3.4")), der.bits(_SIGNATURE)),
    "RSA with SHA-1": signed(_RSA_INFO, _SHA1_RSA, _RSA),
    "RSA with MD5": signed(_RSA_INFO, _MD5_RSA, _RSA),
    "RSA-PSS": signed(_RSA_INFO, _PSS, _RSA),
    "RSA, signature of zero": der.sequence(_RSA_INFO, maker.RSA_SHA256, der.bits(bytes(256))),
    "RSA, signature too short": der.sequence(_RSA_INFO, maker.RSA_SHA256, der.bits(sign(_RSA, _RSA_INFO)[1:])),
    "a key that cannot sign": signed(_X25519_INFO),
}

UNSUPPORTED = {
    "RSA-1024": csr(key=rsa_spki(small_factor(65537, 1024), 65537)),
    "RSA with e = 3": csr(key=rsa_spki(small_factor(65537), 3)),
    "RSA with e = 1": csr(key=rsa_spki(small_factor(65537), 1)),
    "RSA with a small factor": csr(key=rsa_spki(small_factor(251), 65537)),
    "RSA with close primes": csr(key=rsa_spki(close_primes(9), 65537)),
    "RSA by a ROCA library": csr(key=rsa_spki(roca(2048), 65537)),
    "DSA": csr(key=der.sequence(der.sequence(der.object_id("1.2.840.10040.4.1")), der.bits(b""))),
}

POLICY = {
    "CA:TRUE": asking(extension("bc", der.sequence(TRUE))),
    "CA:TRUE, critical": asking(extension("bc", der.sequence(TRUE), TRUE)),
    "CA:TRUE with a path length": asking(extension("bc", der.sequence(TRUE, der.unsigned(0)), TRUE)),
    "keyCertSign": asking(extension("ku", b"\x03\x02\x02\x04", TRUE)),
    "keyCertSign among others": asking(extension("ku", b"\x03\x02\x02\xa4", TRUE)),
    "cRLSign": asking(extension("ku", b"\x03\x02\x01\x02")),
    "all key uses": asking(extension("ku", b"\x03\x03\x07\xff\x80")),
    "name constraints, critical": asking(extension("name constraints", EMPTY, TRUE)),
    "policies, critical": asking(extension("policies", EMPTY, TRUE)),
    "an unknown extension, critical": asking(extension("1.2.3.4", b"", TRUE)),
    "poison": asking(extension("poison", der.null(), TRUE)),
    "otherName": csr(asks(san(dns(b"a.example"), der.element(0xA0, der.object_id("1.2.3"))))),
    "directoryName": csr(asks(san(der.element(0xA4, EMPTY)))),
    "registeredID": csr(asks(san(der.element(0x88, b"\x2a")))),
    "only a name of another kind": csr(asks(san(der.element(0xA3, b"")))),
}

CSRS = {
    **{f"csr: {label}": (data, Code.MALFORMED) for label, data in MALFORMED.items()},
    **{f"csr: {label}": (data, Code.BAD_SIGNATURE) for label, data in BAD_SIGNATURE.items()},
    **{f"csr: {label}": (data, Code.UNSUPPORTED_KEY) for label, data in UNSUPPORTED.items()},
    **{f"csr: {label}": (data, Code.POLICY_VIOLATION) for label, data in POLICY.items()},
}
