"""What the client's methods give, and how they fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maftia.client.inclusion import Inclusion
from maftia.core.certificate import CertificateFacts, certificate_facts
from maftia.core.errors import NoQuorumError
from maftia.core.identifiers import PartyId
from maftia.dca.messages import StatusReply, TokenInForce
from maftia.log.checkpoint import LogCheckpoint


class RequestTimeoutError(NoQuorumError):
    """Nothing was to be believed in time.  The request may still take effect: ask again with its rid."""

    def __init__(self, rid: bytes, problems: Mapping[PartyId, str]) -> None:
        said = "; ".join(f"server {server}: {problem}" for server, problem in sorted(problems.items()))
        super().__init__("too few servers answered in time" + (f" ({said})" if said else ""))
        self.rid = rid
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of the DCA, whose signature was verified."""

    der: bytes
    facts: CertificateFacts

    @classmethod
    def of(cls, der: bytes) -> Certificate:
        """The certificate of bytes whose signature was verified."""
        return cls(der, certificate_facts(der))


@dataclass(frozen=True, slots=True)
class Issued:
    """What `issue` and `update` give."""

    certificate: Certificate
    superseded: tuple[bytes, ...]
    """serials that the update removed"""
    rid: bytes
    elapsed_ms: int
    note: str = ""
    """for people: how many were removed, where not all are listed"""
    inclusion: Inclusion | None = None
    """that the log holds it; None where too few servers showed that in time"""


@dataclass(frozen=True, slots=True)
class Revoked:
    """What `revoke` gives: the serials that it removed."""

    serials: tuple[bytes, ...]
    rid: bytes
    elapsed_ms: int
    note: str = ""
    """for people: how many were removed, where not all are listed"""
    inclusion: Inclusion | None = None
    """as of `Issued`"""


@dataclass(frozen=True, slots=True)
class Changed:
    """What `admin` gives: the change is in force for every record after this commit's."""

    rid: bytes
    commit: int
    elapsed_ms: int
    inclusion: Inclusion | None = None
    """as of `Issued`"""


@dataclass(frozen=True, slots=True)
class PolicyFound:
    """The policy in force, as 2t+1 servers state it."""

    commit: int
    """an honest server stated it of this commit or a later one"""
    digest: bytes
    """what a `PolicySet` names as its base"""
    text: str
    tokens: tuple[TokenInForce, ...]
    """ascending by public key; `used` is what an honest server had counted, at least"""


@dataclass(frozen=True, slots=True)
class CertifiedHead:
    """A checkpoint of the log that t+1 servers signed."""

    checkpoint: LogCheckpoint
    note: bytes
    """the same with their signatures, as a file"""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server, as it describes itself; `reply` is None where it was not reached, with the problem."""

    server: PartyId
    address: str
    reply: StatusReply | None
    problem: str
