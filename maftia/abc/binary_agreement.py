"""Binary validated agreement, biased to 1.

Source: Cachin, Kursawe, Petzold, Shoup, "Secure and efficient asynchronous broadcast
protocols", 2001 (the notion: validated, biased); Mostéfaoui, Moumen, Raynal,
"Signature-free asynchronous Byzantine consensus", 2014 (the rounds), repaired.
Bound: n > 3t.

Guarantees, once every honest server has proposed (0, or 1 with a proof π):
agreement: no two honest servers decide differently;
external validity: who decides 1 returns a π with Q(instance, π) true;
bias: if t+1 honest servers propose 1, the decision is 1;
validity of 0: if nobody can make a π, the decision is 0;
termination: with probability 1 every honest server decides, and then halts.

Messages (π rides on the first one in support of 1 that a peer gets; nothing in support
of 1 counts here before a valid π is held):
INPUT(0): n−t of them before a π: of any t+1 proposers of 1 one would be among the first
n−t heard, so fewer than t+1 honest servers proposed 1, and 0 is an honest proposal.
BVAL(r, b): from t+1: an honest server supports b; from 2t+1: every honest one will see it.
AUX(r, b): n−t values, all supported, are A.   CONF(r, A): the union of n−t is V.
SHARE(r, σ): t+1 give the coin s of round r ≥ 2; the coins of rounds 0 and 1 are 1 and 0.
DECIDE(r, b): after round r it stands for BVAL(b), AUX(b) and CONF({b}) of its sender;
t+1: b is decided; 2t+1: every honest server will see t+1, so nobody needs more.

Why it works.  Only values with 2t+1 supporters enter bin, so V holds estimates of honest
servers, and if these are all b, then V = {b} everywhere, for ever.  Two sets of n−t share
an honest server, which says one AUX and one CONF.  So singletons A of one round are equal,
and if some V is {b}, then every V of that round holds b.  Hence if a server decides b = s,
every other ends the round with b: by V = {b}, or by V = {0,1} and est = s = b; from there
on all estimates are b.  Liveness: an honest share leaves only after its sender has frozen
V, that is after n−t CONF, at least t+1 of them honest.  Either these are all {0,1}, and
no V can be a singleton, or one is {b}, and the only possible singleton is {b}: in both
cases the values with which servers can leave the round are fixed before t+1 shares exist,
and the coin hits them with probability 1/2.  A server that decided keeps speaking through
the round of its DECIDE, so no server that still needs n−t voices in that round lacks one;
in later rounds its DECIDE is its voice.  At most t honest servers decide before the others
see t+1 DECIDE, so at least t+1 undecided ones release the shares of later rounds.
Unanimous 1: BVAL, AUX, decided in round 0; no coin.

Deviations: from the 2014 paper, the CONF exchange, in which V is the *union* of n−t sets
(own AUX set or bin in its place lets a scheduler that sees the coin steer a laggard for
ever); the fixed coins of rounds 0 and 1, which carry no liveness argument and give the bias
and the fast path; termination by DECIDE.  A server without an estimate in round 0 votes AUX
and moves on as the votes of others allow; the arguments above never use its estimate.

Caller must: carry messages inside an envelope with the instance id over authenticated
links; make `records` durable before messages leave and give them to `recover`; call
`resend` when a link comes up; give the same `is_valid_proof` on every server; not create
instances for ids that the service does not admit.

Limits and cost: per peer at most five messages a round (BVAL of two values, AUX, CONF,
SHARE), INPUT and DECIDE; expected O(1) rounds; π once per peer.  Votes more than
AGREEMENT_ROUNDS_AHEAD_MAX rounds ahead are dropped (DECIDE brings such a laggard home).
At most one failing π per peer is ever verified.  A halted instance keeps its decision only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from maftia.abc.agreement_messages import (
    FIRST_COIN_ROUND,
    AgreementMessage,
    AgreementRecord,
    Aux,
    Bval,
    CoinShare,
    Conf,
    Decide,
    Estimate,
    Frozen,
    Input,
    well_formed,
)
from maftia.abc.agreement_votes import AgreementVotes, RoundVotes
from maftia.core.codec import decode, encode
from maftia.core.errors import InvariantError
from maftia.core.identifiers import InstanceId, PartyId
from maftia.core.limits import AGREEMENT_ROUNDS_AHEAD_MAX, FRAME_SIZE_BYTES_MAX
from maftia.core.quorum import Quorums
from maftia.core.step import Fault, Step
from maftia.threshold.coin import Coin


@dataclass(frozen=True, slots=True)
class Decision:
    """What an instance decided."""

    value: int
    proof: bytes | None = field(repr=False)
    """a valid π where the value is 1"""
    round: int
    """this server speaks through this round"""


AgreementStep: TypeAlias = Step[AgreementMessage, Decision]


class BinaryAgreement:
    """One instance at one server.  Its only output is one `Decision`."""

    def __init__(
        self,
        instance: InstanceId,
        quorums: Quorums,
        me: PartyId,
        coin: Coin,
        is_valid_proof: Callable[[bytes], bool],
    ) -> None:
        self.instance = instance
        self._quorums = quorums
        self._me = me
        self._coin = coin
        self._is_valid_proof = is_valid_proof
        self._votes = AgreementVotes()
        self._proof_shown = False
        self._liars: set[PartyId] = set()
        """peers that sent an invalid π: no further one of theirs is verified"""
        self._estimate: int | None = None
        self._round = 0
        self._decision: Decision | None = None
        self._halted = False
        self._sent: list[AgreementMessage] = []
        self._told: set[PartyId] = set()
        """peers that got the π of a halted instance"""

    @property
    def decision(self) -> Decision | None:
        """The decision, once there is one."""
        return self._decision

    @property
    def round(self) -> int:
        """The round this server is in, 0, 1, 2 …"""
        return self._round

    @property
    def halted(self) -> bool:
        """Whether nobody needs this instance any more, but for its answer to stragglers."""
        return self._halted

    # --- inputs

    def propose(self, value: int, proof: bytes | None = None) -> AgreementStep:
        """Propose 0, or 1 with a valid π.  Only a server's first proposal counts.

        A server that already adopted (1, π) of a peer, or moved on, ignores the call.
        Raises ValueError for another value, or where π is missing, invalid or out of place.
        """
        if value not in (0, 1) or (value == 1) != (proof is not None):
            raise ValueError("propose 0 without a proof, or 1 with one")
        if proof is not None and not self._is_valid_proof(proof):
            raise ValueError("the proof for 1 is not valid")
        step = AgreementStep()
        if not self._proposal_stands():
            if proof is None:
                self._say(step, Input())
            else:
                self._votes.hold_proof(proof)
        self._settle(step)
        return step

    def handle(self, sender: PartyId, message: AgreementMessage) -> AgreementStep:
        """Take a peer's message.  Raises ValueError if the sender is no peer."""
        if sender == self._me or sender not in self._quorums.parties:
            raise ValueError(f"party {sender} is no peer of party {self._me}")
        step = AgreementStep()
        if not well_formed(message):
            step.faults.append(Fault(sender, "agreement-malformed", encode(message)))
        elif self._halted:
            self._answer_straggler(step, sender, message)
        elif self._in_window(message):
            self._learn_proof(step, sender, message)
            self._count(step, sender, message)
            self._settle(step)
        return step

    def recover(self, records: Iterable[bytes]) -> AgreementStep:
        """Become again what the journalled records say.  Messages are resent by `resend`, not here.

        The output is the decision, if there was one: the parent takes it or has it already.
        """
        step = AgreementStep()
        for record in records:
            entry: AgreementRecord = decode(record, AgreementRecord, FRAME_SIZE_BYTES_MAX)
            self._restore(entry)
        if self._decision is not None:
            step.outputs.append(self._decision)
        self._settle(step)
        return step

    def resend(self, peer: PartyId) -> AgreementStep:
        """Say to one peer again all that this server said.  Idempotent."""
        step = AgreementStep()
        if self._halted:
            self._told.add(peer)
        for message in [self._last_word(with_proof=True)] if self._halted else self._sent:
            step.send(peer, message)
        return step

    # --- what peers said

    def _in_window(self, message: AgreementMessage) -> bool:
        # DECIDE is exempt from the window of rounds: it is one message per peer
        if isinstance(message, Input | Decide):
            return True
        return message.round <= self._round + AGREEMENT_ROUNDS_AHEAD_MAX

    def _learn_proof(self, step: AgreementStep, sender: PartyId, message: AgreementMessage) -> None:
        # upon the first valid π: support of 1 counts from here on
        proof = message.proof if isinstance(message, Bval | Decide) else None
        if proof is None or self._votes.proof is not None or sender in self._liars:
            return
        if self._is_valid_proof(proof):
            self._votes.hold_proof(proof)
        else:
            self._liars.add(sender)
            step.faults.append(Fault(sender, "agreement-bad-proof", encode(message)))

    def _count(self, step: AgreementStep, sender: PartyId, message: AgreementMessage) -> None:
        if not self._votes.count(sender, message):
            step.faults.append(Fault(sender, "agreement-twin", encode(message)))

    # --- what this server says

    def _say(self, step: AgreementStep, message: AgreementMessage) -> None:
        step.records.append(encode(message))
        step.send(None, message)
        self._sent.append(message)
        self._count(step, self._me, message)

    def _proof_for(self, value: int) -> bytes | None:
        # attach π to the first message in support of 1
        if value == 0 or self._proof_shown:
            return None
        if self._votes.proof is None:
            raise InvariantError("support of 1 without a proof")
        self._proof_shown = True
        return self._votes.proof

    def _proposal_stands(self) -> bool:
        proposed = self._me in self._votes.inputs or self._votes.proof is not None
        return proposed or self._estimate is not None or self._decision is not None

    def _speaks(self, number: int) -> bool:
        """Whether this server has a voice of its own in a round: in none after that of its DECIDE."""
        return self._decision is None or number <= self._decision.round

    # --- the rules

    def _settle(self, step: AgreementStep) -> None:
        """Apply the rules until none has anything to do."""
        while not self._halted and any(rule(step) for rule in self._rules()):
            pass

    def _rules(self) -> Iterable[Callable[[AgreementStep], bool]]:
        yield from (self._decide_with_others, self._halt, self._take_estimate, self._echo)
        if self._speaks(self._round):
            yield from (self._support, self._fill_bin, self._vote_aux, self._freeze_a)
            yield from (self._confirm, self._freeze_v, self._release_share, self._end_round)

    def _take_estimate(self, step: AgreementStep) -> bool:
        # upon any valid (1, π): est = 1; proposer of 0, upon n−t INPUT(0) before that: est = 0
        if self._round > 0 or self._estimate is not None:
            return False
        if self._votes.proof is not None:
            self._enter(step, 0, 1)
        elif self._me in self._votes.inputs and self._quorums.may_proceed(self._votes.inputs):
            self._enter(step, 0, 0)
        return self._estimate is not None

    def _enter(self, step: AgreementStep, number: int, estimate: int) -> None:
        self._round, self._estimate = number, estimate
        step.records.append(encode(Estimate(number, estimate)))

    def _support(self, step: AgreementStep) -> bool:
        # send BVAL(est)
        if self._estimate is None:
            return False
        return self._say_bval(step, self._round, self._estimate)

    def _say_bval(self, step: AgreementStep, number: int, value: int) -> bool:
        if self._me in self._votes.at(number).bval[value]:
            return False
        self._say(step, Bval(number, value, self._proof_for(value)))
        return True

    def _echo(self, step: AgreementStep) -> bool:
        # upon t+1 BVAL(b): send it too, before having an est, and in rounds left behind as well
        for number in range(self._round + 1):
            for value in (0, 1) if self._speaks(number) else ():
                supporters = self._votes.supporters(number, value)
                if self._quorums.has_honest(supporters) and self._say_bval(step, number, value):
                    return True
        return False

    def _fill_bin(self, step: AgreementStep) -> bool:  # noqa: ARG002 (every rule takes the step)
        # upon 2t+1 BVAL(b): add b to bin
        votes = self._votes.at(self._round)
        for value in (0, 1):
            if value not in votes.bin and self._quorums.has_honest_majority(self._votes.supporters(self._round, value)):
                votes.bin.append(value)
                return True
        return False

    def _vote_aux(self, step: AgreementStep) -> bool:
        # upon the first element b of bin: send AUX(b), once
        votes = self._votes.at(self._round)
        if not votes.bin or self._me in votes.aux:
            return False
        self._say(step, Aux(self._round, votes.bin[0]))
        return True

    def _freeze_a(self, step: AgreementStep) -> bool:  # noqa: ARG002
        # upon n−t AUX, all in bin: A is their values, for good
        votes = self._votes.at(self._round)
        if votes.a is None:
            votes.a = votes.aux_values(self._quorums)
            return votes.a is not None
        return False

    def _confirm(self, step: AgreementStep) -> bool:
        # rounds ≥ 2: send CONF(A), once
        votes = self._votes.at(self._round)
        if self._round < FIRST_COIN_ROUND or votes.a is None or self._me in votes.conf:
            return False
        self._say(step, Conf(self._round, tuple(sorted(votes.a))))
        return True

    def _freeze_v(self, step: AgreementStep) -> bool:
        # rounds 0 and 1: V = A; later: upon n−t CONF ⊆ bin: V is their union, for good
        votes = self._votes.at(self._round)
        if votes.v is not None or votes.a is None:
            return False
        votes.v = votes.a if self._round < FIRST_COIN_ROUND else votes.conf_union(self._quorums)
        if votes.v is None:
            return False
        step.records.append(encode(Frozen(self._round, tuple(sorted(votes.v)))))
        return True

    def _release_share(self, step: AgreementStep) -> bool:
        # rounds ≥ 2: the coin share leaves only after V is frozen
        votes = self._votes.at(self._round)
        if self._round < FIRST_COIN_ROUND or votes.v is None or self._me in votes.shares:
            return False
        self._say(step, CoinShare(self._round, self._coin.share(self._coin_use, self._round)))
        return True

    def _end_round(self, step: AgreementStep) -> bool:
        # V = {b}: est = b, and decide if b = s.  V = {0,1}: est = s.  Next round
        votes = self._votes.at(self._round)
        coin = None if votes.v is None else self._toss(step, votes)
        if votes.v is None or coin is None:
            return False
        if votes.v == {coin}:
            self._decide(step, coin, self._round)
        (estimate,) = votes.v if len(votes.v) == 1 else (coin,)
        self._enter(step, self._round + 1, estimate)
        return True

    def _toss(self, step: AgreementStep, votes: RoundVotes) -> int | None:
        # the coins of rounds 0 and 1 are 1 and 0; later: upon t+1 good shares
        if votes.number < FIRST_COIN_ROUND:
            return 1 - votes.number
        while self._quorums.has_honest(shares := votes.usable_shares()):
            result = self._coin.combine(self._coin_use, votes.number, shares)
            step.faults += [Fault(party, "agreement-bad-share", shares[party]) for party in sorted(result.bad)]
            votes.reject_shares(result.bad)
            if result.value is not None:
                return result.value.value("agreement")[0] & 1
            if not result.bad:
                raise InvariantError("t+1 coin shares, none bad, and no coin")
        return None

    @property
    def _coin_use(self) -> str:
        return f"agreement/{self.instance}"

    # --- decision and end

    def _decide(self, step: AgreementStep, value: int, number: int) -> None:
        if self._decision is not None:
            self._must_agree(value)
            return
        self._decision = Decision(value, self._votes.proof if value == 1 else None, number)
        step.outputs.append(self._decision)
        self._say(step, Decide(number, value, self._proof_for(value)))

    def _must_agree(self, value: int) -> None:
        if self._decision is not None and self._decision.value != value:
            raise InvariantError(f"{self.instance}: both values decided: more than t servers are corrupted")

    def _decide_with_others(self, step: AgreementStep) -> bool:
        # upon t+1 DECIDE(·, b): decide b, speaking through the largest of my round and their rounds
        for value in (0, 1):
            deciders = self._votes.deciders(value)
            if self._quorums.has_honest(deciders):
                self._must_agree(value)
                if self._decision is None:
                    rounds = (self._votes.decides[party].round for party in deciders)
                    self._decide(step, value, max(self._round, *rounds))
                    return True
        return False

    def _halt(self, step: AgreementStep) -> bool:  # noqa: ARG002
        # upon 2t+1 DECIDE(b): halt; only the decision is kept
        if self._decision is None or not self._quorums.has_honest_majority(self._votes.deciders(self._decision.value)):
            return False
        self._halted = True
        self._votes.clear()
        self._sent.clear()
        return True

    def _answer_straggler(self, step: AgreementStep, sender: PartyId, message: AgreementMessage) -> None:
        # halted: answer anything but DECIDE with DECIDE; π goes to each peer once
        if not isinstance(message, Decide):
            step.send(sender, self._last_word(with_proof=sender not in self._told))
            self._told.add(sender)

    def _last_word(self, with_proof: bool) -> Decide:
        if self._decision is None:
            raise InvariantError("halted without a decision")
        return Decide(self._decision.round, self._decision.value, self._decision.proof if with_proof else None)

    # --- recovery

    def _restore(self, entry: AgreementRecord) -> None:
        match entry:
            case Estimate():
                # an estimate of 1 whose BVAL(1, π) did not reach the journal was never said
                if entry.value == 0 or self._votes.proof is not None:
                    self._round, self._estimate = entry.round, entry.value
            case Frozen():
                self._votes.at(entry.round).v = frozenset(entry.values)
            case _:
                self._restore_own(entry)

    def _restore_own(self, message: AgreementMessage) -> None:
        self._sent.append(message)
        if isinstance(message, Bval | Decide) and message.proof is not None:
            self._votes.hold_proof(message.proof)
            self._proof_shown = True
        self._votes.count(self._me, message)
        if isinstance(message, Conf):
            self._votes.at(message.round).a = frozenset(message.values)
        if isinstance(message, Decide):
            proof = self._votes.proof if message.value == 1 else None
            self._decision = Decision(message.value, proof, message.round)
