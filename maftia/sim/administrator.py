"""The administrators: they change policy and tokens while the cluster runs, and know what must come of it.

One of them makes all changes, so a model of text and tokens says what is in force.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from maftia.client.conversation import Conversation, Deployment, Wish
from maftia.client.policy_inquiry import PolicyInquiry
from maftia.client.reply_collector import Believed, Refuted
from maftia.client.results import PolicyFound
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.policy import token_key
from maftia.core.signing import SigningKey
from maftia.dca.change import Change, PolicySet, TokenAdd, TokenRemove
from maftia.sim.checkers import ViolationError
from maftia.sim.clients import Errand, Person, Petitioner, Wire
from maftia.sim.policies import SERVER, SimPolicy, names_of

NO_TOKEN = token_key("a token that nobody ever added: 0123456789")
Content = tuple[str, frozenset[bytes]]
"""of a policy: its text, and the public keys of its tokens"""


class Administrator(Petitioner):
    """Changes the policy, with the signatures of enough administrators, or of too few."""

    def __init__(self, person: Person, wire: Wire, deployment: Deployment, policy: SimPolicy, errands: int) -> None:
        super().__init__(person, wire, errands)
        self._deployment = deployment
        self._policy = policy
        self._variation = 0
        self._content: Content = (policy.text(), policy.tokens())
        """in force after its last change"""
        self._past: set[Content] = {self._content}
        self._base: tuple[bytes, Content] | None = None
        """the digest that servers stated last, and of what"""
        self._story: list[Callable[[], Errand]] = []
        self._tokens: list[SigningKey] = []
        self._used: set[bytes] = set()
        """tokens whose one certificate there is"""
        person.cluster.witness.texts.add(policy.text())

    @property
    def text(self) -> str:
        """The text in force after its last change."""
        return self._content[0]

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is under way, so that it knows what is in force."""
        return self._errand is None

    def _choose(self) -> Errand:
        if not self._story:
            self._story = list(self.person.random.choice(self._stories))
        return self._story.pop(0)()

    @property
    def _stories(self) -> tuple[tuple[Callable[[], Errand], ...], ...]:
        return (
            (self._add, self._use, self._use, self._remove, self._use),
            (self._read, self._set),
            (self._read, self._add, self._set, self._use),
            (self._void, self._too_few),
            (self._remove, self._too_few),
        )

    # --- changes

    def _set(self) -> Errand:
        """A new text, upon what was read last."""
        if self._base is None:
            return self._read()
        digest, base = self._base
        return self._set_upon(digest, None if base == self._content else Code.POLICY_VIOLATION)

    def _void(self) -> Errand:
        """A new text, upon none that there was."""
        return self._set_upon(self.person.random.randbytes(32), Code.POLICY_VIOLATION)

    def _set_upon(self, base: bytes, refusal: Code | None) -> Errand:
        self._variation += 1
        text = self._policy.text(self._variation)
        self.person.cluster.witness.texts.add(text)
        return self._change(PolicySet(base, text), (text, self._policy.tokens()), refusal)

    def _add(self) -> Errand:
        token = token_key(H("maftia/sim/added-token/v1", self.person.random.randbytes(16)).hex())
        self._tokens.append(token)
        text, tokens = self._content
        change = TokenAdd(token.public, 1, names_of(self.person.number))
        return self._change(change, (text, tokens | {token.public}), None)

    def _remove(self) -> Errand:
        token = (self._tokens or [NO_TOKEN])[-1].public
        text, tokens = self._content
        refusal = None if token in tokens else Code.NOT_FOUND
        return self._change(TokenRemove(token), (text, tokens - {token}), refusal)

    def _too_few(self) -> Errand:
        """Half of them is not enough."""
        change = TokenAdd(self.person.random.randbytes(32), 0, ())
        return self._change(change, self._content, Code.UNAUTHORIZED, signers=1)

    def _change(self, change: Change, content: Content, refusal: Code | None, signers: int = 2) -> Errand:
        composer = self.person.composer
        signed = self._made(composer.admin(self._new_rid(), change))
        chosen = self.person.random.sample(self._policy.administrators, signers)
        proofs = tuple(composer.prove(signed, key.spki, key.sign) for key in chosen)
        talk = Conversation(self._deployment, Wish(signed, composer, proofs=proofs), self.wire.now_ms)
        return Errand("admin", talk, partial(self._judge_change, content, refusal))

    def _judge_change(self, content: Content, refusal: Code | None, result: object) -> None:
        _check(result, refusal)
        if refusal is None:
            self._content = content
            self._past.add(content)

    # --- what is in force

    def _use(self) -> Errand:
        """A certificate by a token of its own making: where one is wanted, once and while it is there."""
        token = (self._tokens or [NO_TOKEN])[-1]
        composer, key = self.person.composer, self.person.new_key()
        names = names_of(self.person.number)[:1]
        signed = self._made(composer.issue(self._new_rid(), key.spki, names, SERVER))
        is_good = token.public in self._content[1] - self._used
        refusal = None if is_good or self._policy.is_open else Code.UNAUTHORIZED
        wish = Wish(signed, composer, key.sign, tokens=(composer.spend(signed, token),))
        talk = Conversation(self._deployment, wish, self.wire.now_ms)
        return Errand("issue", talk, partial(self._judge_use, token.public if is_good else b"", refusal))

    def _judge_use(self, token: bytes, refusal: Code | None, result: object) -> None:
        _check(result, refusal)
        if token and not self._policy.is_open:
            self._used.add(token)

    def _read(self) -> Errand:
        talk = PolicyInquiry(self._deployment.quorums, self._new_rid(), self.wire.now_ms)
        return Errand("policy", talk, self._judge_read)

    def _judge_read(self, result: object) -> None:
        if not isinstance(result, PolicyFound):
            raise ViolationError(f"policy: {result!r}")
        found = (result.text, frozenset(token.public_key for token in result.tokens))
        if found not in self._past:
            raise ViolationError("policy: servers state one that was never in force")
        self._base = (result.digest, found)


def _check(result: object, refusal: Code | None) -> None:
    got = result.refusal.code if isinstance(result, Refuted) else None
    if got != refusal or not isinstance(result, Refuted | Believed):
        raise ViolationError(f"answer: {got or 'done'} where {refusal or 'done'} is right")
