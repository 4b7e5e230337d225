"""Honest clients: requests of every kind, and a model of what they must come to.

Each client has names and keys of its own and does one thing after the other, so a
dictionary of its valid certificates says what every answer must be.  What it reads of log
and policy it holds against what honest servers have (`witness`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from maftia.client.conversation import Contact, Conversation, Deployment, Wish
from maftia.client.credentials import authorize
from maftia.client.inclusion import Inclusion, LogSigners
from maftia.client.keys import EncryptionKey, SubjectKey
from maftia.client.log_inquiry import ConsistencyInquiry, HeadInquiry, SerialInquiry
from maftia.client.policy_inquiry import PolicyInquiry
from maftia.client.reply_collector import Believed, Refuted
from maftia.client.results import CertifiedHead, PolicyFound
from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.codec import encode
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code, InvariantError
from maftia.dca.compose import SignedRequest
from maftia.dca.form import KEY_COMPROMISE
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import RecordLeaf
from maftia.log.proofs import ConsistencyProof
from maftia.sim.checkers import ViolationError
from maftia.sim.clients import Errand, Person, Petitioner, Wire
from maftia.sim.network import START_UTC_MS
from maftia.sim.policies import EMAIL, SERVER, SimPolicy, email_of, names_of

AUTHORIZED_MS = 30 * 24 * 3600 * 1000
Key = SubjectKey | EncryptionKey


@dataclass
class Certificates:
    """The model: which certificates of one client are valid, as its finished requests have it."""

    mode: str
    valid: dict[bytes, tuple[bytes, tuple[str, ...]]] = field(default_factory=dict)
    """key and names by serial"""
    banned: set[bytes] = field(default_factory=set)
    plain: set[bytes] = field(default_factory=set)
    """serials of those that a plain certification request was enough for: their key alone has a right over them"""

    def matching(self, key: bytes, names: tuple[str, ...]) -> tuple[bytes, ...]:
        """What an update or a revocation of this key and these names is about."""
        if self.mode == KEY_MAJOR:
            return self._sorted(lambda held, _: held == key)
        return self._sorted(lambda _, held: held == names)

    def found(self, key: bytes, names: tuple[str, ...]) -> tuple[bytes, ...]:
        """What a retrieve finds."""
        return self._sorted(lambda k, held: (not key or k == key) and set(names) <= set(held))

    def remove(self, serials: Sequence[bytes]) -> None:
        """These are valid no longer."""
        for serial in serials:
            del self.valid[serial]
            self.plain.discard(serial)

    def _sorted(self, is_meant: Callable[[bytes, tuple[str, ...]], bool]) -> tuple[bytes, ...]:
        return tuple(sorted(serial for serial, held in self.valid.items() if is_meant(*held)))


@dataclass(frozen=True)
class Expected:
    """What must come of a request."""

    serials: tuple[bytes, ...] = ()
    """superseded, revoked or found"""
    refusal: Code | None = None
    answer: bytes | None = None
    """for a request that is repeated: the very answer"""


class HonestClient(Petitioner):
    """Asks for certificates of its own, and reads log and policy."""

    def __init__(self, person: Person, wire: Wire, deployment: Deployment, policy: SimPolicy, errands: int) -> None:
        super().__init__(person, wire, errands)
        self.proven = 0
        """answers that came with a proof that the log holds them"""
        self._deployment = deployment
        self._policy = policy
        self._certificates = Certificates(person.cluster.keys.mode)
        self._keys = [person.new_key() for _ in range(2)]
        self._encryption_key = person.new_encryption_key()
        self._issues: list[tuple[Wish, bytes, bytes]] = []
        """with the answer and the serial"""
        self._heads: list[LogCheckpoint] = []

    @property
    def public_keys(self) -> list[bytes]:
        """Its keys, as anybody may know them."""
        return [*(key.spki for key in self._keys), self._encryption_key.spki]

    @property
    def encryption_key(self) -> bytes:
        """The one of these that is for encryption."""
        return self._encryption_key.spki

    # --- what it does

    def _choose(self) -> Errand:
        random = self.person.random
        if not self._certificates.valid and random.random() < 0.7:
            return self._bind(update=False)
        draw = random.random()
        if draw < 0.2:
            return self._bind(update=False)
        if draw < 0.4:
            return self._bind(update=True)
        if draw < 0.55:
            return self._revoke()
        if draw < 0.65 and self._issues:
            return self._repeat()
        if draw < 0.78:
            return self._retrieve()
        return random.choice((self._read_serial, self._read_head, self._read_policy))()

    def _request(self, wish: Wish, expected: Expected) -> Errand:
        wish = replace(wish, contact=self._contact())
        self._made(wish.signed)
        talk = Conversation(self._deployment, wish, self.wire.now_ms)
        return Errand(wish.signed.request.kind, talk, partial(self._judge, wish, expected))

    def _bind(self, *, update: bool) -> Errand:
        key, composer = self._any_key(), self.person.composer
        names, make = self._names_for(key), composer.update if update else composer.issue
        profile = EMAIL if isinstance(key, EncryptionKey) else SERVER
        signed = make(self._new_rid(), key.spki, names, profile, key.purpose)
        replaced = self._certificates.matching(key.spki, names) if update else ()
        wish = self._with_credential(self._confirmed(signed, key, may_be_plain=not update), key)
        wish = self._with_rights(wish, replaced)
        return self._request(wish, Expected(replaced, self._binding_refusal(key.spki, replaced, update)))

    def _binding_refusal(self, key: bytes, replaced: tuple[bytes, ...], update: bool) -> Code | None:
        if key in self._certificates.banned:
            return Code.REVOKED_KEY
        return Code.NOT_FOUND if update and not replaced else None

    def _revoke(self) -> Errand:
        random, composer = self.person.random, self.person.composer
        if self._certificates.valid and random.random() < 0.4:
            serial = random.choice(sorted(self._certificates.valid))
            wish = Wish(composer.revoke(self._new_rid(), serial=serial), composer)
            return self._request(self._with_rights(wish, (serial,)), Expected((serial,)))
        key = self._any_key()
        names, is_by_key = self._names_for(key), self._certificates.mode == KEY_MAJOR
        compromised = is_by_key and random.random() < 0.2
        signed = composer.revoke(
            self._new_rid(),
            key=key.spki if is_by_key else b"",
            names=() if is_by_key else names,
            reason=KEY_COMPROMISE if compromised else "unspecified",
            purpose=key.purpose if compromised else "",
        )
        wish = self._confirmed(signed, key, may_be_plain=False) if compromised else Wish(signed, composer)
        removed = self._certificates.matching(key.spki, names)
        wish = self._with_rights(wish, removed)
        return self._request(wish, Expected(removed, None if removed else Code.NOT_FOUND))

    def _retrieve(self) -> Errand:
        composer, key, draw = self.person.composer, self._any_key(), self.person.random.random()
        names = self._names_for(key) if draw < 0.6 else ()
        spki = b"" if draw < 0.3 else key.spki
        signed = composer.retrieve(self._new_rid(), key=spki, names=names)
        return self._request(Wish(signed, composer), Expected(self._certificates.found(spki, names)))

    def _repeat(self) -> Errand:
        wish, answer, _ = self.person.random.choice(self._issues)
        return self._request(replace(wish, is_repeated=True), Expected(answer=answer))

    # --- what it shows

    def _confirmed(self, signed: SignedRequest, key: Key, *, may_be_plain: bool) -> Wish:
        """That the key is its own: by challenge, or by what the policy accepts instead."""
        composer = self.person.composer
        if isinstance(key, EncryptionKey):
            return Wish(signed, composer, open=key.open)
        draw, names = self.person.random.random(), signed.request.names
        if self._policy.is_open and may_be_plain and draw < 0.3:
            return Wish(signed, composer, csr=write_csr(key.spki, names, key.sign))
        if not self._policy.is_open and names and draw < 0.3:
            subject, domain = signed.subject, self.person.cluster.keys.domain
            binding = Binding.of(domain, subject.client, subject.rid, subject.digest)
            return Wish(signed, composer, csr=write_csr(key.spki, names, key.sign, binding))
        if draw < 0.6:
            proofs = (composer.prove(signed, key.spki, key.sign),)
            return Wish(signed, composer, key.sign if self._policy.is_open else None, proofs=proofs)
        return Wish(signed, composer, key.sign)

    def _with_credential(self, wish: Wish, key: Key) -> Wish:
        """One of those that the policy wants, where it wants any."""
        if self._policy.is_open:
            return wish
        composer, domain = self.person.composer, self.person.cluster.keys.domain
        holders = [(serial, held) for serial, (held, _) in sorted(self._certificates.valid.items())]
        signers = {own.spki: own for own in self._keys}
        usable = [(serial, signers[held]) for serial, held in holders if held in signers]
        kind = self.person.random.choice(("token", "signature", *(["certificate"] if usable else [])))
        if kind == "token":
            return replace(wish, tokens=(composer.spend(wish.signed, self._policy.token(self.person.number)),))
        if kind == "signature":
            until_ms = START_UTC_MS + AUTHORIZED_MS
            word = authorize(domain, self._policy.authority, names_of(self.person.number), key.spki, until_ms)
            return replace(wish, authorizations=(word,))
        serial, signer = self.person.random.choice(usable)
        return replace(wish, certificates=(composer.vouch(wish.signed, serial, signer.spki, signer.sign),))

    def _with_rights(self, wish: Wish, serials: Sequence[bytes]) -> Wish:
        """The signatures of the keys without which it has no right over these."""
        needed = {self._certificates.valid[serial][0] for serial in serials if serial in self._certificates.plain}
        given = {proof.key for proof in wish.proofs}
        keys = [key for key in self._keys if key.spki in needed - given]
        proofs = tuple(self.person.composer.prove(wish.signed, key.spki, key.sign) for key in keys)
        return replace(wish, proofs=wish.proofs + proofs)

    def _any_key(self) -> Key:
        keys: list[Key] = [*self._keys, *self._keys, self._encryption_key]
        return self.person.random.choice(keys)

    def _names_for(self, key: Key) -> tuple[str, ...]:
        number, random = self.person.number, self.person.random
        if isinstance(key, EncryptionKey):
            return (email_of(number),)
        return names_of(number)[: random.randint(1, 2)]

    def _contact(self) -> Contact:
        return "one" if self.person.random.random() < 0.3 else "quorum"

    # --- what must come of a request

    def _judge(self, wish: Wish, expected: Expected, result: object) -> None:
        if isinstance(result, Refuted) or expected.refusal is not None:
            got = result.refusal.code if isinstance(result, Refuted) else None
            if got != expected.refusal:
                raise ViolationError(f"answer: {got or 'done'} where {expected.refusal or 'done'} is right")
            return
        if not isinstance(result, Believed):
            raise ViolationError(f"answer: {result!r}")
        answer = encode(result.answer)
        if expected.answer is not None and answer != expected.answer:
            raise ViolationError("exactly once: repeated, it has another answer")
        if expected.answer is None and result.answer.serials != expected.serials:
            raise ViolationError("answer: wrong certificates are superseded, revoked or found")
        if result.inclusion is not None:
            self.proven += 1
            self._check_inclusion(result.inclusion, result.answer.serial)
        if expected.answer is None:
            self._enter(wish, result, answer)

    def _enter(self, wish: Wish, result: Believed, answer: bytes) -> None:
        request = wish.signed.request
        if request.kind in {"update", "revoke"}:
            self._certificates.remove(result.answer.serials)
        if request.reason == KEY_COMPROMISE:
            self._certificates.banned.add(request.key)
        if result.answer.serial:
            self._certificates.valid[result.answer.serial] = (request.key, request.names)
            self._issues.append((wish, answer, result.answer.serial))
            if self._policy.is_open and wish.csr:
                self._certificates.plain.add(result.answer.serial)

    def _check_inclusion(self, inclusion: Inclusion, serial: bytes) -> None:
        self.person.cluster.witness.vouched(inclusion.checkpoint)
        if not isinstance(inclusion.leaf, RecordLeaf) or inclusion.leaf.serial != serial:
            raise ViolationError("log: an answer came with the proof of something else")

    # --- what it reads

    @property
    def _signers(self) -> LogSigners:
        if self._deployment.log is None:
            raise InvariantError("a simulated client knows who signs the log")
        return self._deployment.log

    def _read_serial(self) -> Errand:
        """Where one of its certificates came and went."""
        serial = self._issues[-1][2] if self._issues else bytes(16)
        talk = SerialInquiry(self._signers, self._new_rid(), self.wire.now_ms, serial)
        return Errand("log of a certificate", talk, partial(self._judge_serial, serial))

    def _judge_serial(self, serial: bytes, result: object) -> None:
        if not isinstance(result, tuple):
            raise ViolationError(f"log: {result!r}")
        for inclusion in result:
            self.person.cluster.witness.vouched(inclusion.checkpoint)
            leaf = inclusion.leaf
            has_come = isinstance(leaf, RecordLeaf) and leaf.serial == serial
            if not has_come and serial in self._certificates.valid:
                raise ViolationError("log: it shows the end of a certificate that is valid")

    def _read_head(self) -> Errand:
        """The newest head; from the second on, that the log only grew."""
        signers, rid, now_ms = self._signers, self._new_rid(), self.wire.now_ms
        if len(self._heads) > 1 and self.person.random.random() < 0.5:
            old, new = sorted(self._heads[-2:], key=lambda head: head.size)
            growth = ConsistencyInquiry(signers.quorums, rid, now_ms, old, new)
            return Errand("consistency of the log", growth, self._judge_growth)
        return Errand("head of the log", HeadInquiry(signers, rid, now_ms), self._judge_head)

    def _judge_head(self, result: object) -> None:
        if not isinstance(result, CertifiedHead):
            raise ViolationError(f"log: {result!r}")
        self.person.cluster.witness.vouched(result.checkpoint)
        self._heads.append(result.checkpoint)

    def _judge_growth(self, result: object) -> None:
        if not isinstance(result, ConsistencyProof):
            raise ViolationError(f"log: {result!r}")

    def _read_policy(self) -> Errand:
        talk = PolicyInquiry(self._deployment.quorums, self._new_rid(), self.wire.now_ms)
        return Errand("policy", talk, self._judge_policy)

    def _judge_policy(self, result: object) -> None:
        if not isinstance(result, PolicyFound) or result.text not in self.person.cluster.witness.texts:
            raise ViolationError("policy: a text that nobody has set")
