"""A small authority for tests: four servers' keys, clients, subject keys, and a clock to order by.

Everything is deterministic; all keys are public knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.abc.commit import BlockRef, Commit
from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.codec import decode
from maftia.core.files import pem_of_der
from maftia.core.hashing import H, expand
from maftia.core.identifiers import Domain, PartyId
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.core.spki import ed25519_spki, key_digest
from maftia.core.x509 import CaSubject, assemble, root_certificate_tbs
from maftia.dca.change import Change
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, attest
from maftia.dca.fold import Effect
from maftia.dca.requests import Answer, Attestation, client_id
from maftia.dca.rid import make_rid
from maftia.dca.service import Service, ServiceConfig
from maftia.dca.state import KeyValue, MemoryKeyValue

DEALT_AT_MS = 1_795_219_200_000
DAY_MS = 24 * 3600 * 1000
DOMAIN = Domain(H("test/cluster"), 0)
N = 4

_CA_P = int(
    "e637f321795ac36691e0090de44e86ab8f541a9eff3aeba9c5bd77d2545cdc3f3d447575949037e1ff5c7b7685568d20"
    "ba3552fe53fb6a2760fe818251ce86c6efb13ca469d7fc7a93c1c4f8e53a0bbbba55c4bc7b57d7fce381a5fcbfd70b6b"
    "ccfd019b74d0ea3a111443e6e4c21f3ff39e7ac48d317918e97a8ac9f9bbc60f",
    16,
)
_CA_Q = int(
    "c5c036d9b94a920bb45d8a8a44c83ccef933e92a102f0e3c91a5016d38ea157f7c4a2473ff7807575ba60050f1dde797"
    "dbedc1f6aa513a86641e2dd259426be485716a3fc10f7aac7f8358dcdbf31d74fddeb867876b2b1a8c4c6ad25fb06caa"
    "547867995b4fd5ead4135ffcbb96c70ce23054b7ef074057144631c664cf184f",
    16,
)


@cache
def ca_key() -> rsa.RSAPrivateKey:
    """An ordinary RSA key in the place of the threshold key."""
    d = pow(65537, -1, (_CA_P - 1) * (_CA_Q - 1))
    numbers = rsa.RSAPublicNumbers(65537, _CA_P * _CA_Q)
    crt = (rsa.rsa_crt_dmp1(d, _CA_P), rsa.rsa_crt_dmq1(d, _CA_Q), rsa.rsa_crt_iqmp(_CA_P, _CA_Q))
    return rsa.RSAPrivateNumbers(_CA_P, _CA_Q, d, *crt, numbers).private_key()


def sign_as_ca(tbs: bytes) -> bytes:
    return ca_key().sign(tbs, padding.PKCS1v15(), SHA256())


@cache
def ca_certificate(days: int = 3650) -> bytes:
    key = ca_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    start = DEALT_AT_MS // 1000 - 3600
    tbs = root_certificate_tbs(CaSubject("DE", "Test", "Test CA"), key, start, start + days * 86400)
    return assemble(tbs, sign_as_ca(tbs))


SERVER_KEYS = tuple(SigningKey(H("test/server", i)) for i in range(N))
AUTHENTICATORS = tuple(
    ServerAuthenticator(DOMAIN, PartyId(i), SERVER_KEYS[i], tuple(key.public for key in SERVER_KEYS)) for i in range(N)
)


@dataclass(frozen=True)
class SubjectKey:
    """A key to be certified: its public half, and how it signs."""

    spki: bytes
    sign: Callable[[bytes], bytes]


def ed25519_key(name: str) -> SubjectKey:
    key = SigningKey(H("test/subject", name))
    return SubjectKey(ed25519_spki(key.public), key.sign)


def ec_key(name: str, curve: type[ec.SECP256R1 | ec.SECP384R1] = ec.SECP256R1) -> SubjectKey:
    private = ec.derive_private_key(int.from_bytes(H("test/subject", name), "big") >> 8, curve())
    algorithm = SHA256() if curve is ec.SECP256R1 else SHA384()
    return SubjectKey(
        _spki(private), lambda message: private.sign(message, ec.ECDSA(algorithm, deterministic_signing=True))
    )


def rsa_key() -> SubjectKey:
    return SubjectKey(_spki(ca_key()), sign_as_ca)


def _spki(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def config(
    server: int = 0, *, mode: str = KEY_MAJOR, policy: str = DEFAULT_POLICY_TOML, ca: bytes | None = None
) -> ServiceConfig:
    return ServiceConfig(
        domain=DOMAIN,
        quorums=Quorums.of(N),
        mode=mode,
        authenticator=AUTHENTICATORS[server],
        ca_certificate=ca_certificate() if ca is None else ca,
        policy=policy,
        dealt_at_ms=DEALT_AT_MS,
        nonce_secret=H("test/nonce-secret", server),
    )


def policy_with(**rules: str) -> str:
    """The default policy with some of its lines exchanged: `policy_with(shared_keys="false")`."""
    lines = []
    for line in DEFAULT_POLICY_TOML.splitlines():
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {rules.pop(key)}" if key in rules else line)
    assert not rules, f"no such rule: {rules}"
    return "\n".join(lines) + "\n"


def administrators(*keys: SubjectKey) -> str:
    """The tables of administrators with these keys, for the end of a policy."""
    return "".join(_holder("administrator", f"admin {at}", key) for at, key in enumerate(keys))


def authority(name: str, key: SubjectKey, *names: str) -> str:
    """The table of an authority."""
    return _holder("authority", name, key) + f"names = {_list(names)}\n"


def token_table(key: SigningKey, uses: int = 1, *names: str) -> str:
    """The table of a token."""
    return f'\n[[token]]\npublic_key = "{key.public.hex()}"\nuses = {uses}\nnames = {_list(names)}\n'


def _holder(kind: str, name: str, key: SubjectKey) -> str:
    return f"\n[[{kind}]]\nname = \"{name}\"\npublic_key = '''\n{pem_of_der(key.spki, 'PUBLIC KEY')}'''\n"


def _list(texts: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


class Client:
    """One client identity."""

    def __init__(self, name: str) -> None:
        self.identity = SigningKey(H("test/client", name))
        self.id = client_id(self.identity.public)
        self.compose = Composer(DOMAIN, self.identity)

    def issue(self, rid: bytes, key: SubjectKey, *names: str, profile: str = "server") -> SignedRequest:
        return self.compose.issue(rid, key.spki, names, profile)

    def update(self, rid: bytes, key: SubjectKey, *names: str, profile: str = "server") -> SignedRequest:
        return self.compose.update(rid, key.spki, names, profile)

    def record(self, signed: SignedRequest, *, time_ms: int = DEALT_AT_MS, servers: Iterable[int] = (0, 1)) -> bytes:
        """A record with the attestations of some servers, as honest ones would have given them."""
        return self.compose.record(signed, attestations(signed, time_ms=time_ms, servers=servers))


def attestations(
    signed: SignedRequest, *, time_ms: int = DEALT_AT_MS, servers: Iterable[int] = (0, 1), saw: bytes | None = None
) -> tuple[Attestation, ...]:
    claim = Claim(CHALLENGE_GATHERER, key_digest(signed.request.key) if saw is None else saw)
    return tuple(attest(AUTHENTICATORS[server], signed.subject, claim, time_ms) for server in servers)


def rid(number: int, time_ms: int = DEALT_AT_MS) -> bytes:
    return make_rid(time_ms, expand("test/rid", 10, number))


@dataclass
class World:
    """One replica and the commits that it has applied."""

    mode: str = KEY_MAJOR
    policy: str = DEFAULT_POLICY_TOML
    ca: bytes | None = None
    store: KeyValue = field(default_factory=MemoryKeyValue)
    time_ms: int = DEALT_AT_MS
    rids: int = 0

    @cached_property
    def service(self) -> Service:
        return Service(config(mode=self.mode, policy=self.policy, ca=self.ca), self.store)

    def rid(self) -> bytes:
        """A new rid of the present."""
        self.rids += 1
        return rid(self.rids, self.time_ms)

    def commit(self, *records: bytes) -> list[Effect]:
        return self.service.apply_commit(commit(self.service.commit_index + 1, records, self.time_ms))

    def answer(self, record: bytes) -> Answer:
        """The answer to one record that must have an effect."""
        (effect,) = self.commit(record)
        return effect.answer

    def submit(self, client: Client, signed: SignedRequest, *, servers: Iterable[int] = (0, 1)) -> Answer:
        """Order a request with good evidence; the answer."""
        return self.answer(client.record(signed, time_ms=self.time_ms, servers=servers if signed.request.key else ()))

    def issue(self, client: Client, key: SubjectKey, *names: str) -> Answer:
        return self.submit(client, client.issue(self.rid(), key, *names))

    def update(self, client: Client, key: SubjectKey, *names: str) -> Answer:
        return self.submit(client, client.update(self.rid(), key, *names))

    def revoke(
        self,
        client: Client,
        *,
        key: SubjectKey | None = None,
        names: Sequence[str] = (),
        serial: bytes = b"",
        reason: str = "unspecified",
        servers: Iterable[int] = (),
        proofs: Sequence[SubjectKey] = (),
    ) -> Answer:
        spki = key.spki if key else b""
        signed = client.compose.revoke(self.rid(), key=spki, names=names, serial=serial, reason=reason)
        shown = [client.compose.prove(signed, proof.spki, proof.sign) for proof in proofs]
        given = attestations(signed, time_ms=self.time_ms, servers=servers) if key else ()
        return self.answer(client.compose.record(signed, given, shown))

    def change(self, client: Client, change: Change, *signers: SubjectKey) -> Answer:
        """Order a change that these keys have signed; the answer."""
        return self.answer(self.change_record(client, change, *signers))

    def change_record(self, client: Client, change: Change, *signers: SubjectKey) -> bytes:
        """The record of a change, with a new rid."""
        signed = client.compose.admin(self.rid(), change)
        return client.compose.record(
            signed, proofs=[client.compose.prove(signed, key.spki, key.sign) for key in signers]
        )

    def retrieve(self, client: Client, *, key: SubjectKey | None = None, names: Sequence[str] = ()) -> Answer:
        signed = client.compose.retrieve(self.rid(), key=key.spki if key else b"", names=names)
        return self.answer(client.compose.record(signed))

    def wait(self, time_ms: int) -> None:
        """Let agreed time pass; it is seen at the next commit."""
        self.time_ms += time_ms


def commit(index: int, records: Iterable[bytes], time_ms: int = DEALT_AT_MS) -> Commit:
    leader = BlockRef(round=index, author=0, digest=H("test/leader", index))
    return Commit(index, leader, time_ms, H("test/coin", index), tuple(records), None)


def decoded(answer: bytes) -> Answer:
    result: Answer = decode(answer, Answer, len(answer))
    return result
