"""The conversation between a client and one server.

    server: Welcome                        at once, with the challenge nonce
    client: Confirm   → server: Attested or Refused
    client: Submit    → server: Outcome or Refused, when the record has its effect
    client: Watch     → server: Outcome, when (or if) there is one
    client: StatusQuery → server: StatusReply

Every message travels in one frame.  A server answers each in the order it can, not
in the order of arrival: `rid` says which request an answer is for.
"""

from __future__ import annotations

from maftia.core.codec import Wire
from maftia.dca.requests import Attestation


class Confirm(Wire, tag="confirm"):
    """Asks for an attestation; the proof answers the nonce of this server's Welcome."""

    request: bytes
    signature: bytes
    nonce: bytes
    proof: bytes


class Submit(Wire, tag="submit"):
    """Submits a record (encoded `Record`) to be ordered, and watches its request."""

    record: bytes


class Watch(Wire, tag="watch"):
    """Asks for the outcome of a request that was submitted elsewhere."""

    client: bytes
    rid: bytes
    digest: bytes


class StatusQuery(Wire, tag="status"):
    """Asks how the server is."""


ClientMessage = Confirm | Submit | Watch | StatusQuery


class Welcome(Wire, tag="welcome"):
    """First words of a server to a client."""

    version: str
    cluster: bytes
    epoch: int
    server: int
    nonce: bytes


class Attested(Wire, tag="attested"):
    """What this server is ready to vouch for."""

    rid: bytes
    attestation: Attestation


class Refused(Wire, tag="refused"):
    """This server alone says no (advice); the client believes t+1 of one code."""

    rid: bytes
    """empty where the message was too broken to hold one"""
    code: str
    detail: str


class Outcome(Wire, tag="outcome"):
    """What the ordered record came to."""

    client: bytes
    """client id"""
    rid: bytes
    digest: bytes
    answer: bytes
    """encoded `Answer`"""
    certificates: tuple[bytes, ...]
    """DER: the new one (issue, update) or those found (retrieve)"""


class StatusReply(Wire, tag="status-reply"):
    """State of one server, as `maftia status` shows it."""

    server: int
    state: str
    version: str
    round: int
    commit: int
    state_digest: bytes
    log_size: int
    peers: tuple[int, ...]
    """ids of the peers it is connected with"""


ServerMessage = Welcome | Attested | Refused | Outcome | StatusReply
