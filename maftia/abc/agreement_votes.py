"""The votes of binary agreement, as one server has seen them: who said what, and what counts.

Per sender and round the first AUX and the first CONF count, and per sender the first
DECIDE.  In rounds above its own, and only there, a DECIDE(r, b) counts as BVAL(b), AUX(b)
and CONF({b}) of its sender, unless an explicit AUX or CONF came first.  Support of 1
counts once a valid proof is held; before that it is remembered.
"""

from __future__ import annotations

from collections.abc import Collection

from maftia.abc.agreement_messages import AgreementMessage, Aux, Bval, CoinShare, Conf, Decide, Input
from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums

ValueSet = frozenset[int]


class RoundVotes:
    """One round: who supported what, and what this server froze."""

    __slots__ = ("a", "aux", "bin", "bval", "conf", "number", "shares", "v")

    def __init__(self, number: int) -> None:
        self.number = number
        self.bval: tuple[set[PartyId], set[PartyId]] = (set(), set())
        self.bin: list[int] = []
        """in the order in which 2t+1 servers supported the values"""
        self.aux: dict[PartyId, int] = {}
        self.conf: dict[PartyId, ValueSet] = {}
        self.shares: dict[PartyId, bytes | None] = {}
        """None stands for a share that was found bad"""
        self.a: ValueSet | None = None
        self.v: ValueSet | None = None

    def imply(self, sender: PartyId, value: int) -> None:
        """Count a DECIDE of an earlier round."""
        self.bval[value].add(sender)
        self.aux.setdefault(sender, value)
        self.conf.setdefault(sender, frozenset({value}))

    def aux_values(self, quorums: Quorums) -> ValueSet | None:
        """The values of n−t AUX that are all in bin, or None while there are fewer."""
        counted = {sender: value for sender, value in self.aux.items() if value in self.bin}
        return frozenset(counted.values()) if quorums.may_proceed(counted) else None

    def conf_union(self, quorums: Quorums) -> ValueSet | None:
        """The union of n−t CONF sets that are all within bin, or None while there are fewer."""
        counted = {sender: values for sender, values in self.conf.items() if values <= set(self.bin)}
        return frozenset[int]().union(*counted.values()) if quorums.may_proceed(counted) else None

    def usable_shares(self) -> dict[PartyId, bytes]:
        """The coin shares not found bad so far."""
        return {sender: share for sender, share in self.shares.items() if share is not None}

    def reject_shares(self, senders: Collection[PartyId]) -> None:
        """These coin shares are bad: never use them again."""
        self.shares.update(dict.fromkeys(senders, None))


class AgreementVotes:
    """All rounds, the inputs and the decisions of one instance."""

    def __init__(self) -> None:
        self.proof: bytes | None = None
        self.inputs: set[PartyId] = set()
        self.decides: dict[PartyId, Decide] = {}
        self._rounds: dict[int, RoundVotes] = {}

    def hold_proof(self, proof: bytes) -> None:
        """Support of 1 counts from here on."""
        self.proof = proof
        for sender, decide in self.decides.items():
            self._imply(sender, decide)

    def at(self, number: int) -> RoundVotes:
        """The votes of one round."""
        votes = self._rounds.get(number)
        if votes is None:
            votes = self._rounds[number] = RoundVotes(number)
            for sender, decide in self.decides.items():
                self._imply(sender, decide)
        return votes

    def supporters(self, number: int, value: int) -> Collection[PartyId]:
        """Whose BVAL(value) counts in a round."""
        return self.at(number).bval[value] if self._counts(value) else ()

    def deciders(self, value: int) -> Collection[PartyId]:
        """Whose DECIDE(·, value) counts."""
        if not self._counts(value):
            return ()
        return [sender for sender, decide in self.decides.items() if decide.value == value]

    def count(self, sender: PartyId, message: AgreementMessage) -> bool:
        """Count a vote; false if the sender had said something else in its place."""
        match message:
            case Input():
                self.inputs.add(sender)
            case Bval():
                self.at(message.round).bval[message.value].add(sender)
            case Aux():
                return self.at(message.round).aux.setdefault(sender, message.value) == message.value
            case Conf():
                values = frozenset(message.values)
                return self.at(message.round).conf.setdefault(sender, values) == values
            case CoinShare():
                return self.at(message.round).shares.setdefault(sender, message.share) in (message.share, None)
            case Decide():
                return self._count_decide(sender, message)
        return True

    def clear(self) -> None:
        """Forget all votes: the instance has halted."""
        self.inputs.clear()
        self.decides.clear()
        self._rounds.clear()

    def _count_decide(self, sender: PartyId, message: Decide) -> bool:
        first = self.decides.setdefault(sender, message)
        self._imply(sender, first)
        return (first.round, first.value) == (message.round, message.value)

    def _imply(self, sender: PartyId, decide: Decide) -> None:
        # in rounds > r, and only there, DECIDE(r, b) counts as BVAL(b), AUX(b), CONF({b})
        for number, votes in self._rounds.items():
            if number > decide.round and self._counts(decide.value):
                votes.imply(sender, decide.value)

    def _counts(self, value: int) -> bool:
        # support of 1 counts only once a valid π is held
        return value == 0 or self.proof is not None
