"""Which leader blocks are committed: votes, certificates and the decision of slots.

Source: protocols.md 3, Coin and slots, Vote, Decide (after Mahi-Mahi with waves of five
rounds, arXiv 2410.08670).   Bound: n > 3t.

Guarantees: agreement: all honest servers decide every slot alike, whatever part of the
DAG each has seen.  Termination: each first slot commits with probability at least 2/n
against a fully adaptive scheduler.

Messages: none of its own; it reads accepted blocks.
* q authors' blocks of round r+4 open the coin of r, which names the leaders of slots
  (r, 0…ℓ−1).  A server's share for r goes out only in its own r+4 block.
* vote(b, a, r): which block of (r, a) does b see first, scanning references in order.
* direct skip: q authors have an r+3 block that votes for none.  Blame is counted
  against the slot, never against one of two twins.
* certificate for L: an r+4 block that references q distinct authors' r+3 blocks that
  vote L.  Direct commit: q authors have certificates for L.
* indirect: the first slot from round r+5 on that is not skipped decides, once it is
  committed, by whether its past holds a certificate.

Why it works: two certificates for one slot share an honest r+3 author, who has one
block with one vote: so there is one candidate.  q blaming authors and a certificate
would share one as well: skip excludes certificates.  Where q authors hold certificates,
every r+5 block references q authors of r+4, among them an honest one with a
certificate, so every later anchor has one in its past, and decides commit.  By
induction from the top all servers use the same anchors.  Why five rounds: with two
boost rounds, counting shows at least two leaders whose commit no schedule can prevent,
fixed before any share of the coin exists; with four, a scheduler who sees the coin can
still steer servers that lag.

Deviations: decisions are incremental.  A block touches the two elections in which it
votes or certifies; the pass over open slots runs only after a direct decision.  A
decision never changes: direct ones are monotone in the DAG, indirect ones rest on
decided slots and on the past of one block.

Caller must: show every accepted block once, parents before children.
Limits and cost: per block and open election ℓ votes (memoised, depth 3) or one count of
references; one coin opened per round, t+1 shares verified; memory per undecided round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from maftia.abc.block import SHARE_DISTANCE_ROUNDS, Block
from maftia.abc.commit import BlockRef
from maftia.abc.dag import Cone, Dag
from maftia.core.errors import InvariantError
from maftia.core.hashing import expand
from maftia.core.identifiers import PartyId
from maftia.core.limits import WAVE_LENGTH
from maftia.core.quorum import Quorums
from maftia.core.step import Fault
from maftia.threshold.coin import Coin, CoinValue

COIN_USE = "abc"
VOTE_DISTANCE_ROUNDS = WAVE_LENGTH - 2
CERTIFY_DISTANCE_ROUNDS = WAVE_LENGTH - 1
_DRAW_SIZE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Committed:
    """A slot that commits its leader's block, and where the next slot is."""

    leader: Block
    coin: CoinValue
    next_round: int
    next_slot: int


