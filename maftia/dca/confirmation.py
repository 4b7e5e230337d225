"""What one server does to be satisfied that a key is its client's: challenges and attestations.

Source: services.md, "Evidence before order", 1 and 2.

Nothing here is remembered: a nonce is recognised by its MAC, a secret nonce is made again
from the request and the time that the client repeats, and an attestation is the client's
to keep.

A signature key signs the nonce of the server's Welcome.  An encryption key opens a
challenge that is sealed for it, and answers with a MAC; the string of both is the same
(`challenge_string`, over the Welcome nonce), so an answer belongs to one connection, one
server and one request.  The request's purpose decides which of the two is asked for: an
RSA key that is to be certified for encryption must decrypt, and one for signatures sign.

Limits and cost: a signature or a seal per message (0.2 ms at most), and what the caller
allows of them.
"""

from __future__ import annotations

from maftia.core.challenge import DecryptionNonces, Question, seal
from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.identifiers import Domain
from maftia.core.signing import Authenticator
from maftia.core.spki import ENCRYPTION, PublicKeyFacts, UnsupportedKeyError
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, Nonces, answers_challenge, attest
from maftia.dca.form import Case
from maftia.dca.messages import Ask, Attested, Challenge, Confirm, Refused
from maftia.dca.requests import challenge_string

NO_KEY = Refusal(Code.MALFORMED, "a request without a key has no challenge to answer")
NOT_FOR_ENCRYPTION = Refusal(Code.MALFORMED, "only the key of a request for encryption is asked to decrypt")
NOT_OURS = Refusal(Code.CONFIRMATION_FAILED, "the challenge is not this server's, or is too old: connect again")
NOT_SIGNED = Refusal(Code.CONFIRMATION_FAILED, "the key did not sign the challenge")
NOT_OPENED = Refusal(Code.CONFIRMATION_FAILED, "the key did not open the challenge of that time, or it is too old")


class Confirmation:
    """The challenges of one server."""

    def __init__(self, domain: Domain, authenticator: Authenticator, secret: bytes) -> None:
        self._domain = domain
        self._authenticator = authenticator
        self._nonces = Nonces(domain, authenticator.me, secret)
        self._decryption = DecryptionNonces(domain, authenticator.me, secret)

    def welcome_nonce(self, utc_ms: int, unique: bytes) -> bytes:
        """A challenge for a client that connects; `unique` differs from call to call."""
        return self._nonces.make(utc_ms, unique)

    def recognises(self, nonce: bytes, now_utc_ms: int) -> bool:
        """Whether it is a challenge of this server's that is young enough to be answered."""
        return self._nonces.recognises(nonce, now_utc_ms)

    def ask(self, case: Case, ask: Ask, now_utc_ms: int) -> Challenge | Refused:
        """A challenge sealed to the encryption key of a case, or why there is none."""
        sealed = self._sealed(case, ask, now_utc_ms)
        if isinstance(sealed, Refusal):
            return Refused(case.request.rid, sealed.code, sealed.detail)
        return Challenge(case.request.rid, now_utc_ms, sealed)

    def attest(self, case: Case, confirm: Confirm, now_utc_ms: int) -> Attested | Refused:
        """This server's attestation that the key of a case answered its challenge, or why not."""
        refusal = self._refusal(case, confirm, now_utc_ms)
        if refusal is not None:
            return Refused(case.request.rid, refusal.code, refusal.detail)
        claim = Claim(CHALLENGE_GATHERER, _key_of(case).digest)
        return Attested(case.request.rid, attest(self._authenticator, case.subject, claim, now_utc_ms))

    def _sealed(self, case: Case, ask: Ask, now_utc_ms: int) -> bytes | Refusal:
        if case.key is None or case.request.purpose != ENCRYPTION:
            return NOT_FOR_ENCRYPTION
        if not self._nonces.recognises(ask.nonce, now_utc_ms):
            return NOT_OURS
        nonce = self._decryption.make(_question(case), now_utc_ms)
        try:
            return seal(case.request.key, self._string(case, ask.nonce), nonce)
        except UnsupportedKeyError:
            return Refusal(Code.UNSUPPORTED_KEY, "nothing can be encrypted under this key")

    def _refusal(self, case: Case, confirm: Confirm, now_utc_ms: int) -> Refusal | None:
        if case.key is None:
            return NO_KEY
        if not self._nonces.recognises(confirm.nonce, now_utc_ms):
            return NOT_OURS
        if case.request.purpose == ENCRYPTION:
            return self._unless_opened(case, confirm, now_utc_ms)
        if confirm.time_ms:
            return NOT_FOR_ENCRYPTION
        server, spki = self._authenticator.me, case.request.key
        if not answers_challenge(self._domain, server, case.subject, spki, confirm.nonce, confirm.proof):
            return NOT_SIGNED
        return None

    def _unless_opened(self, case: Case, confirm: Confirm, now_utc_ms: int) -> Refusal | None:
        string, answer = self._string(case, confirm.nonce), confirm.proof
        question = _question(case)
        is_answered = self._decryption.is_answered(question, confirm.time_ms, string, answer, now_utc_ms)
        return None if is_answered else NOT_OPENED

    def _string(self, case: Case, nonce: bytes) -> bytes:
        subject = case.subject
        return challenge_string(
            self._domain, self._authenticator.me, subject.client, subject.rid, subject.digest, nonce
        )


def _question(case: Case) -> Question:
    subject = case.subject
    return Question(_key_of(case).digest, subject.client, subject.rid, subject.digest)


def _key_of(case: Case) -> PublicKeyFacts:
    if case.key is None:
        raise InvariantError("a challenge was made or answered without a key")
    return case.key
