"""Credentials as a client holds them, and the file in which an authority's word travels.

Source: services.md, "Policy"; docs/adr/0021-credentials.md.

    -----BEGIN MAFTIA AUTHORIZATION-----
    lafY2VnFrOmRuczp3d3cuZXhhbXBsZS5vcmfEIG…
    -----END MAFTIA AUTHORIZATION-----

The file is no secret: it is good for the holder of the one key that it names, and for
the cluster whose authority signed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from maftia.client.keys import SubjectKey
from maftia.client.names import ascii_name
from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError
from maftia.core.files import der_of_pem, pem_of_der
from maftia.core.hashing import DIGEST_SIZE_BYTES
from maftia.core.identifiers import Domain
from maftia.core.limits import AUTHORIZATION_SIZE_BYTES_MAX, SIGNATURE_SIZE_BYTES_MAX, TIME_MS_MAX
from maftia.core.names import match_key, normalise_names
from maftia.core.signing import SigningKey
from maftia.core.spki import SIGNATURE as FOR_SIGNATURE
from maftia.core.spki import UnsupportedKeyError, key_digest, parse_spki, verify_by_key
from maftia.dca.requests import Authorization, Request, authorization_string

LABEL = "MAFTIA AUTHORIZATION"


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """A certificate of the DCA as a credential: its serial, and the key that proves who holds it."""

    serial: bytes
    key: SubjectKey


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown with a request so that the policy lets it in; servers choose the first that is good."""

    tokens: tuple[SigningKey, ...] = field(default=(), repr=False)
    """keys that tokens seed (`core.policy.token_key`)"""
    authorizations: tuple[Authorization, ...] = ()
    certificates: tuple[HeldCertificate, ...] = ()


NO_CREDENTIALS = Credentials()


def authorize(
    domain: Domain, authority: SubjectKey, names: Iterable[str], key_spki: bytes, until_ms: int
) -> Authorization:
    """An authority's word that a key may be certified for names, for as long as agreed time is not past `until_ms`.

    Raises FormatError for bad names, key or time, UnsupportedKeyError for a key that is not accepted.
    """
    parse_spki(key_spki)
    if not 0 <= until_ms <= TIME_MS_MAX:
        raise FormatError("an authorization ends between 1970 and 9999")
    allowed, digest = normalise_names(ascii_name(name) for name in names), key_digest(key_spki)
    signature = authority.sign(authorization_string(domain, allowed, digest, until_ms))
    return Authorization(authority.spki, allowed, digest, until_ms, signature)


def render_authorization(authorization: Authorization) -> str:
    """The file of an authorization."""
    return pem_of_der(encode(authorization), LABEL)


def parse_authorization(text: str) -> Authorization:
    """The authorization in a file; whether its signature is good is asked of `misfit`.  Raises FormatError."""
    data = der_of_pem(text, LABEL, AUTHORIZATION_SIZE_BYTES_MAX)
    authorization: Authorization = decode(data, Authorization, AUTHORIZATION_SIZE_BYTES_MAX)
    problem = _problem(authorization)
    if problem:
        raise FormatError(f"not an authorization: {problem}")
    return authorization


def misfit(domain: Domain, authorization: Authorization, request: Request) -> str:
    """Why an authorization cannot be good for a request, whatever the policy says; empty: it may be."""
    string = authorization_string(domain, authorization.names, authorization.key, authorization.until_ms)
    if not verify_by_key(authorization.authority, string, authorization.signature):
        return "the authorization is not for this cluster, or was changed: have the authority make another"
    if authorization.key != key_digest(request.key):
        return "the authorization is for another key"
    allowed = {match_key(name) for name in authorization.names}
    others = [name for name in request.names if match_key(name) not in allowed]
    return f"the authorization does not have the name {others[0]}" if others else ""


def _problem(authorization: Authorization) -> str:
    try:
        is_signer = parse_spki(authorization.authority).serves(FOR_SIGNATURE)
    except (FormatError, UnsupportedKeyError):
        is_signer = False
    if not is_signer:
        return "the authority is no signature key"
    if normalise_names(authorization.names) != authorization.names:
        return "its names are not normalised, sorted and distinct"
    if len(authorization.key) != DIGEST_SIZE_BYTES or not 0 <= authorization.until_ms <= TIME_MS_MAX:
        return "it names no key or no time"
    return "" if len(authorization.signature) <= SIGNATURE_SIZE_BYTES_MAX else "its signature is enormous"
