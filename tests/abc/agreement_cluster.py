"""Small clusters of agreement machines under a script, and what the tests ask of them."""

from __future__ import annotations

from collections.abc import Iterable

from maftia.abc.agreement_messages import AgreementMessage, Aux, Bval, Conf, Decide, Input
from maftia.abc.binary_agreement import AgreementStep, BinaryAgreement, Decision
from maftia.core.identifiers import PartyId, instance_id
from maftia.core.quorum import Quorums
from maftia.sim.coins import HashCoin
from maftia.sim.script import Pending, Script

INSTANCE = instance_id("dfe", "test")
PROOF = b"a resolve request"


def machine(quorums: Quorums, me: int, coin_seed: bytes = b"coin") -> BinaryAgreement:
    party = PartyId(me)
    return BinaryAgreement(INSTANCE, quorums, party, HashCoin(coin_seed, quorums, party), lambda proof: proof == PROOF)


def coin_bit(quorums: Quorums, number: int, coin_seed: bytes = b"coin") -> int:
    """The coin of a round, as the protocol maps it to a bit."""
    if number < 2:
        return 1 - number
    value = HashCoin(coin_seed, quorums, PartyId(0)).foresee(f"agreement/{INSTANCE}", number)
    return value.value("agreement")[0] & 1


class Cluster(Script[AgreementMessage, Decision]):
    """The honest parties of n; the others (the last ones) are the script's."""

    machines: dict[PartyId, BinaryAgreement]

    def __init__(self, n: int, honest: int, coin_seed: bytes = b"coin") -> None:
        self.quorums = Quorums.of(n)
        self.coin_seed = coin_seed
        self.honest = range(honest)
        super().__init__({PartyId(me): machine(self.quorums, me, coin_seed) for me in self.honest})

    def propose(self, values: Iterable[int]) -> None:
        for me, value in enumerate(values):
            party = PartyId(me)
            self.absorb(party, self.machines[party].propose(value, PROOF if value else None))

    def decisions(self) -> list[int | None]:
        return [out[0].value if out else None for out in self.outputs.values()]

    def pass_on(
        self,
        kind: type[AgreementMessage],
        senders: Iterable[int],
        to: int,
        number: int | None = None,
        value: int | None = None,
    ) -> int:
        """Deliver the waiting messages of a kind (and round, and value) from some honest parties to one."""
        chosen = set(senders)

        def wanted(item: Pending[AgreementMessage]) -> bool:
            said = item.message
            return (
                item.to == to
                and item.sender in chosen
                and isinstance(said, kind)
                and (number is None or getattr(said, "round", None) == number)
                and (value is None or getattr(said, "value", None) == value)
            )

        return self.deliver(wanted)

    def check_all_decide(self, value: int | None = None) -> None:
        """Deliver everything; then every honest party has decided, the same, once, and nobody honest is blamed."""
        self.drain()
        decided = self.decisions()
        assert None not in decided, f"somebody never decides: {decided}"
        assert len(set(decided)) == 1, f"two decisions: {decided}"
        assert value is None or decided[0] == value, f"{decided[0]} was decided"
        assert all(len(out) == 1 for out in self.outputs.values())
        assert all(out[0].proof == (PROOF if out[0].value else None) for out in self.outputs.values())
        blamed = {fault.party for _, fault in self.faults}
        assert not blamed & set(self.honest), f"honest parties are blamed: {self.faults}"


def said(step: AgreementStep) -> list[AgreementMessage]:
    return [send.message for send in step.messages]


__all__ = ["INSTANCE", "PROOF", "Aux", "Bval", "Cluster", "Conf", "Decide", "Input", "coin_bit", "machine", "said"]
