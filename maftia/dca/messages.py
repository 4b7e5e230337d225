"""The conversation between a client and one server.

    server: Welcome                        at once, with the challenge nonce
    client: Confirm   → server: Attested or Refused
    client: Ask       → server: Challenge or Refused (encryption keys)
    client: Gather    → server: Attested or Refused, when it has looked (evidence for names)
    client: Submit    → server: Outcome or Refused, when the record has its effect
    client: Watch     → server: Outcome, when (or if) there is one
    client: Query     → server: Listed or Refused, at once
    client: PolicyQuery → server: PolicyReply or Refused, at once
    client: LogHeadQuery, LogFileQuery, LogOfQuery, LogConsistencyQuery
                      → server: LogHead, LogFile, LogOf, LogConsistency or Refused, at once
    client: StatusQuery → server: StatusReply

Every message travels in one frame.  A server answers each in the order it can, not
in the order of arrival: `rid` says which request an answer is for.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from maftia.core.challenge import SEALED_SIZE_BYTES_MAX
from maftia.core.codec import Wire
from maftia.core.limits import (
    GATHERER_LENGTH_MAX,
    LOG_ENTRY_SIZE_BYTES_MAX,
    LOG_PART_SIZE_BYTES_MAX,
    RECORD_SIZE_BYTES_MAX,
    SERVERS_MAX,
    SIGNATURE_SIZE_BYTES_MAX,
)
from maftia.dca.requests import Attestation
from maftia.log.proofs import ConsistencyProof, Hash, InclusionProof, Position
from maftia.log.tiles import BUNDLE_SIZE_BYTES_MAX

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""client id, request digest, cluster id: of SHA-256"""
Rid = Annotated[bytes, Meta(min_length=16, max_length=16)]
RidOrNone = Annotated[bytes, Meta(max_length=16)]
Ed25519Signature = Annotated[bytes, Meta(max_length=64)]
"""one that is shorter does not verify, and is told so"""
Nonce = Annotated[bytes, Meta(max_length=32)]
Word = Annotated[str, Meta(max_length=64)]


class Confirm(Wire, tag="confirm"):
    """Asks for an attestation; the proof answers the nonce of this server's Welcome.

    Of a signature key it is the signature of `challenge_string`; of an encryption key the
    answer to the `Challenge` of that time (`core.challenge`).
    """

    request: Annotated[bytes, Meta(max_length=RECORD_SIZE_BYTES_MAX)]
    signature: Ed25519Signature
    nonce: Nonce
    proof: Annotated[bytes, Meta(max_length=SIGNATURE_SIZE_BYTES_MAX)]
    time_ms: int = 0
    """of the `Challenge` that is answered; 0 where a signature key answers the Welcome"""


class Ask(Wire, tag="ask"):
    """Asks for a challenge to the encryption key of a request."""

    request: Annotated[bytes, Meta(max_length=RECORD_SIZE_BYTES_MAX)]
    signature: Ed25519Signature
    nonce: Nonce
    """of this server's Welcome"""


class Gather(Wire, tag="gather"):
    """Asks for an attestation of the request's names, as one of the policy's gatherers sees them."""

    request: Annotated[bytes, Meta(max_length=RECORD_SIZE_BYTES_MAX)]
    signature: Ed25519Signature
    nonce: Nonce
    """of this server's Welcome"""
    gatherer: Annotated[str, Meta(max_length=GATHERER_LENGTH_MAX)]


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


class PolicyQuery(Wire, tag="policy-query"):
    """Asks for the policy in force at this server's newest commit."""

    rid: Rid
    """of the asker's choice: names the answer"""


class LogHeadQuery(Wire, tag="log-head-query"):
    """Asks for this server's signed log checkpoint."""

    rid: Rid
    size: Position
    """entries, at which a commit ended; 0: the newest"""


