"""The form of a request: what can be judged from its bytes and the deployment alone.

Source: services.md, "Identifiers", "Requests", "Modes".

The verdict goes into the replicated state, detail and all, so every text here is part
of the rules: it is ours, constant, and the same on every server.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.codec import decode
from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.identifiers import Domain
from maftia.core.limits import RECORD_SIZE_BYTES_MAX
from maftia.core.names import match_key, normalise_names
from maftia.core.signing import PUBLIC_KEY_SIZE_BYTES
from maftia.core.spki import PURPOSES, PublicKeyFacts, UnsupportedKeyError, parse_spki
from maftia.dca.change import read_change
from maftia.dca.evidence import Subject
from maftia.dca.index import SERIAL_SIZE_BYTES
from maftia.dca.requests import (
    ADMIN,
    ISSUE,
    REQUEST_VERSION,
    RETRIEVE,
    REVOKE,
    UPDATE,
    Request,
    client_id,
    request_digest,
)
from maftia.dca.rid import rid_time_ms

KINDS = (ISSUE, UPDATE, REVOKE, RETRIEVE, ADMIN)
KEY_COMPROMISE = "keyCompromise"
REASONS = (
    "unspecified",
    KEY_COMPROMISE,
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
"""of RFC 5280, those that a holder can state of an end-entity certificate for good"""


@dataclass(frozen=True, slots=True)
class Case:
    """A well-formed request, read."""

    request: Request
    subject: Subject
    key: PublicKeyFacts | None
    """of the request's key, where it names one"""
    identifiers: frozenset[str]
    """its names in the form in which they are compared"""

    @property
    def client(self) -> bytes:
        """The client id."""
        return self.subject.client


def read_request(data: bytes) -> Request:
    """The request of bytes that can be attributed to a client and a rid; raises FormatError.

    Everything else about it is judged by `read_case`, and can be answered.
    """
    request: Request = decode(data, Request, RECORD_SIZE_BYTES_MAX)
    if len(request.client) != PUBLIC_KEY_SIZE_BYTES:
        raise FormatError("a client is an Ed25519 public key of 32 bytes")
    rid_time_ms(request.rid)
    return request


def rid_of_request(data: bytes) -> bytes:
    """The rid of a request that is refused, so that its client knows which; empty if it holds none."""
    try:
        return read_request(data).rid
    except FormatError:
        return b""


def subject_of(request: Request, data: bytes) -> Subject:
    """What evidence for an encoded request is bound to."""
    return Subject(client_id(request.client), request.rid, request_digest(data))


def read_case(domain: Domain, mode: str, request: Request, subject: Subject) -> Case | Refusal:
    """The case of a request, or what is wrong with its form."""
    problem = _header_problem(domain, request) or _fields_problem(mode, request)
    if problem:
        return Refusal(Code.MALFORMED, problem)
    if not _are_normalised(request.names):
        return Refusal(Code.MALFORMED, "the names are not distinct, sorted, normalised typed identifiers")
    key = _key_facts(request)
    if isinstance(key, Refusal):
        return key
    return Case(request, subject, key, identifiers_of(request.names))


def identifiers_of(names: tuple[str, ...]) -> frozenset[str]:
    """Names in the form in which they are compared."""
    return frozenset(match_key(name) for name in names)


def _header_problem(domain: Domain, request: Request) -> str:
    if request.version != REQUEST_VERSION:
        return "this version of requests is not known"
    if (request.cluster, request.epoch) != (domain.cluster, domain.epoch):
        return "the request is for another cluster or epoch"
    if request.kind not in KINDS:
        return "a request is issue, update, revoke, retrieve or admin"
    return ""


def _fields_problem(mode: str, request: Request) -> str:
    if request.kind == ADMIN:
        return _change_problem(request)
    if request.change:
        return "a change belongs to admin"
    if request.kind in {ISSUE, UPDATE}:
        return _binding_problem(request)
    if request.profile or request.purpose not in {"", *PURPOSES}:
        return "a profile belongs to issue and update, a purpose to a key"
    if request.kind == REVOKE:
        return _revocation_problem(mode, request)
    if request.serial or request.reason:
        return "serial and reason belong to revoke"
    return "" if request.key or request.names else "retrieve names a key, a name or both"


def _binding_problem(request: Request) -> str:
    if not request.key or not request.names or not request.profile:
        return "issue and update need a key, names and a profile"
    if request.serial or request.reason:
        return "serial and reason belong to revoke"
    return "" if request.purpose in PURPOSES else "a key is for signature or for encryption"


def _revocation_problem(mode: str, request: Request) -> str:
    if request.reason not in REASONS:
        return "the reason of a revocation is not one that a holder can give"
    if request.serial:
        return "" if len(request.serial) == SERIAL_SIZE_BYTES else "a serial has 16 bytes"
    if mode == KEY_MAJOR:
        return "" if request.key else "in key-major mode revoke names the key or a serial"
    return "" if request.names else "in name-major mode revoke names the name or a serial"


def _change_problem(request: Request) -> str:
    others = (request.purpose, request.key, request.names, request.profile, request.serial, request.reason)
    if any(others):
        return "an administrators' request holds a change and nothing else"
    try:
        read_change(request.change)
    except FormatError:
        return "the change is none"
    return ""


def _are_normalised(names: tuple[str, ...]) -> bool:
    try:
        return not names or normalise_names(names) == names
    except FormatError:
        return False


def _key_facts(request: Request) -> PublicKeyFacts | Refusal | None:
    if not request.key:
        return None
    try:
        facts = parse_spki(request.key)
    except FormatError:
        return Refusal(Code.MALFORMED, "the key is not the canonical encoding of a public key")
    except UnsupportedKeyError:
        return Refusal(Code.UNSUPPORTED_KEY, "the kind, size or strength of the key is not accepted")
    if request.purpose and not facts.serves(request.purpose):
        return Refusal(Code.UNSUPPORTED_KEY, "a key of this kind does not serve this purpose")
    return facts
