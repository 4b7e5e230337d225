"""A server whose journal is lost learns from which round on it may speak.

Source: protocols.md 3, Durability ("a server whose key is present but whose journal is
gone ...").   Bound: n > 3t; the server itself counts among the t until it has rejoined.

Guarantees: it never signs a second block for a round in which any of its lives sent one.

Messages: LOST(nonce) to all, again on each new link; SPOKEN(nonce, newest, commit) from
each: the highest block that the answerer itself signed, and its newest certified
checkpoint.  A server that is lost itself, or that has rejoined and not spoken since,
does not know its highest block and does not answer.

An answer counts once its block is accepted here with its past, or lies at or below S, and
this server has reached or installed the answerer's checkpoint.  When q others' answers
count, M is the highest round among them and M+1 the floor: blocks are made in rounds
>= M+2 only, the first without an own reference.

Why it never signs twice: let R be the highest round of a block that any earlier life
sent.  It had accepted blocks of q authors at round R-1, at least q-1 of them others.
They made those before R was made, so before the journal was lost, and before the nonce
was drawn.  Of the n-1 others q answered the nonce: the two sets share at least
q + (q-1) - (n-1) = n-2t >= t+1 servers, so one honest one.  That one made a block of
round R-1 before it answered, with a higher one since or not, and answered truly: M >= R-1,
and so R <= M+1.  R = M+1 is possible (a block that reached one slow server), which is why
M+1 is closed as well.  The argument bears t corrupt answerers.  The same holds for
a server with an old backup, which is a lost journal with something left of it.

Why it ends: an honest answer names a block that its author's stream brings, and a
checkpoint that its answerer can hand over.  With the lost server among the t, q others
are honest and answer.  A block that does not exist is never accepted, so a liar cannot
push the floor beyond what q authors have reached by more than two rounds.  Where the
others are idle below the floor, LIFT asks them to go there (producer.py).

With t = 0 there are no q others: what is lost stays lost.

Deviations: the floor is raised further to any own block that was shown here meanwhile.
Caller must: draw the nonce afresh for every life; install checkpoints; journal records first.
Limits and cost: one answer per peer is kept.
"""

from __future__ import annotations

from maftia.abc.block import BlockRules, SignedRef
from maftia.abc.dag import Dag
from maftia.abc.messages import Spoken
from maftia.core.identifiers import PartyId


class Rejoin:
    """The answers to this life's nonce."""

    def __init__(self, rules: BlockRules, dag: Dag) -> None:
        self._rules = rules
        self._dag = dag
        self._answers: dict[PartyId, Spoken] = {}
        self.is_due = False
        """what earlier lives signed is not known"""
        self.nonce: bytes | None = None
        """of this life, while answers are awaited"""

    def begin(self, nonce: bytes) -> None:
        """A life without a journal begins, or finds out that it is one."""
        self.is_due = True
        self.nonce = nonce
        self._answers.clear()

    def end(self) -> None:
        """The floor stands in the journal."""
        self.is_due = False
        self.nonce = None
        self._answers.clear()

    def is_true(self, sender: PartyId, spoken: Spoken) -> bool:
        """Whether the block that is named was signed by its sender."""
        newest = spoken.newest
        return newest is None or (newest.ref.author == sender and self._rules.is_signed(newest))

    def answered(self, sender: PartyId, spoken: Spoken) -> None:
        """A peer's answer; only the first to this life's nonce counts."""
        if self.nonce is not None and spoken.nonce == self.nonce:
            self._answers.setdefault(sender, spoken)

    def floor(self, commit: int) -> int | None:
        """M+1, once q others' answers count for a server that stands at this commit."""
        # upon q SPOKEN whose blocks are accepted and whose checkpoints are reached: M = the highest round
        counting = {
            peer: _round_of(spoken.newest)
            for peer, spoken in self._answers.items()
            if spoken.commit <= commit and self._has(spoken.newest)
        }
        return max(counting.values()) + 1 if counting and self._rules.quorums.may_proceed(counting) else None

    def _has(self, newest: SignedRef | None) -> bool:
        return newest is None or newest.ref in self._dag or newest.ref.round <= self._dag.horizon


def _round_of(newest: SignedRef | None) -> int:
    return 0 if newest is None else newest.ref.round
