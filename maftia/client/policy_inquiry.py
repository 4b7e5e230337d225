"""The policy in force, as 2t+1 servers state it alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from maftia.client.conversation import Say
from maftia.client.inquiry import Inquiry
from maftia.client.results import PolicyFound
from maftia.core.identifiers import PartyId
from maftia.dca.messages import ClientMessage, PolicyQuery, PolicyReply, ServerMessage, TokenInForce

Grant = tuple[bytes, int, tuple[str, ...]]


class PolicyInquiry(Inquiry[PolicyFound]):
    """Asks all for the policy; 2t+1 equal digests, texts and tokens are believed.

    Counts of uses and commits differ from server to server, by the moment.  Of 2t+1 numbers
    the (t+1)-th largest is at most an honest server's, and no less than t+1 honest ones'
    least: liars can neither raise it beyond the truth nor lower it below what all have.
    """

    def _questions(self) -> Sequence[ClientMessage]:
        return (PolicyQuery(self.rid),)

    def _on_answer(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:  # noqa: ARG002
        # upon POLICY: the newest of each server counts; 2t+1 equal ones are believed
        if isinstance(message, PolicyReply):
            self._answers[server] = message
            replies = {party: one for party, one in self._answers.items() if isinstance(one, PolicyReply)}
            alike = {party: one for party, one in replies.items() if _content(one) == _content(message)}
            if self._quorums.has_honest_majority(alike):
                self.result = self._found(list(alike.values()))
        return []

    def _found(self, alike: list[PolicyReply]) -> PolicyFound:
        first = alike[0]
        tokens = tuple(
            TokenInForce(token.public_key, token.uses, self._vouched(one.tokens[i].used for one in alike), token.names)
            for i, token in enumerate(first.tokens)
        )
        return PolicyFound(self._vouched(one.commit for one in alike), first.digest, first.text, tokens)

    def _vouched(self, numbers: Iterable[int]) -> int:
        return sorted(numbers, reverse=True)[self._quorums.t]


def _content(reply: PolicyReply) -> tuple[bytes, str, tuple[Grant, ...]]:
    return reply.digest, reply.text, tuple((one.public_key, one.uses, one.names) for one in reply.tokens)
