"""Policy: what the authority certifies, for whom, on what evidence. The file format.

Source: services.md, "Policy"; cli.md, `policy.toml`.

The dealer and the administrators write TOML; `parse_policy` judges all of it (unknown
keys, wrong types and contradictions are FormatErrors that name the place).  The text as
dealt is what servers agree on: `policy_digest` is over its bytes.
"""

from __future__ import annotations

import base64
import binascii
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maftia.core.errors import FormatError
from maftia.core.hashing import H
from maftia.core.limits import NAME_LENGTH_MAX, NAMES_MAX, POLICY_ENTRIES_MAX, POLICY_SIZE_BYTES_MAX
from maftia.core.names import DN, IP, NAME_KINDS, Name, address_bytes, parse_name
from maftia.core.quorum import Quorums
from maftia.core.signing import PUBLIC_KEY_SIZE_BYTES, SigningKey
from maftia.core.spki import ENCRYPTION, KEY_KINDS, PURPOSES, UnsupportedKeyError, parse_spki
from maftia.core.x509 import PROFILES

CHALLENGE, PROOF = "challenge", "proof"
OPEN, TOKEN, SIGNATURE_CREDENTIAL, CERTIFICATE = "open", "token", "signature", "certificate"
ASK_MODES = (OPEN, TOKEN, SIGNATURE_CREDENTIAL, CERTIFICATE)
TOKEN_LENGTH_MIN = 22
"""characters of base64url that hold 128 random bits"""

_DAYS_MAX = 36500
_BACKDATE_S_MAX = 30 * 24 * 3600
_COUNT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern for names: a kind, and text in which `*` stands for any characters, dots too.

    For ip the pattern is a CIDR block or `*`.
    """

    kind: str
    pattern: str

    def matches(self, name: Name) -> bool:
        """Whether the name (normalised) is of this kind and fits the pattern."""
        if self.kind != name.kind:
            return False
        if self.kind == IP and self.pattern != "*":
            return _is_in_block(self.pattern, address_bytes(name.value))
        return glob_matches(self.pattern, name.value)


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
        return not self.names or any(glob.matches(name) for glob in self.names)


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
        return not self.names or any(glob.matches(name) for glob in self.names)


@dataclass(frozen=True, slots=True)
class Administrator:
    """`[[administrator]]`: one of the keys that change the policy."""

    name: str
    public_key: bytes
    """SubjectPublicKeyInfo, DER"""


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`: how often, in windows of agreed time; per token, name, authority, source and for all."""

    window_s: int = 60
    token: int = 6000
    name: int = 6000
    authority: int = 6000
    source: int = 60000
    anonymous: int = 60000
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

    def attestations_needed(self, quorums: Quorums) -> int:
        """k of the key confirmation: t+1 unless the policy asks for more."""
        return self.cluster.attestations or quorums.t + 1

    def validation_attestations_needed(self, quorums: Quorums) -> int:
        """k of evidence from the network: 2t+1 unless the policy asks for more."""
        return self.cluster.validation_attestations or 2 * quorums.t + 1

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
    if len(text.encode(errors="replace")) > POLICY_SIZE_BYTES_MAX:
        raise FormatError(f"policy: more than {POLICY_SIZE_BYTES_MAX} bytes")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FormatError(f"policy: not TOML: {error}") from None
    top = _Table(document, "")
    policy = Policy(
        cluster=_cluster(top.table("cluster")),
        profiles=_profiles(top.table("profile")),
        allow=_allow(top.table("allow")),
        ask=_ask(top.table("ask")),
        tokens=_tokens(top.tables("token")),
        authorities=tuple(_authority(table) for table in top.tables("authority")),
        administrators=tuple(_administrator(table) for table in top.tables("administrator")),
        limits=_limits(top.table("limits")),
    )
    top.finish()
    return policy


def policy_digest(text: str) -> bytes:
    """The 32 bytes by which servers agree on a policy: over its text, comments and all."""
    return H("maftia/policy/v1", text)


