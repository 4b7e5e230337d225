"""What servers say to each other, and note for themselves, in one binary agreement.

A message is bound to its instance by the envelope that the parent puts around it,
and to its sender by the channel.  `proof` is the π of `binary_agreement`: it rides
on the first message in support of 1 that goes to a peer; that is always a BVAL(1)
or a DECIDE(1), as AUX(1) and CONF follow a BVAL(1) of one's own.
"""

from __future__ import annotations

from typing import TypeAlias

from maftia.core.codec import Wire
from maftia.core.limits import AGREEMENT_PROOF_SIZE_BYTES_MAX, ROUND_MAX
from maftia.threshold.coin import SHARE_SIZE_BYTES


class Input(Wire, tag="ba-input"):
    """I propose 0."""


class Bval(Wire, tag="ba-bval"):
    """I support this value in this round."""

    round: int
    value: int
    proof: bytes | None = None


class Aux(Wire, tag="ba-aux"):
    """The first value that 2t+1 servers supported, as I saw it."""

    round: int
    value: int


class Conf(Wire, tag="ba-conf"):
    """The values of the n−t AUX that I froze."""

    round: int
    values: tuple[int, ...]


class CoinShare(Wire, tag="ba-share"):
    """My share of the round's coin."""

    round: int
    share: bytes


class Decide(Wire, tag="ba-decide"):
    """I decided this value and go on as if undecided through this round; afterwards this is my vote."""

    round: int
    value: int
    proof: bytes | None = None


class Estimate(Wire, tag="ba-estimate"):
    """Own journal only: I entered this round with this value."""

    round: int
    value: int


class Frozen(Wire, tag="ba-frozen"):
    """Own journal only: the union of n−t CONF sets that I froze, before my coin share left."""

    round: int
    values: tuple[int, ...]


AgreementMessage: TypeAlias = Input | Bval | Aux | Conf | CoinShare | Decide
AgreementRecord: TypeAlias = AgreementMessage | Estimate | Frozen

FIRST_COIN_ROUND = 2
"""rounds 0 and 1 have the fixed coins 1 and 0: no CONF, no share"""
VALUE_SETS = ((0,), (1,), (0, 1))


def well_formed(message: AgreementMessage) -> bool:
    """Whether an honest server could send this in some state (judged without any state)."""
    if isinstance(message, Input):
        return True
    if not 0 <= message.round <= ROUND_MAX:
        return False
    if isinstance(message, Conf):
        return message.round >= FIRST_COIN_ROUND and message.values in VALUE_SETS
    if isinstance(message, CoinShare):
        return message.round >= FIRST_COIN_ROUND and len(message.share) == SHARE_SIZE_BYTES
    if message.value not in (0, 1):
        return False
    return isinstance(message, Aux) or _proof_may_stand(message.value, message.proof)


def _proof_may_stand(value: int, proof: bytes | None) -> bool:
    return proof is None or (value == 1 and len(proof) <= AGREEMENT_PROOF_SIZE_BYTES_MAX)
