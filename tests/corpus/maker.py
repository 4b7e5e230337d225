"""Certification requests with anything wrong in them, signed all the same."""

from __future__ import annotations

from maftia.core import der
from maftia.core.certificate import SHA256_WITH_RSA
from maftia.core.csr import BINDING, ECDSA_WITH_SHA256, EXTENSION_REQUEST
from tests.core.keys import private_key, public_key, sign

KEY, OTHER = private_key("ec-p256"), private_key("ec-p256", 2)
SPKI = public_key("ec-p256")
RSA_SHA256 = SHA256_WITH_RSA
EMPTY = der.sequence()
TRUE, FALSE = der.element(der.BOOLEAN, b"\xff"), der.element(der.BOOLEAN, b"\x00")
OIDS = {
    "san": "2.5.29.17",
    "ski": "2.5.29.14",
    "ku": "2.5.29.15",
    "bc": "2.5.29.19",
    "eku": "2.5.29.37",
    "name constraints": "2.5.29.30",
    "policies": "2.5.29.32",
    "tls feature": "1.3.6.1.5.5.7.1.24",
    "poison": "1.3.6.1.4.1.11129.2.4.3",
}


def extension(name: str, value: bytes, critical: bytes = b"") -> bytes:
    return der.sequence(der.object_id(OIDS.get(name, name)), critical, der.element(der.OCTET_STRING, value))


def attribute(oid: bytes, *values: bytes) -> bytes:
    return der.sequence(oid, der.element(der.SET, b"".join(values)))


def dns(name: bytes) -> bytes:
    return der.element(0x82, name)


def san(*names: bytes) -> bytes:
    return extension("san", der.sequence(*(names or (dns(b"www.example.org"),))))


def rdn(oid: str, tag: int, content: bytes) -> bytes:
    return der.element(der.SET, der.sequence(der.object_id(oid), der.element(tag, content)))


def common_name(text: bytes, tag: int = 0x0C) -> bytes:
    return der.sequence(rdn("2.5.4.3", tag, text))


def asks(*extensions: bytes) -> bytes:
    """The extensionRequest attribute."""
    return attribute(EXTENSION_REQUEST, der.sequence(*extensions))


def bound(*fields: bytes) -> bytes:
    return attribute(BINDING, der.sequence(*fields))


def info(*attributes: bytes, subject: bytes = EMPTY, key: bytes = SPKI, version: bytes = der.unsigned(0)) -> bytes:
    return der.sequence(version, subject, key, der.element(0xA0, b"".join(attributes)))


def signed(content: bytes, algorithm: bytes = ECDSA_WITH_SHA256, signer: object = KEY) -> bytes:
    return der.sequence(content, algorithm, der.bits(sign(signer, content)))


def csr(*attributes: bytes, subject: bytes = EMPTY, key: bytes = SPKI, signer: object = KEY) -> bytes:
    """A request with these attributes; none given: one good name."""
    return signed(info(*(attributes or (asks(san()),)), subject=subject, key=key), signer=signer)


def asking(*extensions: bytes) -> bytes:
    """A request that asks for a good name and these extensions."""
    return csr(asks(san(), *extensions))