def token_key(token: str) -> SigningKey:
    """The signing key that the text of a token is the seed of.

    Raises FormatError for a text that cannot hold 128 random bits.
    """
    if len(token) < TOKEN_LENGTH_MIN or not token.isascii() or not token.isprintable():
        raise FormatError(f"a token is at least {TOKEN_LENGTH_MIN} printable characters")
    return SigningKey(H("maftia/token/v1", token))


def parse_glob(text: str) -> Glob:
    """A glob of a token or authority: `dns:*.example.org`; without a kind it is for dns.

    Raises FormatError.
    """
    kind, colon, pattern = text.partition(":")
    return _checked_glob(kind, pattern) if colon and kind in NAME_KINDS else _checked_glob("dns", text)


def glob_matches(pattern: str, value: str) -> bool:
    """Whether a text fits a pattern in which `*` stands for any characters; linear time."""
    head, *rest = pattern.split("*")
    if not rest:
        return pattern == value
    *middle, tail = rest
    at, end = len(head), len(value) - len(tail)
    if end < at or not value.startswith(head) or not value.endswith(tail):
        return False
    for piece in middle:
        found = value.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class _Table:
    """A TOML table whose keys are taken one by one: what is left at the end is unknown."""

    def __init__(self, values: object, place: str) -> None:
        if not isinstance(values, dict):
            raise FormatError(f"policy: {place} must be a table")
        self.place = place
        self._values: dict[str, Any] = dict(values)

    def keys(self) -> tuple[str, ...]:
        return tuple(self._values)

    def table(self, key: str) -> _Table:
        return _Table(self._values.pop(key, {}), self._at(key))

    def tables(self, key: str) -> list[_Table]:
        values = self._values.pop(key, [])
        if not isinstance(values, list) or len(values) > POLICY_ENTRIES_MAX:
            raise FormatError(f"policy: [[{key}]] must be at most {POLICY_ENTRIES_MAX} tables")
        return [_Table(value, f"{key}[{number}]") for number, value in enumerate(values)]

    def number(self, key: str, default: int | None, least: int = 0, most: int = _COUNT_MAX) -> int:
        value = self._take(key, default)
        if type(value) is not int or not least <= value <= most:
            raise FormatError(f"policy: {self._at(key)} must be a number from {least} to {most}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, default)
        if type(value) is not bool:
            raise FormatError(f"policy: {self._at(key)} must be true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, default)
        if type(value) is not str:
            raise FormatError(f"policy: {self._at(key)} must be a text")
        return value

    def texts(self, key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        value = self._take(key, default)
        if (
            not isinstance(value, list | tuple)
            or len(value) > POLICY_ENTRIES_MAX
            or any(type(v) is not str for v in value)
        ):
            raise FormatError(f"policy: {self._at(key)} must be a list of at most {POLICY_ENTRIES_MAX} texts")
        if len(set(value)) != len(value):
            raise FormatError(f"policy: {self._at(key)} says something twice")
        return tuple(value)

    def choices(self, key: str, known: Sequence[str], default: Sequence[str] | None = None) -> tuple[str, ...]:
        values = self.texts(key, default)
        if not values or not set(values) <= set(known):
            raise FormatError(f"policy: {self._at(key)} must be some of {', '.join(known)}")
        return values

    def finish(self) -> None:
        """Nothing is left that nobody asked for."""
        if self._values:
            raise FormatError(f"policy: unknown key {self._at(min(self._values))}")

    def _take(self, key: str, default: object) -> object:
        value = self._values.pop(key, default)
        if value is None:
            raise FormatError(f"policy: {self._at(key)} is missing")
        return value

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def _cluster(table: _Table) -> ClusterRules:
    default = ClusterRules()
    confirm = table.text("confirm", default.confirm)
    if confirm not in (CHALLENGE, PROOF):
        raise FormatError(f"policy: cluster.confirm must be {CHALLENGE} or {PROOF}")
    rules = ClusterRules(
        confirm=confirm,
        attestations=table.number("attestations", default.attestations),
        validation_attestations=table.number("validation_attestations", default.validation_attestations),
        plain_csr=table.flag("plain_csr", default.plain_csr),
        shared_names=table.flag("shared_names", default.shared_names),
        shared_keys=table.flag("shared_keys", default.shared_keys),
        retrieve_max=table.number("retrieve_max", default.retrieve_max, least=1, most=1000),
    )
    table.finish()
    return rules


def _profiles(table: _Table) -> dict[str, Profile]:
    unknown = set(table.keys()) - set(PROFILES)
    if unknown or not table.keys():
        raise FormatError(f"policy: there must be profiles, each one of {', '.join(PROFILES)}")
    return {name: _profile(name, table.table(name)) for name in PROFILES if name in table.keys()}


def _profile(name: str, table: _Table) -> Profile:
    profile = Profile(
        name=name,
        kinds=table.choices("kinds", PURPOSES),
        days=table.number("days", None, least=1, most=_DAYS_MAX),
        backdate_s=table.number("backdate_s", 0, most=_BACKDATE_S_MAX),
        key_types=table.choices("key_types", KEY_KINDS),
        max_names=table.number("max_names", NAMES_MAX, least=1, most=NAMES_MAX),
    )
    if ENCRYPTION in profile.kinds:
        raise FormatError(f"policy: profile.{name}.kinds: encryption keys are not for {name}")
    table.finish()
    return profile


def _allow(table: _Table) -> tuple[Glob, ...]:
    globs = tuple(_checked_glob(kind, text) for kind in NAME_KINDS for text in table.texts(kind, ()))
    table.finish()
    return globs


def _ask(table: _Table) -> tuple[str, ...]:
    modes = table.choices("mode", ASK_MODES)
    table.finish()
    return modes


def _tokens(tables: list[_Table]) -> dict[bytes, TokenGrant]:
    grants: dict[bytes, TokenGrant] = {}
    for table in tables:
        public_key = _hex_key(table)
        grant = TokenGrant(public_key, table.number("uses", None), _globs(table))
        table.finish()
        if public_key in grants:
            raise FormatError(f"policy: {table.place} has the key of another token")
        grants[public_key] = grant
    return grants


def _authority(table: _Table) -> Authority:
    authority = Authority(table.text("name"), _pem_key(table), _globs(table))
    table.finish()
    return authority


def _administrator(table: _Table) -> Administrator:
    administrator = Administrator(table.text("name"), _pem_key(table))
    table.finish()
    return administrator


def _limits(table: _Table) -> Limits:
    default = Limits()
    keys = Limits.__slots__
    limits = Limits(**{key: table.number(key, getattr(default, key), least=1) for key in keys})
    table.finish()
    return limits


def _globs(table: _Table) -> tuple[Glob, ...]:
    return tuple(parse_glob(text) for text in table.texts("names", ()))


def _hex_key(table: _Table) -> bytes:
    text = table.text("public_key")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if key.hex() != text or len(key) != PUBLIC_KEY_SIZE_BYTES:
        raise FormatError(f"policy: {table.place}.public_key must be {2 * PUBLIC_KEY_SIZE_BYTES} lower-case hex digits")
    return key


def _pem_key(table: _Table) -> bytes:
    place = f"{table.place}.public_key"
    lines = table.text("public_key").split()
    try:
        if lines[:2] + lines[-2:] != ["-----BEGIN", "PUBLIC", "PUBLIC", "KEY-----"]:
            raise FormatError("not PEM")
        key = base64.b64decode("".join(lines[3:-3]), validate=True)
        parse_spki(key)
    except (binascii.Error, FormatError, UnsupportedKeyError) as error:
        raise FormatError(f"policy: {place} must be a public key in PEM (openssl pkey -pubout): {error}") from None
    return key


def _checked_glob(kind: str, pattern: str) -> Glob:
    if not 1 <= len(pattern) <= NAME_LENGTH_MAX or not (pattern.isascii() and pattern.isprintable()):
        raise FormatError(f"policy: a pattern is 1 to {NAME_LENGTH_MAX} printable ASCII characters")
    if kind == IP and pattern != "*":
        _block(pattern)
    elif "*" not in pattern and str(parse_name(f"{kind}:{pattern}")) != f"{kind}:{pattern}":
        raise FormatError(f"policy: the pattern {pattern!r} is not a {kind} name in normal form")
    elif kind not in (DN, "uri") and pattern != pattern.lower():
        raise FormatError(f"policy: the pattern {pattern!r} must be in lower case")
    return Glob(kind, pattern)


def _block(cidr: str) -> tuple[bytes, int]:
    """Address and prefix length of a CIDR block; a single address is a block of its own."""
    text, slash, length_text = cidr.partition("/")
    address = address_bytes(text)
    bits = 8 * len(address)
    if not slash:
        return address, bits
    if not (length_text.isascii() and length_text.isdigit()) or int(length_text) > bits:
        raise FormatError(f"policy: {cidr!r} is not an address block")
    if int.from_bytes(address, "big") & ((1 << bits - int(length_text)) - 1):
        raise FormatError(f"policy: {cidr!r} has bits behind its prefix")
    return address, int(length_text)


def _is_in_block(cidr: str, address: bytes) -> bool:
    base, length = _block(cidr)
    shift = 8 * len(base) - length
    return len(base) == len(address) and int.from_bytes(base, "big") >> shift == int.from_bytes(address, "big") >> shift


DEFAULT_POLICY_TOML = """\
# Policy of a MAFTIA certification authority.  This default is for trying things out:
# everybody may ask (ask.mode = ["open"]) for every DNS name and email address.
# Unknown keys are errors.  All servers hold the same text; its hash is in cluster.toml.

[cluster]
# How a request shows that its key is the requester's: "challenge" (servers ask and
# vouch for the answer) or "proof" (the key's own signature over the request counts too).
confirm = "challenge"
# How many servers must vouch for it; 0 means t+1, so that at least one is honest.
attestations = 0
# The same for evidence that servers gather from the network; 0 means 2t+1.
validation_attestations = 0
# Whether a plain PKCS#10 request, which anybody may copy, is enough to be issued a certificate.
plain_csr = false
# Whether two clients may hold certificates for one name.
shared_names = false
# Whether two clients may hold certificates for one key.
shared_keys = true
# The largest number of certificates that one retrieve returns.
retrieve_max = 100

# What certificates of a profile may be.  kinds: what their keys are for.
# days: validity.  backdate_s: seconds that "not before" lies before the time of issue,
# for clocks that are slow.  key_types: rsa (2048 bits and more), ec-p256, ec-p384, ed25519.
[profile.server]
kinds = ["signature"]
days = 90
backdate_s = 300
key_types = ["rsa", "ec-p256", "ec-p384", "ed25519"]
max_names = 100

[profile.client]
kinds = ["signature"]
days = 90
backdate_s = 300
key_types = ["rsa", "ec-p256", "ec-p384", "ed25519"]
max_names = 100

# Which names are certified at all.  A * stands for any characters, dots too; ip takes
# address blocks such as "192.0.2.0/24".  "*.example.org" does not include "example.org".
[allow]
dns = ["*"]
email = ["*"]
ip = []
uri = []
dn = []

# Who may ask: any of "open" (everybody), "token" (below), "signature" (of an authority
# below), "certificate" (of this authority).
[ask]
mode = ["open"]

# A token, made by `maftia-dealer token`.  uses: how many certificates, 0 for any number.
# names: patterns with their kind; none means all that [allow] has.
# [[token]]
# public_key = "64 hex digits"
# uses = 1
# names = ["dns:*.example.org"]

# A key whose holder authorizes requests for some names (`maftia authorize`).
# [[authority]]
# name = "registration office"
# public_key = '''
# -----BEGIN PUBLIC KEY-----
# ...
# -----END PUBLIC KEY-----
# '''
# names = ["email:*@example.org"]

# The keys whose majority may change this policy.
# [[administrator]]
# name = "alice"
# public_key = '''...'''

# How often, in each window of this many seconds, per token, name, authority, source
# address, for all requests without a credential, and for the whole cluster.
[limits]
window_s = 60
token = 6000
name = 6000
authority = 6000
source = 60000
anonymous = 60000
cluster = 60000
"""
