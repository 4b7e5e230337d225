"""The evidence of a record, counted at its position: what is confirmed, and what was shown.

Source: services.md, "Evidence before order", "Rights", "Policy".

Kinds of evidence: attestations of servers (`dca.evidence`), a certification request, the
signatures of keys, and credentials: tokens, words of authorities, certificates.  All are
bound to the request's digest under its client and rid, but for an authority's word and a
plain certification request.  Those name the key, so they are good for its holder only, and
give no right over anything.

A *bound* certification request counts exactly as the key's own signature over the request.
A *plain* one anybody may copy: it serves `issue` only, where the policy says `plain_csr`.
One that is bound to something else refuses the request: it is somebody else's evidence,
and never taken for a plain one.

Everything here is a function of record, policy, agreed time and the valid certificates.
What is not good evidence is ignored, so that a bad signature beside good ones harms
nobody; only a certification request is judged as a whole, for it is the request in other
words.

A stranger's record is full of what costs most to verify and shows nothing.  So nothing is
verified before its outcome is asked for: what the policy refuses, or nobody attested,
comes to no credential and no further key (`effects`).  And nothing is verified that could
not matter: a key's proof only where it is the request's key, has a valid certificate, or
is one of enough administrators; a certificate's only where there is such a one of that key;
an authority's word only for the request's key, and before its end.  All that is told by
digests and look-ups, before a key is even parsed.

Caller must: ask for what a record shows before it changes the state.

Limits and cost: per record n attestations of the challenge and of each gatherer, the
proofs of administrators once each, PROOFS_PER_RECORD_MAX others, TOKENS_PER_RECORD_MAX and
AUTHORIZATIONS_PER_RECORD_MAX credentials of each kind; one signature check for each that
could matter (0.05 to 0.7 ms), one look-up (10 µs) for each that could not.  Of the
administrators' no more are checked once too few are left that could be good.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from maftia.core.csr import Binding, CsrFacts, read_csr
from maftia.core.errors import Code, Refusal
from maftia.core.identifiers import Domain
from maftia.core.limits import (
    AUTHORIZATIONS_PER_RECORD_MAX,
    GATHERERS_PER_PROFILE_MAX,
    PROOFS_PER_RECORD_MAX,
    TOKENS_PER_RECORD_MAX,
)
from maftia.core.policy import BY_CERTIFICATE, BY_SIGNATURE, PROOF, TOKEN, Profile
from maftia.core.profiles import INTERMEDIATE
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator
from maftia.core.spki import key_digest, verify_by_key
from maftia.core.step import Fault
from maftia.dca.evidence import (
    CHALLENGE_GATHERER,
    Claim,
    Count,
    count_attestations,
    proven_key,
    proven_tokens,
)
from maftia.dca.form import Case
from maftia.dca.gatherers import Gatherers
from maftia.dca.policy_in_force import PolicyInForce
from maftia.dca.registry import Registry
from maftia.dca.requests import (
    ADMIN,
    ISSUE,
    RETRIEVE,
    REVOKE,
    UPDATE,
    Authorization,
    CertificateProof,
    KeyProof,
    RecordBody,
    authorization_string,
    certificate_proof_string,
    key_proof_string,
)

NO_EVIDENCE = Refusal(Code.MALFORMED, "a retrieve takes no evidence")
PROOFS_ONLY = Refusal(Code.MALFORMED, "an administrators' request takes the signatures of keys and no other evidence")
TOO_MUCH = Refusal(Code.MALFORMED, "more evidence than a record may hold")
NO_KEY = Refusal(Code.MALFORMED, "a certification request was given with a request that names no key")
OTHER_KEY = Refusal(Code.MALFORMED, "the certification request is for another key")
OTHER_NAMES = Refusal(Code.MALFORMED, "the certification request states other names")
OTHER_REQUEST = Refusal(Code.CONFIRMATION_FAILED, "the certification request is bound to another request")


@dataclass(frozen=True, slots=True)
class Grounds:
    """What evidence is held against."""

    domain: Domain
    quorums: Quorums
    authenticator: Authenticator
    in_force: PolicyInForce
    registry: Registry
    gatherers: Gatherers


class Examiner:
    """Counts the evidence of records, by the policy in force."""

    def __init__(self, grounds: Grounds) -> None:
        self._grounds = grounds

    def excess(self, case: Case, body: RecordBody) -> Refusal | None:
        """Why a record may not hold the evidence it holds: for its kind, or at all.  Reads no signature."""
        others = (body.attestations, body.tokens, body.csr, body.authorizations, body.certificates)
        if case.request.kind == RETRIEVE and (body.proofs or any(others)):
            return NO_EVIDENCE
        if case.request.kind == ADMIN and any(others):
            return PROOFS_ONLY
        return TOO_MUCH if self._is_too_much(body) else None

    def examine(self, case: Case, body: RecordBody, agreed_ms: int) -> Shown:
        """What the evidence of a record shows, where there is no `excess` of it."""
        return Shown(self._grounds, case, body, agreed_ms)

    def _is_too_much(self, body: RecordBody) -> bool:
        administrators = self._grounds.in_force.administrators.keys.intersection(proof.key for proof in body.proofs)
        gathered = Counter(attestation.gatherer for attestation in body.attestations)
        return (
            len(body.proofs) - len(administrators) > PROOFS_PER_RECORD_MAX
            or len(body.tokens) > TOKENS_PER_RECORD_MAX
            or len(body.authorizations) > AUTHORIZATIONS_PER_RECORD_MAX
            or len(body.certificates) > AUTHORIZATIONS_PER_RECORD_MAX
            or len(gathered) > 1 + GATHERERS_PER_PROFILE_MAX
            or any(count > self._grounds.quorums.n for count in gathered.values())
        )


class Shown:
    """What a record shows, as counted at its position: each thing when it is first asked for."""

    def __init__(self, grounds: Grounds, case: Case, body: RecordBody, agreed_ms: int) -> None:
        self._grounds = grounds
        self._case = case
        self._body = body
        self._agreed_ms = agreed_ms
        self._key = None if case.key is None else case.key.digest
        self._verdicts: dict[bytes, bool] = {}
        """on the keys whose proofs were verified: one may count for several reasons"""
        self.faults: tuple[Fault, ...] = ()
        """servers that lied, as far as their attestations were counted"""

    @property
    def refusal(self) -> Refusal | None:
        """Of the certification request: it refuses the whole request, before anything else is judged."""
        return self._csr if isinstance(self._csr, Refusal) else None

    @cached_property
    def is_confirmed(self) -> bool:
        """Whether the request's key answered its challenges (or what the policy accepts instead)."""
        return self._is_challenged or self._confirms()

    @property
    def is_short(self) -> bool:
        """Whether attestations of the challenge were given, and too few of them count."""
        return _has_challenged(self._body) and not self._is_challenged

    @cached_property
    def keys(self) -> frozenset[bytes]:
        """Digests of the keys that took part: they have rights, and administrators are found among them."""
        own = frozenset({self._key}) if self._key is not None and self._is_key_shown else frozenset[bytes]()
        return own | self._keys_with_certificates() | self._administrators()

    @cached_property
    def tokens(self) -> frozenset[bytes]:
        """Public keys of the tokens that signed the request."""
        if not self._asks(TOKEN):
            return frozenset()
        grants = self._grounds.in_force.policy.tokens
        known = (proof for proof in self._body.tokens if grants.get(proof.public_key) is not None)
        return proven_tokens(self._grounds.domain, self._case.subject, known)

    @cached_property
    def authorizations(self) -> tuple[Authorization, ...]:
        """Those for the request's key that authorities of the policy signed; `Credentials` judges the rest."""
        if not self._asks(BY_SIGNATURE):
            return ()
        authorities = {each.public_key for each in self._grounds.in_force.policy.authorities}
        return tuple(
            given
            for given in self._body.authorizations
            if given.authority in authorities and given.key == self._key and self._is_signed(given)
        )

    @cached_property
    def certificates(self) -> frozenset[tuple[bytes, bytes]]:
        """Serials, with the digests of the keys that signed the request for them; `Credentials` judges the rest."""
        if not self._asks(BY_CERTIFICATE):
            return frozenset()
        proven = ((given.serial, self._holder(given)) for given in self._body.certificates)
        return frozenset((serial, key) for serial, key in proven if key is not None)

    @cached_property
    def validated(self) -> frozenset[str]:
        """The gatherers whose evidence for all names of the request counts."""
        policy = self._grounds.in_force.policy
        needed = policy.validation_attestations_needed(self._grounds.quorums)
        attested = {attestation.gatherer for attestation in self._body.attestations}
        asked_for = sorted(name for name in attested if policy.gathers(name)) if self._case.identifiers else ()
        claims = self._grounds.gatherers.claims(asked_for, self._case)
        return frozenset(claim.gatherer for claim in claims if len(self._count(claim).servers) >= needed)

    def has_gathered(self, profile: Profile) -> bool:
        """Whether there is evidence for all names from every gatherer that a profile asks for."""
        return not profile.gather or self.validated.issuperset(profile.gather)

    def has_right_by_names(self, profile: Profile | None) -> bool:
        """Whether it gives the right over certificates of exactly the request's names, under their profile."""
        return profile is not None and bool(profile.gather) and self.has_gathered(profile)

    # --- attestations

    @cached_property
    def _is_challenged(self) -> bool:
        if self._key is None:
            return False
        needed = self._grounds.in_force.policy.attestations_needed(self._grounds.quorums)
        return len(self._count(Claim(CHALLENGE_GATHERER, self._key)).servers) >= needed

    def _count(self, claim: Claim) -> Count:
        servers, subject = self._grounds.authenticator, self._case.subject
        count = count_attestations(servers, subject, claim, self._body.attestations, self._agreed_ms)
        self.faults += count.faults
        return count

    # --- the request's key

    def _confirms(self) -> bool:
        """Whether the policy accepts what there is instead of attestations."""
        rules = self._grounds.in_force.policy.cluster
        if rules.confirm == PROOF and self._key is not None and self._is_key_shown:
            return True
        is_plain = isinstance(self._csr, CsrFacts) and self._csr.binding is None
        return is_plain and rules.plain_csr and self._case.request.kind == ISSUE

    @cached_property
    def _is_key_shown(self) -> bool:
        """Whether the request's key took part: by challenges, a bound certification request, or its own signature."""
        is_bound = isinstance(self._csr, CsrFacts) and self._csr.binding is not None
        if self._key is None or self._is_challenged or is_bound:
            return self._key is not None
        # a revocation by a key without certificates finds nothing, whatever it proves
        is_of_use = self._case.request.kind != REVOKE or self._has_certificate(self._key)
        return is_of_use and self._is_proven(self._key)

    @cached_property
    def _csr(self) -> CsrFacts | Refusal | None:
        return self._read_csr(self._body.csr) if self._body.csr else None

    def _read_csr(self, data: bytes) -> CsrFacts | Refusal:
        """The certification request, if it is in order and for this request."""
        request = self._case.request
        if not request.key:
            return NO_KEY
        facts = read_csr(data, authority=request.profile == INTERMEDIATE)
        if isinstance(facts, Refusal):
            return facts
        if facts.key != request.key:
            return OTHER_KEY
        if not (facts.states(request.names) if request.names else not facts.names):
            return OTHER_NAMES
        subject = self._case.subject
        binding = Binding.of(self._grounds.domain, subject.client, subject.rid, subject.digest)
        if facts.binding not in (None, binding):
            return OTHER_REQUEST
        return facts

    # --- other keys

    def _keys_with_certificates(self) -> frozenset[bytes]:
        """Those that signed the request and have valid certificates: no other key is somebody's here."""
        if self._case.request.kind == ADMIN:
            return frozenset()
        others = self._proofs.keys() - {self._key}
        return frozenset(key for key in sorted(others) if self._has_certificate(key) and self._is_proven(key))

    def _administrators(self) -> frozenset[bytes]:
        """The administrators that signed, where enough of them may have."""
        administrators = self._grounds.in_force.administrators
        left = sorted(administrators.digests & self._proofs.keys())
        proven: set[bytes] = set()
        while left and len(proven) + len(left) >= administrators.needed:
            key = left.pop()
            if self._is_proven(key):
                proven.add(key)
        return frozenset(proven)

    @cached_property
    def _proofs(self) -> dict[bytes, list[KeyProof]]:
        """By the digest of the key; only what does not verify occurs twice, and is bounded with all others."""
        proofs: dict[bytes, list[KeyProof]] = {}
        for proof in self._body.proofs:
            proofs.setdefault(key_digest(proof.key), []).append(proof)
        return proofs

    def _has_certificate(self, key: bytes) -> bool:
        return next(self._grounds.registry.valid_by_key(key), None) is not None

    def _is_proven(self, key: bytes) -> bool:
        """Whether a key, by its digest, signed the request itself."""
        if key not in self._verdicts:
            subject, given = self._case.subject, self._proofs.get(key, ())
            string = key_proof_string(self._grounds.domain, subject.client, subject.rid, subject.digest)
            self._verdicts[key] = any(proven_key(proof.key, string, proof.signature) for proof in given)
        return self._verdicts[key]

    # --- credentials: of those who ask for a certificate, where the policy wants such

    def _is_signed(self, given: Authorization) -> bool:
        if given.until_ms < self._agreed_ms:
            return False
        string = authorization_string(self._grounds.domain, given.names, given.key, given.until_ms)
        return verify_by_key(given.authority, string, given.signature)

    def _holder(self, given: CertificateProof) -> bytes | None:
        entry = self._grounds.registry.find(given.serial)
        if entry is None or entry.key != key_digest(given.key):
            return None
        subject, domain = self._case.subject, self._grounds.domain
        string = certificate_proof_string(domain, subject.client, subject.rid, subject.digest, given.serial)
        return proven_key(given.key, string, given.signature)

    def _asks(self, mode: str) -> bool:
        return self._case.request.kind in {ISSUE, UPDATE} and mode in self._grounds.in_force.policy.ask


def _has_challenged(body: RecordBody) -> bool:
    return any(attestation.gatherer == CHALLENGE_GATHERER for attestation in body.attestations)
