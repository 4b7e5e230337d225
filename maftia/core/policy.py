"""Policy: what the authority certifies, for whom, on what evidence; its file format.

Source: services.md, "Policy"; cli.md, `policy.toml`.

The dealer and the administrators write TOML; `parse_policy` judges all of it: unknown
keys, wrong types and contradictions are FormatErrors that name the place.  The text as
dealt is what servers agree on: its SHA-256 stands in the cluster file, and an init file
with another text does not open.  What readers of TOML take or refuse by their age is
refused before any of them sees it, in a dealt text as in one that is set later.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from maftia.core.default_policy import DEFAULT_POLICY_TOML
from maftia.core.errors import FormatError
from maftia.core.files import Table
from maftia.core.globs import Glob, parse_glob
from maftia.core.hashing import H
from maftia.core.limits import (
    ADMINISTRATORS_MAX,
    ATTRIBUTE_LENGTH_MAX,
    GATHERER_LENGTH_MAX,
    GATHERERS_PER_PROFILE_MAX,
    KEY_SIZE_BYTES_MAX,
    NAMES_MAX,
    POLICY_ENTRIES_MAX,
    POLICY_SIZE_BYTES_MAX,
)
from maftia.core.names import NAME_KINDS, Name
from maftia.core.profiles import PROFILES, RULES
from maftia.core.quorum import Quorums
from maftia.core.signing import PUBLIC_KEY_SIZE_BYTES, SigningKey
from maftia.core.spki import KEY_KINDS, KINDS_OF_PURPOSE, PURPOSES, SIGNATURE, UnsupportedKeyError, parse_spki

__all__ = [
    "ASK_MODES",
    "BY_CERTIFICATE",
    "BY_SIGNATURE",
    "CHALLENGE",
    "DEFAULT_POLICY_TOML",
    "OPEN",
    "PROOF",
    "TOKEN",
    "Administrator",
    "Authority",
    "ClusterRules",
    "Limits",
    "Policy",
    "Profile",
    "TokenGrant",
    "is_ambiguous",
    "parse_policy",
    "token_key",
]

CHALLENGE, PROOF = "challenge", "proof"
OPEN, TOKEN, BY_SIGNATURE, BY_CERTIFICATE = "open", "token", "signature", "certificate"
ASK_MODES = (OPEN, TOKEN, BY_SIGNATURE, BY_CERTIFICATE)
TOKEN_LENGTH_MIN = 22
"""characters of base64url that hold 128 random bits"""

_AMBIGUOUS = ("{", "\\e", "\\x")
"""inline tables over several lines and two escapes: newer readers of TOML take them, older ones do not"""
_DAYS_MAX = 36500
_BACKDATE_S_MAX = 30 * 24 * 3600
_COUNT_MAX = 2**31 - 1
_RETRIEVE_MAX = 1000


@dataclass(frozen=True, slots=True)
class ClusterRules:
    """`[cluster]`: rules for every request."""

    confirm: str = CHALLENGE
    attestations: int = 0
    validation_attestations: int = 0
    plain_csr: bool = False
    shared_names: bool = False
    shared_keys: bool = True
    retrieve_max: int = 100


@dataclass(frozen=True, slots=True)
class Profile:
    """`[profile.NAME]`: what certificates of one profile may be."""

    name: str
    kinds: tuple[str, ...]
    days: int
    backdate_s: int
    key_types: tuple[str, ...]
    max_names: int
    gather: tuple[str, ...] = ()
    """the gatherers whose evidence for all names it wants, besides what confirms the key"""


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """`[[token]]`: what a token, known by its Ed25519 public key, may ask for."""

    public_key: bytes
    uses: int
    """how many certificates; 0: any number"""
    names: tuple[Glob, ...]
    """empty: every name that `[allow]` has"""

    def allows(self, name: Name) -> bool:
        """Whether this token may ask for this name."""
        return _fits(self.names, name)


@dataclass(frozen=True, slots=True)
class Authority:
    """`[[authority]]`: a key whose holder may authorize requests for some names."""

    name: str
    public_key: bytes
    """SubjectPublicKeyInfo, DER"""
    names: tuple[Glob, ...]
    """empty: every name that `[allow]` has"""

    def allows(self, name: Name) -> bool:
        """Whether this authority may speak for this name."""
        return _fits(self.names, name)


@dataclass(frozen=True, slots=True)
class Administrator:
    """`[[administrator]]`: one of the keys that change the policy."""

    name: str
    public_key: bytes
    """SubjectPublicKeyInfo, DER"""


Holder = TypeVar("Holder", Authority, Administrator)


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`: how often, in windows of agreed time; per token, name, authority, source and for all."""

    window_s: int = 60
    token: int = 6000
    name: int = 6000
    authority: int = 30000
    source: int = 60000
    anonymous: int = 30000
    cluster: int = 60000


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy, judged."""

    cluster: ClusterRules
    profiles: Mapping[str, Profile]
    allow: tuple[Glob, ...]
    ask: tuple[str, ...]
    tokens: Mapping[bytes, TokenGrant]
    """by public key"""
    authorities: tuple[Authority, ...]
    administrators: tuple[Administrator, ...]
    limits: Limits

    def allows(self, name: Name) -> bool:
        """Whether this authority certifies this name at all."""
        return any(glob.matches(name) for glob in self.allow)

    def gathers(self, gatherer: str) -> bool:
        """Whether some profile asks for the evidence of this gatherer."""
        return any(gatherer in profile.gather for profile in self.profiles.values())

    def attestations_needed(self, quorums: Quorums) -> int:
        """k of the key confirmation: t+1 unless the policy asks for more."""
        return self.cluster.attestations or quorums.t + 1

    def validation_attestations_needed(self, quorums: Quorums) -> int:
        """k of evidence from the network: 2t+1 unless the policy asks for more."""
        return self.cluster.validation_attestations or 2 * quorums.t + 1

    @property
    def administrators_needed(self) -> int:
        """How many administrators must sign a change: more than half; 0 where there are none, and no change."""
        return len(self.administrators) // 2 + 1 if self.administrators else 0

    def check_for(self, quorums: Quorums) -> None:
        """Raises FormatError where a number of attestations does not suit these servers."""
        smallest = {"attestations": quorums.t + 1, "validation_attestations": 2 * quorums.t + 1}
        for key, least in smallest.items():
            value = getattr(self.cluster, key)
            if value and not least <= value <= quorums.n - quorums.t:
                raise FormatError(f"policy: cluster.{key} is {value}, not {least} to {quorums.n - quorums.t} (or 0)")


def parse_policy(text: str) -> Policy:
    """The policy that a TOML text states.

    Raises FormatError, naming the place, for everything that is not as it should be.
    """
    try:
        return _policy(text)
    except (FormatError, UnsupportedKeyError) as error:
        raise FormatError(f"policy: {error}") from None


def is_ambiguous(text: str) -> bool:
    """Whether one reader of TOML might take what another refuses: a library must not decide what servers agree on."""
    return any(part in text for part in _AMBIGUOUS)


def token_key(token: str) -> SigningKey:
    """The signing key that the text of a token is the seed of.

    Raises FormatError for a text that cannot hold 128 random bits.
    """
    if len(token) < TOKEN_LENGTH_MIN or not token.isascii() or not token.isprintable():
        raise FormatError(f"a token is at least {TOKEN_LENGTH_MIN} printable characters")
    return SigningKey(H("maftia/token/v1", token))


def _policy(text: str) -> Policy:
    if len(text.encode(errors="replace")) > POLICY_SIZE_BYTES_MAX:
        raise FormatError(f"more than {POLICY_SIZE_BYTES_MAX} bytes")
    if is_ambiguous(text):
        raise FormatError("it has { or one of \\e and \\x anywhere, which readers of TOML take or refuse by age")
    try:
        top = _PolicyTable(tomllib.loads(text), "", {})
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FormatError(f"not TOML: {error}") from None
    authorities = _distinct("authority", [_authority(table) for table in top.sections("authority", {"names": []})])
    administrators = top.sections("administrator", {}, ADMINISTRATORS_MAX)
    policy = Policy(
        cluster=_cluster(top.section("cluster", asdict(ClusterRules()))),
        profiles=_profiles(top.section("profile", {})),
        allow=_allow(top.section("allow", {kind: [] for kind in NAME_KINDS})),
        ask=_ask(top.section("ask", {}), authorities),
        tokens=_tokens(top.sections("token", {"names": []})),
        authorities=authorities,
        administrators=_distinct("administrator", [_administrator(table) for table in administrators]),
        limits=_limits(top.section("limits", asdict(Limits()))),
    )
    top.close()
    return policy


def _cluster(table: _PolicyTable) -> ClusterRules:
    rules = ClusterRules(
        confirm=table.choice("confirm", (CHALLENGE, PROOF)),
        attestations=table.integer("attestations", 0, _COUNT_MAX),
        validation_attestations=table.integer("validation_attestations", 0, _COUNT_MAX),
        plain_csr=table.boolean("plain_csr"),
        shared_names=table.boolean("shared_names"),
        shared_keys=table.boolean("shared_keys"),
        retrieve_max=table.integer("retrieve_max", 1, _RETRIEVE_MAX),
    )
    table.close()
    return rules


def _profiles(table: _PolicyTable) -> dict[str, Profile]:
    names = table.names_of_tables()
    if not names or not set(names) <= set(PROFILES):
        raise FormatError(f"there must be profiles, each one of {', '.join(PROFILES)}")
    defaults = {"backdate_s": 0, "max_names": NAMES_MAX, "gather": []}
    return {name: _profile(name, table.section(name, defaults)) for name in PROFILES if name in names}


def _profile(name: str, table: _PolicyTable) -> Profile:
    profile = Profile(
        name=name,
        kinds=table.choices("kinds", PURPOSES),
        days=table.integer("days", 1, _DAYS_MAX),
        backdate_s=table.integer("backdate_s", 0, _BACKDATE_S_MAX),
        key_types=table.choices("key_types", KEY_KINDS),
        max_names=table.integer("max_names", 1, NAMES_MAX),
        gather=table.gatherers("gather"),
    )
    for purpose in profile.kinds:
        if purpose not in RULES[name].purposes:
            raise FormatError(f"profile.{name}.kinds: {purpose} keys are not for {name}")
        if not set(profile.key_types) & set(KINDS_OF_PURPOSE[purpose]):
            raise FormatError(f"profile.{name}.key_types: none of them serves {purpose}")
    for kind in profile.key_types:
        if not any(kind in KINDS_OF_PURPOSE[purpose] for purpose in profile.kinds):
            raise FormatError(f"profile.{name}.key_types: {kind} keys serve none of {', '.join(profile.kinds)}")
    table.close()
    return profile


def _allow(table: _PolicyTable) -> tuple[Glob, ...]:
    globs = tuple(glob for kind in NAME_KINDS for glob in table.globs(kind, kind))
    table.close()
    return globs


def _ask(table: _PolicyTable, authorities: tuple[Authority, ...]) -> tuple[str, ...]:
    """The ways to ask.  Tokens come and go with no new text, authorities only in one."""
    modes = table.choices("mode", ASK_MODES)
    if BY_SIGNATURE in modes and not authorities:
        raise FormatError(f"ask.mode has {BY_SIGNATURE}, and there is no [[authority]] whose signature it could be")
    table.close()
    return modes


def _tokens(tables: list[_PolicyTable]) -> dict[bytes, TokenGrant]:
    grants: dict[bytes, TokenGrant] = {}
    for at, table in enumerate(tables):
        public_key = table.hex_bytes("public_key", PUBLIC_KEY_SIZE_BYTES)
        if public_key in grants:
            raise FormatError(f"token[{at}].public_key is that of another token")
        grants[public_key] = TokenGrant(public_key, table.integer("uses", 0, _COUNT_MAX), table.globs("names"))
        table.close()
    return grants


def _authority(table: _PolicyTable) -> Authority:
    authority = Authority(table.title("name"), _key(table), table.globs("names"))
    table.close()
    return authority


def _administrator(table: _PolicyTable) -> Administrator:
    administrator = Administrator(table.title("name"), _key(table))
    table.close()
    return administrator


def _distinct(key: str, holders: list[Holder]) -> tuple[Holder, ...]:
    """Holders of keys none of whom would count twice."""
    for at, holder in enumerate(holders):
        for other in holders[:at]:
            if holder.name == other.name or holder.public_key == other.public_key:
                raise FormatError(f"{key}[{at}] has the name or the key of another")
    return tuple(holders)


def _key(table: _PolicyTable) -> bytes:
    """A public key that can sign, from its PEM text as `openssl pkey -pubout` writes it."""
    key = table.pem("public_key", "PUBLIC KEY", KEY_SIZE_BYTES_MAX)
    if not parse_spki(key).serves(SIGNATURE):
        raise FormatError("the key of an authority or administrator must be one that signs")
    return key


def _limits(table: _PolicyTable) -> Limits:
    limits = Limits(**{key: table.integer(key, 1, _COUNT_MAX) for key in Limits.__slots__})
    table.close()
    return limits


def _fits(globs: tuple[Glob, ...], name: Name) -> bool:
    """Whether one of the patterns fits; no patterns restrict nothing."""
    return not globs or any(glob.matches(name) for glob in globs)


class _PolicyTable(Table):
    """A table some of whose keys have defaults, with lists of texts."""

    def __init__(self, values: dict[str, Any], place: str, defaults: Mapping[str, Any]) -> None:
        super().__init__({**defaults, **values}, place)

    def names_of_tables(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._values)

    def section(self, key: str, defaults: Mapping[str, Any]) -> _PolicyTable:
        """A sub-table; one that is absent is empty."""
        self._values.setdefault(key, {})
        return _PolicyTable(self._take(key, dict, "a table"), f"{self._place}{key}.", defaults)

    def sections(
        self, key: str, defaults: Mapping[str, Any], count_max: int = POLICY_ENTRIES_MAX
    ) -> list[_PolicyTable]:
        """Any number of [[key]] tables, within the bound."""
        self._values.setdefault(key, [])
        values = self._take(key, list, f"[[{key}]] tables")
        if len(values) > count_max or not all(isinstance(value, dict) for value in values):
            raise self._wrong(key, f"at most {count_max} [[{key}]] tables")
        return [_PolicyTable(value, f"{self._place}{key}[{at}].", defaults) for at, value in enumerate(values)]

    def title(self, key: str) -> str:
        """A text by which people know something."""
        value = self.text(key, ATTRIBUTE_LENGTH_MAX)
        if not value.strip(" "):
            raise self._wrong(key, f"1 to {ATTRIBUTE_LENGTH_MAX} printable characters")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of distinct texts."""
        values = self._take(key, list, "a list of texts")
        if len(values) > POLICY_ENTRIES_MAX or any(type(value) is not str for value in values):
            raise self._wrong(key, f"a list of at most {POLICY_ENTRIES_MAX} texts")
        if len(set(values)) != len(values):
            raise self._wrong(key, "a list of distinct texts")
        return tuple(values)

    def choices(self, key: str, known: Sequence[str]) -> tuple[str, ...]:
        """A list of one or more distinct words, out of those known."""
        values = self.texts(key)
        if not values or not set(values) <= set(known):
            raise self._wrong(key, f"a list of some of {', '.join(known)}")
        return values

    def choice(self, key: str, known: Sequence[str]) -> str:
        """One word, out of those known."""
        value = self.text(key, max(map(len, known)))
        if value not in known:
            raise self._wrong(key, f"one of {', '.join(known)}")
        return value

    def gatherers(self, key: str) -> tuple[str, ...]:
        """Names of gatherers of evidence for names; whether there are such ones, the service knows."""
        names = self.texts(key)
        lengths = range(1, GATHERER_LENGTH_MAX + 1)
        if len(names) > GATHERERS_PER_PROFILE_MAX or any(len(name) not in lengths for name in names):
            raise self._wrong(key, f"at most {GATHERERS_PER_PROFILE_MAX} names of up to {lengths[-1]} characters")
        if CHALLENGE in names:
            raise self._wrong(key, f"a list without {CHALLENGE}, which is evidence for keys and not for names")
        return names

    def globs(self, key: str, kind: str | None = None) -> tuple[Glob, ...]:
        """Patterns of one kind, or patterns that state their kind."""
        texts = self.texts(key)
        try:
            return tuple(Glob(kind, text) if kind else parse_glob(text) for text in texts)
        except FormatError as error:
            raise self._wrong(key, f"a list of patterns ({error})") from None