class LogFileQuery(Wire, tag="log-file-query"):
    """Asks for a file of the log (`log.tiles`)."""

    rid: Rid
    level: Annotated[int, Meta(ge=0, le=7)]
    index: Position
    width: Annotated[int, Meta(ge=1, le=256)]
    is_bundle: bool
    """the entries of a tile of level 0, instead of its hashes"""
    offset: Annotated[int, Meta(ge=0, le=BUNDLE_SIZE_BYTES_MAX)]
    """where in the file the answer begins, bytes"""


class LogOfQuery(Wire, tag="log-of-query"):
    """Asks where a certificate came and went: the leaves that name its serial."""

    rid: Rid
    serial: Annotated[bytes, Meta(min_length=16, max_length=16)]


class LogConsistencyQuery(Wire, tag="log-consistency-query"):
    """Asks for the proof that a later log begins with an earlier one."""

    rid: Rid
    old_size: Position
    new_size: Position


class StatusQuery(Wire, tag="status"):
    """Asks how the server is."""


LogQuery = LogHeadQuery | LogFileQuery | LogOfQuery | LogConsistencyQuery
ClientMessage = Confirm | Ask | Gather | Submit | Watch | Query | PolicyQuery | LogQuery | StatusQuery


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


class Challenge(Wire, tag="challenge"):
    """A secret nonce for the holder of an encryption key (`core.challenge`)."""

    rid: Rid
    time_ms: int
    """goes back with the answer"""
    sealed: Annotated[bytes, Meta(max_length=SEALED_SIZE_BYTES_MAX)]


class Refused(Wire, tag="refused"):
    """This server alone says no (advice); the client believes t+1 of one code."""

    rid: RidOrNone
    """empty where the message was too broken to hold one"""
    code: Word
    detail: str


class Logged(Wire):
    """An entry of the log, with what shows that it is there."""

    entry: Annotated[bytes, Meta(max_length=LOG_ENTRY_SIZE_BYTES_MAX)]
    proof: InclusionProof
    root: Hash
    """of the log of the proof's size"""
    signature: Ed25519Signature
    """of this server, over the log checkpoint of that size and root without extension lines"""


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
    logged: Logged | None = None
    """the leaf of the record at the size after its commit; None where it has none"""


class Listed(Wire, tag="listed"):
    """The valid certificates that match, as of this server's newest commit; it may lag."""

    rid: Rid
    digest: Id
    """of the request"""
    serials: tuple[bytes, ...]
    """ascending"""
    certificates: tuple[bytes, ...]
    """DER, one for each serial; empty where this server has not got its signature yet"""


class TokenInForce(Wire):
    """A token as the state holds it."""

    public_key: bytes
    uses: int
    """certificates; 0: any number"""
    used: int
    names: tuple[str, ...]


class PolicyReply(Wire, tag="policy"):
    """The policy in force."""

    rid: Rid
    commit: int
    digest: Id
    """what a `change.PolicySet` names as its base; over text and tokens, without their counts"""
    text: str
    """as dealt or set last; its tokens are those of that moment"""
    tokens: tuple[TokenInForce, ...]
    """all there are, ascending by public key"""


class LogHead(Wire, tag="log-head"):
    """A server's log checkpoint, without extension lines."""

    rid: Rid
    size: Position
    root: Hash
    signature: Ed25519Signature


class LogFile(Wire, tag="log-file"):
    """A part of a file of the log; whoever asked checks the whole against a certified root."""

    rid: Rid
    size_bytes: Annotated[int, Meta(ge=0, le=BUNDLE_SIZE_BYTES_MAX)]
    """of the whole file"""
    content: Annotated[bytes, Meta(max_length=LOG_PART_SIZE_BYTES_MAX)]
    """from the offset on; shorter than the most only at the end"""


class LogOf(Wire, tag="log-of"):
    """The leaves that name a serial, in order; empty: none."""

    rid: Rid
    entries: tuple[Logged, ...]


class LogConsistency(Wire, tag="log-consistency"):
    """That the log only grew."""

    rid: Rid
    proof: ConsistencyProof


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


LogReply = LogHead | LogFile | LogOf | LogConsistency
ServerMessage = Welcome | Attested | Challenge | Refused | Outcome | Listed | PolicyReply | LogReply | StatusReply
