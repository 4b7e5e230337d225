"""Binary agreement under the simulator: one seed, one run, all promises checked.

The seed chooses n, who is corrupted and how, who proposes what, the weather, partitions,
and which honest servers are killed between which two of their records and restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from random import Random

from maftia.abc.agreement_messages import AgreementMessage, Aux, Bval, CoinShare, Conf, Decide, Input
from maftia.abc.binary_agreement import AgreementStep, BinaryAgreement, Decision
from maftia.core.identifiers import PartyId, instance_id
from maftia.core.quorum import Quorums
from maftia.core.step import Now
from maftia.sim.adversary import Babbling, Silent, Twins, Withholding
from maftia.sim.checkers import ViolationError, check_agreement, check_no_honest_blamed
from maftia.sim.coins import ForgingCoin, HashCoin
from maftia.sim.network import Machine, Network, Passage, Weather
from maftia.sim.schedule import draw_troubles, draw_weather
from maftia.threshold.coin import SHARE_SIZE_BYTES, Coin

INSTANCE = instance_id("sim", "agreement")
PROOF = b"proof"
CORRUPTIONS = ("silent", "twins", "forging", "withholding", "garbage", "late")
TIME_MAX_MS = 600_000


class AgreementParty:
    """A server that takes part in one agreement."""

    wake_at: int | None = None

    def __init__(self, agreement: BinaryAgreement, value: int) -> None:
        self.agreement = agreement
        self._value = value

    def recover(self, records: Iterable[bytes]) -> AgreementStep:
        """As the journal says."""
        return self.agreement.recover(records)

    def start(self, now: Now) -> AgreementStep:
        """Propose; a proposal of an earlier life stands."""
        del now
        return self.agreement.propose(self._value, PROOF if self._value else None)

    def handle(self, sender: PartyId, message: AgreementMessage, now: Now) -> AgreementStep:
        """Pass on."""
        del now
        return self.agreement.handle(sender, message)

    def peer_connected(self, peer: PartyId, now: Now) -> AgreementStep:
        """Resend."""
        del now
        return self.agreement.resend(peer)

    def on_timer(self, now: Now) -> AgreementStep:
        """Never comes."""
        raise NotImplementedError

    def job_done(self, reference: Hashable, result: object, now: Now) -> AgreementStep:
        """Never comes."""
        raise NotImplementedError


AgreementMachine = Machine[AgreementMessage, Decision]


@dataclass(frozen=True)
class Splitting:
    """A scheduler that shows 0 first to some parties and 1 first to the others, others in every round."""

    weather: Weather
    hold_ms: int = 250

    def delays_ms(self, passage: Passage) -> tuple[int, ...]:
        """As the weather, later for the value that the receiver shall not see first."""
        value, number = getattr(passage.message, "value", None), getattr(passage.message, "round", 0)
        extra_ms = 0 if value is None or value == (passage.to + number) % 2 else self.hold_ms
        return tuple(delay + extra_ms for delay in self.weather.delays_ms(passage))


@dataclass(frozen=True)
class AgreementPlan:
    """One run."""

    seed: int
    n: int
    proposals: tuple[int, ...]
    corrupt: dict[PartyId, str]
    """who is corrupted, and how"""
    proof_known: bool
    """whether corrupted parties have a proof"""
    restarts: bool = True

    @property
    def quorums(self) -> Quorums:
        """Of n."""
        return Quorums.of(self.n)

    @property
    def honest(self) -> list[PartyId]:
        """All others."""
        return [party for party in map(PartyId, range(self.n)) if party not in self.corrupt]


@dataclass(frozen=True)
class AgreementReport:
    """What came of it."""

    plan: AgreementPlan
    value: int
    rounds: int
    deliveries: int
    trace: bytes


def plan_agreement(seed: int) -> AgreementPlan:
    """What the seed says."""
    random = Random(seed)  # noqa: S311 (a simulation runs on its seed)
    n = random.choice((4, 4, 5, 7))
    quorums = Quorums.of(n)
    corrupt = {PartyId(party): random.choice(CORRUPTIONS) for party in random.sample(range(n), quorums.t)}
    likely = random.random()
    proposals = tuple(int(random.random() < likely) for _ in range(n))
    return AgreementPlan(seed, n, proposals, corrupt, proof_known=random.random() < 0.8)


def run_agreement(plan: AgreementPlan) -> AgreementReport:
    """Run it.  Raises ViolationError where a promise is broken."""
    random = Random(plan.seed ^ 0xA11CE)  # noqa: S311 (a simulation runs on its seed)
    weather = draw_weather(random, plan.n, [party for party, how in plan.corrupt.items() if how == "late"])
    if random.random() < 0.5:
        weather = Splitting(weather)
    makers = {PartyId(party): _maker(plan, PartyId(party)) for party in range(plan.n)}
    network: Network[AgreementMessage, Decision] = Network(plan.seed, makers, weather)
    if plan.restarts:
        draw_troubles(random, network, plan.honest, records_max=20)
    network.start()
    network.run(TIME_MAX_MS)
    return _check(plan, network)


def _maker(plan: AgreementPlan, me: PartyId) -> Callable[[bool], AgreementMachine]:
    how = plan.corrupt.get(me)
    coin = HashCoin(plan.seed.to_bytes(8, "big"), plan.quorums, me)
    if how is None or how == "late":
        return lambda first: _party(plan, me, coin)  # noqa: ARG005 (a journal says whether it is the first life)
    return lambda first: _corrupted(plan, me, coin, how)  # noqa: ARG005


def _party(plan: AgreementPlan, me: PartyId, coin: Coin, value: int | None = None) -> AgreementParty:
    machine = BinaryAgreement(INSTANCE, plan.quorums, me, coin, lambda proof: proof == PROOF)
    return AgreementParty(machine, plan.proposals[me] if value is None else value)


def _corrupted(plan: AgreementPlan, me: PartyId, coin: Coin, how: str) -> AgreementMachine:
    random = Random(plan.seed * 64 + me)  # noqa: S311 (a simulation runs on its seed)
    peers = [PartyId(party) for party in range(plan.n) if party != me]
    value = plan.proposals[me] if plan.proof_known else 0
    if how == "twins":
        half = set(random.sample(peers, len(peers) // 2))
        return Twins(_party(plan, me, coin, 0), _party(plan, me, coin, value), peers, lambda peer: peer in half)
    if how == "forging":
        return _party(plan, me, ForgingCoin(coin, b"forged"), value)
    if how == "withholding":
        return Withholding(
            _party(plan, me, coin, value), peers, lambda _, message: not isinstance(message, CoinShare | Conf)
        )
    if how == "garbage":
        return Babbling(_party(plan, me, coin, value), peers, random, lambda r: make_up(r, plan.proof_known))
    return Silent()


def make_up(random: Random, proof_known: bool) -> AgreementMessage:
    """Any message, well formed or not."""
    number, value = random.choice((0, 0, 1, 2, 2, 3, 4, 9, 70, 2**63 - 1, -1)), random.choice((0, 0, 1, 1, 2))
    proof = random.choice((None, PROOF if proof_known else b"forged", b"forged"))
    values = random.choice(((0,), (1,), (0, 1), (), (1, 0)))
    share = random.randbytes(random.choice((SHARE_SIZE_BYTES, 5)))
    return random.choice(
        (
            Input(),
            Bval(number, value, proof),
            Aux(number, value),
            Conf(number, values),
            CoinShare(number, share),
            Decide(number, value, proof),
        )
    )


def _check(plan: AgreementPlan, network: Network[AgreementMessage, Decision]) -> AgreementReport:
    seats = {party: network.seats[party] for party in plan.honest}
    undecided = [party for party, seat in seats.items() if not seat.outputs]
    if undecided:
        raise ViolationError(f"termination: {undecided} never decide")
    decisions = {party: seat.outputs[0] for party, seat in seats.items()}
    values = {party: decision.value for party, decision in decisions.items()}
    values_of_all_lives = [out.value for seat in seats.values() for life in seat.earlier_outputs for out in life]
    check_agreement({**values, **{PartyId(plan.n + i): value for i, value in enumerate(values_of_all_lives)}})
    check_no_honest_blamed(plan.honest, {party: seat.faults for party, seat in seats.items()})
    value = next(iter(values.values()))
    _check_validity(plan, value, decisions.values())
    rounds = max(decision.round for decision in decisions.values())
    return AgreementReport(plan, value, rounds, network.deliveries, network.trace)


def _check_validity(plan: AgreementPlan, value: int, decisions: Iterable[Decision]) -> None:
    for_one = [party for party in plan.honest if plan.proposals[party] == 1]
    if plan.quorums.has_honest(for_one) and value == 0:
        raise ViolationError(f"bias: {for_one} proposed 1")
    if not for_one and not plan.proof_known and value == 1:
        raise ViolationError("validity: nobody could prove 1")
    if any(decision.proof != (PROOF if value else None) for decision in decisions):
        raise ViolationError("external validity: a decision without its proof")
