"""What one server does to be satisfied that a key is its client's: challenges and attestations.

Source: services.md, "Evidence before order", 1 and 2.

Nothing here is remembered: a nonce is recognised by its MAC, and an attestation is the
client's to keep.
"""

from __future__ import annotations

from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.identifiers import Domain
from maftia.core.signing import Authenticator
from maftia.core.spki import SIGNATURE as FOR_SIGNATURE
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, Nonces, answers_challenge, attest
from maftia.dca.form import Case
from maftia.dca.messages import Attested, Confirm, Refused


class Confirmation:
    """The challenges of one server."""

    def __init__(self, domain: Domain, authenticator: Authenticator, secret: bytes) -> None:
        self._domain = domain
        self._authenticator = authenticator
        self._nonces = Nonces(domain, authenticator.me, secret)

    def welcome_nonce(self, utc_ms: int, unique: bytes) -> bytes:
        """A challenge for a client that connects; `unique` differs from call to call."""
        return self._nonces.make(utc_ms, unique)

    def attest(self, case: Case, confirm: Confirm, now_utc_ms: int) -> Attested | Refused:
        """This server's attestation that the key of a case answered its challenge, or why not."""
        refusal = self._refusal(case, confirm, now_utc_ms)
        if refusal is not None:
            return Refused(case.request.rid, refusal.code, refusal.detail)
        if case.key is None:
            raise InvariantError("a challenge was answered without a key")
        claim = Claim(CHALLENGE_GATHERER, case.key.digest)
        return Attested(case.request.rid, attest(self._authenticator, case.subject, claim, now_utc_ms))

    def _refusal(self, case: Case, confirm: Confirm, now_utc_ms: int) -> Refusal | None:
        if case.key is None or case.request.purpose not in {"", FOR_SIGNATURE}:
            return Refusal(Code.MALFORMED, "only a request with a signature key has a challenge to answer")
        if not self._nonces.recognises(confirm.nonce, now_utc_ms):
            return Refusal(Code.CONFIRMATION_FAILED, "the challenge is not this server's, or is too old: connect again")
        server, spki = self._authenticator.me, case.request.key
        if not answers_challenge(self._domain, server, case.subject, spki, confirm.nonce, confirm.proof):
            return Refusal(Code.CONFIRMATION_FAILED, "the key did not sign the challenge")
        return None