class Slot:
    """One leader slot: what is known for and against its leader's block."""

    __slots__ = (
        "_blamers",
        "_certifiers",
        "_quorums",
        "_votes",
        "candidate",
        "certificates",
        "leader",
        "open",
        "round",
    )

    def __init__(self, quorums: Quorums, round_: int, leader: PartyId) -> None:
        self._quorums = quorums
        self.round = round_
        self.leader = leader
        self.open = True
        """neither skipped nor committed yet"""
        self.candidate: BlockRef | None = None
        """the one block that has a certificate"""
        self.certificates: set[BlockRef] = set()
        self._votes: dict[BlockRef, BlockRef | None] = {}
        self._blamers: set[PartyId] = set()
        self._certifiers: set[PartyId] = set()

    @property
    def committed(self) -> BlockRef | None:
        """The leader block that this slot commits; None while open and where skipped."""
        return None if self.open else self.candidate

    def vote(self, dag: Dag, block: Block) -> BlockRef | None:
        """Which block of (round, leader) the block votes for: one answer, the same everywhere."""
        if block.ref not in self._votes:
            self._votes[block.ref] = self._look_for_leader(dag, block)
        return self._votes[block.ref]

    def see_voter(self, dag: Dag, block: Block) -> None:
        """A block of round r+3."""
        if self.vote(dag, block) is None:
            self._blamers.add(block.author)

    def see_certifier(self, block: Block) -> None:
        """A block of round r+4, after its parents."""
        supporters: dict[BlockRef, set[PartyId]] = {}
        for ref in block.body.refs:
            if ref.round == self.round + VOTE_DISTANCE_ROUNDS:
                vote = self._votes[ref]
                if vote is not None:
                    supporters.setdefault(vote, set()).add(PartyId(ref.author))
        for candidate, authors in supporters.items():
            if self._quorums.may_proceed(authors):
                self._certify(candidate, block)

    def decide_directly(self) -> bool:
        """Skip or commit by what this server has seen; whether that decided the slot."""
        # upon q authors with an r+3 block that votes for none: skip
        blamed = self._quorums.may_proceed(self._blamers)
        if blamed and self.candidate is not None:
            raise InvariantError(f"slot of round {self.round} is both blamed and certified: more than t are corrupted")
        # upon q authors with certificates for L: commit L
        self.open = not (blamed or self._quorums.may_proceed(self._certifiers))
        return not self.open

    def decide_by(self, anchor: Cone) -> None:
        """Commit iff the anchor's past holds a certificate, else skip."""
        if self.certificates.isdisjoint(anchor.at(self.round + CERTIFY_DISTANCE_ROUNDS)):
            self.candidate = None
        self.open = False

    def _look_for_leader(self, dag: Dag, block: Block) -> BlockRef | None:
        for ref in block.body.refs:
            if ref.round == self.round and ref.author == self.leader:
                return ref
            if ref.round > self.round:
                vote = self.vote(dag, dag.above_horizon(ref))
                if vote is not None:
                    return vote
        return None

    def _certify(self, candidate: BlockRef, certificate: Block) -> None:
        if self.candidate not in {None, candidate}:
            raise InvariantError(f"two certified blocks in one slot of round {self.round}: more than t are corrupted")
        self.candidate = candidate
        self.certificates.add(certificate.ref)
        self._certifiers.add(certificate.author)


@dataclass(slots=True)
class Shares:
    """Shares of one round's coin as they come, every twin's too."""

    of: dict[PartyId, list[bytes]] = field(default_factory=dict)

    def add(self, author: PartyId, share: bytes) -> None:
        """A share from an author's block."""
        known = self.of.setdefault(author, [])
        if share not in known:
            known.append(share)


@dataclass(frozen=True, slots=True)
class Election:
    """A round whose coin is open."""

    coin: CoinValue
    slots: tuple[Slot, ...]


