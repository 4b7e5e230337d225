"""Three kinds of wrong, and the codes that people and programs see.

*Theirs* (bad bytes of a peer or client) is a `Fault` or a `Refusal`, a value that
never leaves the component as an exception.  *Ours* raises.  *Impossible* raises
`InvariantError` and stops the server before it can do harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Why a request was refused: the same word on every server (services.md, Errors)."""

    MALFORMED = "malformed"
    BAD_SIGNATURE = "badSignature"
    UNAUTHORIZED = "unauthorized"
    POLICY_VIOLATION = "policyViolation"
    CONFIRMATION_FAILED = "confirmationFailed"
    UNSUPPORTED_KEY = "unsupportedKey"
    REVOKED_KEY = "revokedKey"
    NAME_TAKEN = "nameTaken"
    NOT_FOUND = "notFound"
    RATE_LIMITED = "rateLimited"
    STALE_REQUEST = "staleRequest"
    DUPLICATE_REQUEST = "duplicateRequest"
    OVERLOADED = "overloaded"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A typed no: the code decides, the detail is for the person who reads it."""

    code: Code
    detail: str = ""


class MaftiaError(Exception):
    """Base of the errors that a caller of the library may want to handle."""


class FormatError(MaftiaError):
    """Bytes from outside do not have the form they must have. The text says what is wrong."""


class RefusedError(MaftiaError):
    """The cluster said no.  `rid` names the request, where there was one."""

    def __init__(self, refusal: Refusal, servers_agreeing: int = 0, rid: bytes = b"") -> None:
        super().__init__(f"{refusal.code}: {refusal.detail}" if refusal.detail else str(refusal.code))
        self.refusal = refusal
        self.servers_agreeing = servers_agreeing
        self.rid = rid


class NoQuorumError(MaftiaError):
    """Too few servers answered in time."""


class CryptoError(MaftiaError):
    """A share, proof or signature does not verify."""


class InvariantError(AssertionError):
    """The impossible happened: stop before harm is done."""


TEXT_LENGTH_MAX = 500
"""what somebody else may have people read"""


def printable(text: str) -> str:
    """Somebody else's text, made fit for a terminal and a log: short, and without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text[:TEXT_LENGTH_MAX])
