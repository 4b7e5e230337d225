"""What a stranger's record may cost every server, charged where it enters.

Source: services.md, "Evidence before order".

Each ordered record is judged by all servers.  What ordinary evidence costs is free: the
attestations, a proof and a credential.  What is beyond is estimated from the record alone,
before anything of it is verified, and charged to its source; so are requests that make
servers look through the certificates of a key or name.  A source that has used its share
is told `overloaded`, and its record is not ordered from here.

Guarantees: evidence beyond the ordinary takes a tenth of a core at most, common searches
as much, whoever asks; one source has a quarter of that.  A search by who has some hundred
certificates costs up to eight times what is charged, still no more than a common issue.
Ordinary requests, and revocations by serial, are never refused here.

Limits and cost: a few lengths for each record.  Each server charges for itself, so what
enters by all of n servers may cost n times as much; and a corrupt server charges nothing
(`abc` bounds what one server proposes).
"""

from __future__ import annotations

from collections.abc import Iterable

from maftia.core.limits import (
    ORDINARY_WORK,
    SEARCH_WORK,
    SOURCE_SHARE,
    TOLL_WORK_BURST,
    TOLL_WORK_PER_S,
)
from maftia.dca.requests import RETRIEVE, REVOKE, RecordBody, Request
from maftia.replica.allowance import SharedAllowance

_P384_SIZE_BYTES = 120
_P384_WORK = 6


def work_of_key(spki: bytes) -> int:
    """What parsing a key and verifying by it may cost, in 0.1 ms, by its length: RSA grows with the square."""
    return _P384_WORK if len(spki) == _P384_SIZE_BYTES else 1 + len(spki) ** 2 // 100_000


def work_of_evidence(body: RecordBody, n: int) -> int:
    """What verifying the evidence of a record among n servers may cost beyond the ordinary, in 0.1 ms."""
    keys = [*(proof.key for proof in body.proofs), *(proof.key for proof in body.certificates)]
    keys += [given.authority for given in body.authorizations]
    work = sum(map(work_of_key, keys)) + len(body.tokens) + (work_of_key(body.csr[:1024]) if body.csr else 0)
    return max(0, work - ORDINARY_WORK) + max(0, len(body.attestations) - 2 * n)


def work_of_search(request: Request) -> int:
    """What a request may make servers read, in 0.1 ms."""
    is_search = request.kind == RETRIEVE or (request.kind == REVOKE and not request.serial)
    return SEARCH_WORK if is_search else 0


class Tolls:
    """Who may enter what."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._evidence = _allowance()
        self._searches = _allowance()

    def admits(self, source: str, request: Request, body: RecordBody, monotonic_ms: int) -> bool:
        """Whether a record of this source may be ordered now; if so it is charged."""
        charges = ((self._evidence, work_of_evidence(body, self._n)), (self._searches, work_of_search(request)))
        return _pay(charges, source, monotonic_ms)


class KeyTolls:
    """Who may have a key's signature verified that costs more than an ordinary one."""

    def __init__(self) -> None:
        self._keys = _allowance()

    def admits(self, source: str, spki: bytes, monotonic_ms: int) -> bool:
        """Whether a signature by this key may be verified now for this source; if so it is charged."""
        return _pay([(self._keys, max(0, work_of_key(spki) - ORDINARY_WORK // 3))], source, monotonic_ms)


def _allowance() -> SharedAllowance:
    return SharedAllowance(TOLL_WORK_PER_S, TOLL_WORK_BURST, TOLL_WORK_PER_S // SOURCE_SHARE)


def _pay(charges: Iterable[tuple[SharedAllowance, int]], source: str, monotonic_ms: int) -> bool:
    due = [(allowance, work) for allowance, work in charges if work]
    if not all(allowance.has_room(source, monotonic_ms) for allowance, _ in due):
        return False
    for allowance, work in due:
        allowance.spend(source, work)
    return True
