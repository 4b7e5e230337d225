"""What is gone elsewhere: telling a peer that lags, and learning that this server does.

Source: protocols.md 3, Accepted ("asked for a block <= S, a server answers with that
checkpoint") and Catch-up.   Bound: n > 3t.

Guarantees: a server that needs what every honest server has deleted learns it, and the
commit of a checkpoint that brings it home.  t liars alone make no server believe it.

Messages: GONE(horizon, commit), to a peer that asked for a block at or below S which is
not here, or for own blocks of which some are deleted; once per link and checkpoint.

Why it works: an honest server says GONE(S, c) only of a certified checkpoint that it has
reached or installed.  `behind` is the (t+1)-th highest of the peers' claims: one honest
server at least claims as much.  Whoever lacks a block asks all who showed it a child, in
the end all active honest servers; each has the block or says GONE, and there are at
least n-t-1 >= t+1 of them.

What a lie costs: t liars can add their claims to one honest one, which is true: the
server then fetches a snapshot that it could have done without, of a checkpoint that is
certified and above its own commit.  Claims above that change nothing, as the (t+1)-th
counts.  An honest claim can be provoked by a reference to a block that does not exist;
it is true all the same, and moot once the commit is reached.

Caller must: reset a peer's telling when a link to it came up.
Limits and cost: one number per peer each way; one small message per link and checkpoint.
"""

from __future__ import annotations

from maftia.abc.messages import Gone
from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums


class Behind:
    """Who was told that blocks are gone, and who said so."""

    def __init__(self, quorums: Quorums) -> None:
        self._quorums = quorums
        self._told: dict[PartyId, int] = {}
        self._claims: dict[PartyId, int] = {}

    def tell(self, peer: PartyId, horizon: int, commit: int) -> Gone | None:
        """The answer to a peer that asked for what is gone; None where this link has brought it."""
        if self._told.get(peer, 0) >= commit:
            return None
        self._told[peer] = commit
        return Gone(horizon, commit)

    def link_renewed(self, peer: PartyId) -> None:
        """What was told on the old link may be lost."""
        self._told.pop(peer, None)

    def claimed(self, peer: PartyId, commit: int) -> None:
        """A peer says that it has a certified checkpoint of this commit."""
        self._claims[peer] = max(commit, self._claims.get(peer, 0))

    def commit(self, index: int) -> int | None:
        """A commit above `index` that t+1 peers claim to have certified, or more; None if there is none."""
        for commit in sorted(set(self._claims.values()), reverse=True):
            if commit > index and self._quorums.has_honest([p for p, claim in self._claims.items() if claim >= commit]):
                return commit
        return None
