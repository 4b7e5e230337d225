"""What servers say to each other, beside the messages of the order.

One frame holds one message: the order's, SHARE, NEED, DONE, VOTE or HEAD.  The tag of the
struct says which, so nothing is wrapped twice.  Every field has a bound of its own,
for what waits in buffers is counted in messages.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from maftia.core.codec import Wire
from maftia.core.limits import LOG_SIZE_MAX, PROOF_SIZE_BYTES_MAX, REFERENCE_SIZE_BYTES_MAX, SHARE_SIZE_BYTES_MAX
from maftia.log.proofs import Hash

PurposeName = Annotated[str, Meta(max_length=32)]
Reference = Annotated[bytes, Meta(max_length=REFERENCE_SIZE_BYTES_MAX)]
StateDigest = Annotated[bytes, Meta(min_length=32, max_length=32)]
ServerSignature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class Share(Wire, tag="sign-share"):
    """A server's signature share for what it applied under this reference."""

    purpose: PurposeName
    reference: Reference
    share: Annotated[bytes, Meta(max_length=SHARE_SIZE_BYTES_MAX)]
    proof: Annotated[bytes, Meta(max_length=PROOF_SIZE_BYTES_MAX)]
    """empty, or what shows the share to be right"""
    signature: ServerSignature
    """of the sending server, over all of the above"""


class Need(Wire, tag="sign-need"):
    """The sender holds no signature for this reference."""

    purpose: PurposeName
    reference: Reference
    proven: bool
    """shares without proof have failed it"""


class Done(Wire, tag="sign-done"):
    """The finished signature."""

    purpose: PurposeName
    reference: Reference
    signature: Annotated[bytes, Meta(max_length=SHARE_SIZE_BYTES_MAX)]


SigningMessage = Share | Need | Done


class Vote(Wire, tag="checkpoint-vote"):
    """A server's signature over the state checkpoint of one commit."""

    commit: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    signature: ServerSignature


class Head(Wire, tag="log-checkpoint"):
    """A server's signature over its log at one size, as a checkpoint's text says it."""

    size: Annotated[int, Meta(ge=1, le=LOG_SIZE_MAX)]
    root: Hash
    state: StateDigest | None
    """of the state checkpoint of the same commit, in the text's extension line; None: without that line"""
    signature: ServerSignature
