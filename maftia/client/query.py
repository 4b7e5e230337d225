"""A retrieve out of order: 2t+1 servers that list the same from their newest commits.

Source: services.md, "Retrieve" (quorum retrieve).   Bound: n > 3t.

Guarantees: what is believed stood in the state of t+1 honest servers when they answered,
which was after the question.  It may lag a moment behind what other clients were told:
behind by what t+1 honest servers had not applied yet.  Where n-t honest servers answer
alike, there is a result.

Messages: QUERY to every server; LISTED(serials, certificates): 2t+1 equal lists are
believed; REFUSED(code): t+1 servers on one code.

Why it works: of 2t+1 equal lists t+1 are honest servers' own.  So t liars, or t servers
with an old snapshot, can make nothing accepted that t+1 honest ones do not state, and
the n-t ≥ 2t+1 honest ones need none of them.  Honest servers that apply one commit a
moment apart list different things for as long, so who hears no 2t+1 asks all again
(`inquiry`).  A certificate is genuine by its signature, from whomever; a listed one that
no server has finished yet is waited for alike.

Deviations: as of `inquiry`.

Caller must: as of `Conversation`; leave out certificates that have ended by its clock, as
an idle cluster's newest commit may be older than their end.

Limits and cost: one answer of each server is kept, at most a frame; certificates are
verified once a list is believed, one for each serial and server at worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from maftia.client.conversation import Deployment, Say
from maftia.client.inquiry import Inquiry
from maftia.client.reply_collector import Believed
from maftia.core.certificate import SERIAL_SIZE_BYTES, certificate_facts, is_signed_by
from maftia.core.errors import FormatError
from maftia.core.identifiers import PartyId
from maftia.dca.compose import SignedRequest
from maftia.dca.messages import ClientMessage, Listed, Query, ServerMessage
from maftia.dca.requests import RETRIEVE, Answer


class QueryConversation(Inquiry[Believed]):
    """The state machine of one retrieve out of order."""

    def __init__(self, deployment: Deployment, signed: SignedRequest, now_ms: int) -> None:
        super().__init__(deployment.quorums, signed.subject.rid, now_ms)
        self._deployment = deployment
        self._subject = signed.subject
        self._query = Query(signed.data)
        self._genuine: dict[bytes, bytes] = {}
        """certificates that verify, by serial"""

    def _questions(self) -> Sequence[ClientMessage]:
        return (self._query,)

    def _on_answer(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:  # noqa: ARG002
        # upon LISTED: the newest of each server counts; 2t+1 equal lists are believed
        if isinstance(message, Listed) and self._is_sound(message):
            self._answers[server] = message
            self.result = self._believed()
        return []

    def _is_sound(self, listed: Listed) -> bool:
        serials = listed.serials
        return (
            listed.digest == self._subject.digest
            and len(listed.certificates) == len(serials)
            and all(len(serial) == SERIAL_SIZE_BYTES for serial in serials)
            and all(one < other for one, other in pairwise(serials))
        )

    def _believed(self) -> Believed | None:
        lists = {server: answer for server, answer in self._answers.items() if isinstance(answer, Listed)}
        for serials in {listed.serials for listed in lists.values()}:
            servers = {server for server, listed in lists.items() if listed.serials == serials}
            if self._quorums.has_honest_majority(servers):
                return self._complete(serials, [lists[server] for server in sorted(servers)])
        return None

    def _complete(self, serials: tuple[bytes, ...], lists: list[Listed]) -> Believed | None:
        """The list with its certificates; None while one of them is missing."""
        for place, serial in enumerate(serials):
            if serial not in self._genuine:
                offered = (listed.certificates[place] for listed in lists)
                genuine = next((one for one in dict.fromkeys(offered) if self._is_genuine(serial, one)), None)
                if genuine is None:
                    return None
                self._genuine[serial] = genuine
        answer = Answer("", "", RETRIEVE, b"", serials, 0, 0)
        return Believed(answer, tuple(self._genuine[serial] for serial in serials))

    def _is_genuine(self, serial: bytes, certificate: bytes) -> bool:
        try:
            return certificate_facts(certificate).serial == serial and is_signed_by(
                certificate, self._deployment.ca_key
            )
        except FormatError:
            return False