class Committer:
    """Decides slots in order from accepted blocks."""

    def __init__(self, dag: Dag, quorums: Quorums, coin: Coin, leader_slots: int) -> None:
        self._dag = dag
        self._quorums = quorums
        self._coin = coin
        self._leader_slots = leader_slots
        self._next_round = 1
        self._next_slot = 0
        self._shares: dict[int, Shares] = {}
        self._elections: dict[int, Election] = {}
        self._cones: dict[BlockRef, Cone] = {}

    def see(self, block: Block) -> list[Fault]:
        """A block was accepted.  Returns whose coin shares were found wrong."""
        round_ = block.ref.round
        voted = self._elections.get(round_ - VOTE_DISTANCE_ROUNDS)
        if voted is not None:
            self._see_voter(voted, block)
        certified = self._elections.get(round_ - CERTIFY_DISTANCE_ROUNDS)
        if certified is not None:
            self._see_certifier(certified, block)
            return []
        return self._see_share(round_ - SHARE_DISTANCE_ROUNDS, block)

    def install(self, next_round: int, next_slot: int) -> None:
        """Go on with this slot: what stands before it is decided elsewhere.

        What is known of it and of later slots stays: votes, certificates and shares are facts of the blocks.
        """
        self._next_round, self._next_slot = next_round, next_slot
        self._elections = {round_: held for round_, held in self._elections.items() if round_ >= next_round}
        self._shares = {round_: shares for round_, shares in self._shares.items() if round_ >= next_round}
        self._cones = {ref: cone for ref, cone in self._cones.items() if ref.round > next_round}

    def take_committed(self) -> Iterator[Committed]:
        """Consume the longest decided prefix of slots; yields those that commit."""
        while (election := self._elections.get(self._next_round)) is not None:
            slot = election.slots[self._next_slot]
            if slot.open:
                return
            self._advance(election)
            if slot.committed is not None:
                leader = self._dag.above_horizon(slot.committed)
                yield Committed(leader, election.coin, self._next_round, self._next_slot)

    def _advance(self, election: Election) -> None:
        self._next_slot += 1
        if self._next_slot == len(election.slots):
            del self._elections[self._next_round]
            self._next_round, self._next_slot = self._next_round + 1, 0
            self._cones = {ref: cone for ref, cone in self._cones.items() if ref.round > self._next_round}

    def _see_voter(self, election: Election, block: Block) -> None:
        touched = [slot for slot in election.slots if slot.open]
        for slot in touched:
            slot.see_voter(self._dag, block)
        self._decide(touched)

    def _see_certifier(self, election: Election, block: Block) -> None:
        touched = [slot for slot in election.slots if slot.open]
        for slot in touched:
            slot.see_certifier(block)
        self._decide(touched)

    def _see_share(self, round_: int, block: Block) -> list[Fault]:
        if round_ < self._next_round:
            return []
        shares = self._shares.setdefault(round_, Shares())
        shares.add(block.author, block.body.coin_share)
        # upon q authors' blocks of round r+4: combine t+1 good shares (with fewer, wait for more blocks)
        if not self._quorums.may_proceed(shares.of):
            return []
        value, bad = self._open_coin(round_, shares)
        if value is not None:
            self._hold_election(round_, value)
        return [Fault(party, "coin-share", round_.to_bytes(8, "big")) for party in bad]

    def _open_coin(self, round_: int, shares: Shares) -> tuple[CoinValue | None, list[PartyId]]:
        blamed: list[PartyId] = []
        while True:
            offered = {author: known[0] for author, known in shares.of.items() if known}
            result = self._coin.combine(COIN_USE, round_, offered)
            for party in sorted(result.bad):
                shares.of[party].pop(0)
                blamed.append(party)
            if result.value is not None or not any(shares.of[party] for party in result.bad):
                return result.value, blamed

    def _hold_election(self, round_: int, coin: CoinValue) -> None:
        del self._shares[round_]
        leaders = elect(coin, self._quorums.n, self._leader_slots)
        slots = tuple(Slot(self._quorums, round_, leader) for leader in leaders)
        self._elections[round_] = Election(coin, slots)
        for slot in slots:
            for voter in self._blocks(round_ + VOTE_DISTANCE_ROUNDS):
                slot.see_voter(self._dag, voter)
            for certifier in self._blocks(round_ + CERTIFY_DISTANCE_ROUNDS):
                slot.see_certifier(certifier)
        self._decide(list(slots))
        if round_ + WAVE_LENGTH in self._elections:  # opened late: what decides it may be there already
            self._decide_indirectly(round_ + WAVE_LENGTH)

    def _blocks(self, round_: int) -> list[Block]:
        return [block for twins in self._dag.at(round_).values() for block in twins]

    def _decide(self, touched: list[Slot]) -> None:
        decided = [slot for slot in touched if slot.decide_directly()]
        if decided:
            self._decide_indirectly(decided[0].round)

    def _decide_indirectly(self, below: int) -> None:
        """Pass from the top down over the open slots that a decision in round `below` may decide."""
        anchors = self._anchors()
        for round_ in range(below - WAVE_LENGTH, self._next_round - 1, -1):
            anchor = anchors.get(round_ + WAVE_LENGTH)
            election = self._elections.get(round_)
            if anchor is not None and anchor.committed is not None and election is not None:
                cone = self._cone(anchor.committed)
                for slot in election.slots:
                    if slot.open:
                        slot.decide_by(cone)
            self._enter_anchor(anchors, round_)

    def _anchors(self) -> dict[int, Slot | None]:
        """For each round the first slot from it on that is not skipped; None where that is unknown."""
        anchors: dict[int, Slot | None] = {}
        top = max(self._elections)
        for round_ in range(top, self._next_round - 1, -1):
            self._enter_anchor(anchors, round_)
        return anchors

    def _enter_anchor(self, anchors: dict[int, Slot | None], round_: int) -> None:
        election = self._elections.get(round_)
        if election is None:
            anchors[round_] = None
            return
        standing = (slot for slot in election.slots if slot.open or slot.committed is not None)
        anchors[round_] = next(standing, anchors.get(round_ + 1))

    def _cone(self, anchor: BlockRef) -> Cone:
        cone = self._cones.get(anchor)
        if cone is None:
            cone = self._cones[anchor] = Cone(self._dag, self._dag.above_horizon(anchor))
        return cone


def elect(coin: CoinValue, n: int, slots: int) -> tuple[PartyId, ...]:
    """The leaders of a round: the first of the servers as the coin shuffles them."""
    draws = expand("maftia/abc/leaders/v1", slots * _DRAW_SIZE_BYTES, coin.value("leaders"))
    order = [PartyId(party) for party in range(n)]
    for place in range(slots):
        draw = int.from_bytes(draws[place * _DRAW_SIZE_BYTES : (place + 1) * _DRAW_SIZE_BYTES], "big")
        chosen = place + draw % (n - place)
        order[place], order[chosen] = order[chosen], order[place]
    return tuple(order[:slots])
