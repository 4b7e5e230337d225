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

Everything here is a function of record, policy and agreed time, with no reading of other
state.  What is not good evidence is ignored, so that a bad signature beside good ones
harms nobody; only a certification request is judged as a whole, for it is the request in
other words.

Limits and cost: per record n attestations of the challenge and of each gatherer, the
proofs of administrators once each, PROOFS_PER_RECORD_MAX others, TOKENS_PER_RECORD_MAX and
AUTHORIZATIONS_PER_RECORD_MAX credentials of each kind; one signature check for each that
could matter (0.05 to 0.3 ms), none for those that cannot.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

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
from maftia.core.spki import verify_by_key
from maftia.core.step import Fault
from maftia.dca.evidence import (
    CHALLENGE_GATHERER,
    Claim,
    Count,
    count_attestations,
    proven_key,
    proven_keys,
    proven_tokens,
)
from maftia.dca.form import Case
from maftia.dca.gatherers import Gatherers
from maftia.dca.policy_in_force import PolicyInForce
from maftia.dca.requests import (
    ADMIN,
    ISSUE,
    RETRIEVE,
    UPDATE,
    Authorization,
    CertificateProof,
    RecordBody,
    authorization_string,
    certificate_proof_string,
)

NO_EVIDENCE = Refusal(Code.MALFORMED, "a retrieve takes no evidence")
PROOFS_ONLY = Refusal(Code.MALFORMED, "an administrators' request takes the signatures of keys and no other evidence")
TOO_MUCH = Refusal(Code.MALFORMED, "more evidence than a record may hold")
NO_KEY = Refusal(Code.MALFORMED, "a certification request was given with a request that names no key")
OTHER_KEY = Refusal(Code.MALFORMED, "the certification request is for another key")
OTHER_NAMES = Refusal(Code.MALFORMED, "the certification request states other names")
OTHER_REQUEST = Refusal(Code.CONFIRMATION_FAILED, "the certification request is bound to another request")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a record shows, as counted at its position."""

    is_confirmed: bool
    """the request's key answered its challenges (or what the policy accepts instead)"""
    is_short: bool
    """attestations of the challenge were given, and too few of them count"""
    keys: frozenset[bytes] = frozenset()
    """digests of the keys that took part: they have rights, and administrators are found among them"""
    tokens: frozenset[bytes] = frozenset()
    """public keys of the tokens that signed the request"""
    authorizations: tuple[Authorization, ...] = ()
    """those for the request's key that authorities of the policy signed; `Credentials` judges the rest"""
    certificates: frozenset[tuple[bytes, bytes]] = frozenset()
    """serials, with the digests of the keys that signed the request for them; `Credentials` judges the rest"""
    validated: frozenset[str] = frozenset()
    """the gatherers whose evidence for all names of the request counts"""
    refusal: Refusal | None = None
    """of the certification request: it refuses the whole request, before anything else is judged"""
    faults: tuple[Fault, ...] = ()

    def has_gathered(self, profile: Profile) -> bool:
        """Whether there is evidence for all names from every gatherer that a profile asks for."""
        return self.validated.issuperset(profile.gather)

    def has_right_by_names(self, profile: Profile | None) -> bool:
        """Whether it gives the right over certificates of exactly the request's names, under their profile."""
        return profile is not None and bool(profile.gather) and self.has_gathered(profile)


