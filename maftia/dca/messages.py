"""The conversation between a client and one server.

    server: Welcome                        at once, with the challenge nonce
    client: Confirm   → server: Attested or Refused
    client: Submit    → server: Outcome or Refused, when the record has its effect
    client: Watch     → server: Outcome, when (or if) there is one
    client: Query     → server: Listed or Refused, at once
    client: StatusQuery → server: StatusReply

Every message travels in one frame.  A server answers each in the order it can, not
in the order of arrival: `rid` says which request an answer is for.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from maftia.core.codec import Wire
from maftia.core.limits import RECORD_SIZE_BYTES_MAX, SERVERS_MAX, SIGNATURE_SIZE_BYTES_MAX
from maftia.dca.requests import Attestation

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""client id, request digest, cluster id: of SHA-256"""
Rid = Annotated[bytes, Meta(min_length=16, max_length=16)]
RidOrNone = Annotated[bytes, Meta(max_length=16)]
Ed25519Signature = Annotated[bytes, Meta(max_length=64)]
"""one that is shorter does not verify, and is told so"""
Nonce = Annotated[bytes, Meta(max_length=32)]
Word = Annotated[str, Meta(max_length=64)]


class Confirm(Wire, tag="confirm"):
    """Asks for an attestation; the proof answers the nonce of this server's Welcome."""

    request: Annotated[bytes, Meta(max_length=RECORD_SIZE_BYTES_MAX)]
    signature: Ed25519Signature
    nonce: Nonce
    proof: Annotated[bytes, Meta(max_length=SIGNATURE_SIZE_BYTES_MAX)]


class Submit(Wire, tag="submit"):
    """Submits a record (encoded `Record`) to be ordered, and watches its request."""

    record: bytes


class Watch(Wire, tag="watch"):
    """Asks for the outcome of a request that was submitted elsewhere."""

    client: Id
    rid: Rid
    digest: Id


class Query(Wire, tag="query"):
    """Asks what the newest commit of this server lists: a retrieve that nobody orders or signs."""

    request: Annotated[bytes, Meta(max_length=RECORD_SIZE_BYTES_MAX)]
    """encoded `Request` of kind retrieve"""


class StatusQuery(Wire, tag="status"):
    """Asks how the server is."""


ClientMessage = Confirm | Submit | Watch | Query | StatusQuery


class Welcome(Wire, tag="welcome"):
    """First words of a server to a client."""

    version: Word
    cluster: Id
    epoch: int
    server: int
    nonce: Nonce


class Attested(Wire, tag="attested"):
    """What this server is ready to vouch for."""

    rid: Rid
    attestation: Attestation


class Refused(Wire, tag="refused"):
    """This server alone says no (advice); the client believes t+1 of one code."""

    rid: RidOrNone
    """empty where the message was too broken to hold one"""
    code: Word
    detail: str


class Outcome(Wire, tag="outcome"):
    """What the ordered record came to."""

    client: Id
    """client id"""
    rid: Rid
    digest: Id
    answer: bytes
    """encoded `Answer`"""
    certificates: tuple[bytes, ...]
    """DER: the new one (issue, update) or those found (retrieve)"""


class Listed(Wire, tag="listed"):
    """The valid certificates that match, as of this server's newest commit; it may lag."""

    rid: Rid
    digest: Id
    """of the request"""
    serials: tuple[bytes, ...]
    """ascending"""
    certificates: tuple[bytes, ...]
    """DER, one for each serial; empty where this server has not got its signature yet"""


class StatusReply(Wire, tag="status-reply"):
    """State of one server, as `maftia status` shows it."""

    server: int
    state: Word
    version: Word
    round: int
    commit: int
    state_digest: Id
    log_size: int
    peers: Annotated[tuple[int, ...], Meta(max_length=SERVERS_MAX)]
    """ids of the peers it is connected with"""


ServerMessage = Welcome | Attested | Refused | Outcome | Listed | StatusReply
