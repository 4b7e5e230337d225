"""What clients ask out of order: answered at once from the newest commit, or not at all.

Source: services.md, "Retrieve" (quorum), "Log", "Policy"; docs/adr/0020-log.md.

Guarantees: an inquiry changes nothing, and the servers' other work does not wait for
it longer than the allowances say.  An answer is this server's word alone.

Messages: QUERY, POLICY-QUERY and their answers (`dca.messages`), or REFUSED.

Limits and cost: retrieves share one allowance (`QUERY_WORK_PER_S`), policy and log
another (`READ_WORK_PER_S`), in units of some 6 µs: each a tenth of a core at most,
whoever asks.  Of each, one source has a quarter.  An answer fits what may wait for a
client (`CLIENT_OUTBOX_BYTES_MAX`).
"""

from __future__ import annotations

from maftia.core.codec import encode
from maftia.core.errors import Code, Refusal
from maftia.core.limits import (
    POLICY_WORK,
    QUERY_WORK_BURST,
    QUERY_WORK_PER_S,
    READ_BYTES_PER_WORK,
    READ_WORK_BURST,
    READ_WORK_PER_S,
    SOURCE_SHARE,
)
from maftia.dca.form import rid_of_request
from maftia.dca.messages import LogQuery, PolicyQuery, Query, Refused, ServerMessage
from maftia.dca.service import Service
from maftia.replica.allowance import SharedAllowance

Inquiry = Query | PolicyQuery | LogQuery
TOO_MANY = Refusal(Code.OVERLOADED, "too many ask at the moment")


class Inquiries:
    """Answers what is asked of one server's state."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._retrieves = SharedAllowance(QUERY_WORK_PER_S, QUERY_WORK_BURST, QUERY_WORK_PER_S // SOURCE_SHARE)
        self._reads = SharedAllowance(READ_WORK_PER_S, READ_WORK_BURST, READ_WORK_PER_S // SOURCE_SHARE)

    def answer(self, inquiry: Inquiry, source: str, monotonic_ms: int) -> bytes:
        """The encoded answer, or that there is no time for such work now."""
        allowance = self._retrieves if isinstance(inquiry, Query) else self._reads
        if not allowance.has_room(source, monotonic_ms):
            return encode(Refused(_rid_of(inquiry), TOO_MANY.code, TOO_MANY.detail))
        answer, work = self._answered(inquiry)
        frame = encode(answer)
        allowance.spend(source, work + len(frame) // READ_BYTES_PER_WORK)
        return frame

    def _answered(self, inquiry: Inquiry) -> tuple[ServerMessage, int]:
        """The answer, and what it cost beside its bytes."""
        if isinstance(inquiry, Query):
            # upon QUERY: what my newest commit lists
            return self._service.query(inquiry.request)
        if isinstance(inquiry, PolicyQuery):
            # upon POLICY-QUERY: the policy of my newest commit
            return self._service.policy_found(inquiry.rid), POLICY_WORK
        return Refused(inquiry.rid, Code.NOT_FOUND, "the log of this server does not have that"), POLICY_WORK


def _rid_of(inquiry: Inquiry) -> bytes:
    return rid_of_request(inquiry.request) if isinstance(inquiry, Query) else inquiry.rid