class Examiner:
    """Counts the evidence of records, by the policy in force."""

    def __init__(
        self,
        domain: Domain,
        quorums: Quorums,
        authenticator: Authenticator,
        in_force: PolicyInForce,
        gatherers: Gatherers | None = None,
    ) -> None:
        self._domain = domain
        self._authenticator = authenticator
        self._quorums = quorums
        self._in_force = in_force
        self._gatherers = gatherers or Gatherers()

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
        policy, key = self._in_force.policy, None if case.key is None else case.key.digest
        csr = self._read_csr(case, body.csr) if body.csr else None
        challenged = self._count_challenged(key, case, body, agreed_ms)
        is_challenged = key is not None and len(challenged.servers) >= policy.attestations_needed(self._quorums)
        proven = proven_keys(self._domain, case.subject, body.proofs)
        if key is not None and isinstance(csr, CsrFacts) and csr.binding is not None:
            proven |= {key}
        validated, faults = self._validated(case, body, agreed_ms)
        return Shown(
            is_confirmed=is_challenged or self._confirms(case, proven, csr),
            is_short=_has_challenged(body) and not is_challenged,
            keys=proven | {key} if key is not None and is_challenged else proven,
            tokens=self._tokens(case, body),
            authorizations=self._authorizations(case, body),
            certificates=self._certificates(case, body),
            validated=validated,
            refusal=csr if isinstance(csr, Refusal) else None,
            faults=challenged.faults + faults,
        )

    def _is_too_much(self, body: RecordBody) -> bool:
        administrators = self._in_force.administrators.keys.intersection(proof.key for proof in body.proofs)
        gathered = Counter(attestation.gatherer for attestation in body.attestations)
        return (
            len(body.proofs) - len(administrators) > PROOFS_PER_RECORD_MAX
            or len(body.tokens) > TOKENS_PER_RECORD_MAX
            or len(body.authorizations) > AUTHORIZATIONS_PER_RECORD_MAX
            or len(body.certificates) > AUTHORIZATIONS_PER_RECORD_MAX
            or len(gathered) > 1 + GATHERERS_PER_PROFILE_MAX
            or any(count > self._quorums.n for count in gathered.values())
        )

    # --- the key

    def _count_challenged(self, key: bytes | None, case: Case, body: RecordBody, agreed_ms: int) -> Count:
        if key is None:
            return Count(frozenset(), ())
        return self._count(case, Claim(CHALLENGE_GATHERER, key), body, agreed_ms)

    def _confirms(self, case: Case, proven: frozenset[bytes], csr: CsrFacts | Refusal | None) -> bool:
        """Whether the policy accepts what there is instead of attestations."""
        rules = self._in_force.policy.cluster
        if rules.confirm == PROOF and case.key is not None and case.key.digest in proven:
            return True
        is_plain = isinstance(csr, CsrFacts) and csr.binding is None
        return is_plain and rules.plain_csr and case.request.kind == ISSUE

    def _read_csr(self, case: Case, data: bytes) -> CsrFacts | Refusal:
        """The certification request, if it is in order and for this request."""
        request = case.request
        if not request.key:
            return NO_KEY
        facts = read_csr(data, authority=request.profile == INTERMEDIATE)
        if isinstance(facts, Refusal):
            return facts
        if facts.key != request.key:
            return OTHER_KEY
        if not (facts.states(request.names) if request.names else not facts.names):
            return OTHER_NAMES
        subject = case.subject
        if facts.binding not in (None, Binding.of(self._domain, subject.client, subject.rid, subject.digest)):
            return OTHER_REQUEST
        return facts

    # --- the names

    def _validated(self, case: Case, body: RecordBody, agreed_ms: int) -> tuple[frozenset[str], tuple[Fault, ...]]:
        """The gatherers whose evidence for all names counts, and the servers that lied about it."""
        policy = self._in_force.policy
        attested = {attestation.gatherer for attestation in body.attestations}
        asked_for = sorted(name for name in attested if policy.gathers(name)) if case.identifiers else ()
        validated: set[str] = set()
        faults: tuple[Fault, ...] = ()
        for claim in self._gatherers.claims(asked_for, case):
            count = self._count(case, claim, body, agreed_ms)
            faults += count.faults
            if len(count.servers) >= policy.validation_attestations_needed(self._quorums):
                validated.add(claim.gatherer)
        return frozenset(validated), faults

    def _count(self, case: Case, claim: Claim, body: RecordBody, agreed_ms: int) -> Count:
        return count_attestations(self._authenticator, case.subject, claim, body.attestations, agreed_ms)

    # --- credentials: of those who ask for a certificate, where the policy wants such

    def _tokens(self, case: Case, body: RecordBody) -> frozenset[bytes]:
        if not self._asks(case, TOKEN):
            return frozenset()
        known = (proof for proof in body.tokens if self._in_force.policy.tokens.get(proof.public_key) is not None)
        return proven_tokens(self._domain, case.subject, known)

    def _authorizations(self, case: Case, body: RecordBody) -> tuple[Authorization, ...]:
        if not self._asks(case, BY_SIGNATURE) or case.key is None:
            return ()
        authorities, key = {each.public_key for each in self._in_force.policy.authorities}, case.key.digest
        return tuple(
            given
            for given in body.authorizations
            if given.authority in authorities and given.key == key and self._is_signed(given)
        )

    def _is_signed(self, given: Authorization) -> bool:
        string = authorization_string(self._domain, given.names, given.key, given.until_ms)
        return verify_by_key(given.authority, string, given.signature)

    def _certificates(self, case: Case, body: RecordBody) -> frozenset[tuple[bytes, bytes]]:
        if not self._asks(case, BY_CERTIFICATE):
            return frozenset()
        proven = ((given.serial, self._holder(case, given)) for given in body.certificates)
        return frozenset((serial, key) for serial, key in proven if key is not None)

    def _holder(self, case: Case, given: CertificateProof) -> bytes | None:
        subject = case.subject
        string = certificate_proof_string(self._domain, subject.client, subject.rid, subject.digest, given.serial)
        return proven_key(given.key, string, given.signature)

    def _asks(self, case: Case, mode: str) -> bool:
        return case.request.kind in {ISSUE, UPDATE} and mode in self._in_force.policy.ask


def _has_challenged(body: RecordBody) -> bool:
    return any(attestation.gatherer == CHALLENGE_GATHERER for attestation in body.attestations)
