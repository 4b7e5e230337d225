"""An ordinary CA with one key, and servers that say what a test wants them to say."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from maftia.client.client import ServerSignatures
from maftia.client.conversation import Deployment
from maftia.client.keys import SubjectKey
from maftia.core.codec import encode
from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.core.spki import rsa_spki
from maftia.core.x509 import CaSubject, LeafFacts, assemble, issuer_of, leaf_tbs, root_certificate_tbs
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.evidence import Subject
from maftia.dca.messages import Outcome, Refused
from maftia.dca.requests import ISSUE, Answer
from maftia.dca.rid import make_rid
from tests.dealing import fixed_primes
from tests.replica.fakes import DOMAIN

WWW = "dns:www.example.org"
SERIAL = b"\x41" * 16
NOW_S = 1_800_000_000


@cache
def ca_private(which: int = 0) -> rsa.RSAPrivateKey:
    pairs = fixed_primes(2048)
    p, q = (pairs.dca, pairs.dfe)[which]
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(65537, p * q)
    )
    return numbers.private_key()


def ca_spki(which: int = 0) -> bytes:
    public = ca_private(which).public_key().public_numbers()
    return rsa_spki(public.n, public.e)


def signed(tbs: bytes, which: int = 0) -> bytes:
    return assemble(tbs, ca_private(which).sign(tbs, padding.PKCS1v15(), SHA256()))


def key(seed: int = 1) -> SubjectKey:
    return SubjectKey(ec.derive_private_key(1000 + seed, ec.SECP256R1()))


@cache
def certificate(serial: bytes = SERIAL, names: tuple[str, ...] = (WWW,), seed: int = 1, which: int = 0) -> bytes:
    root = signed(root_certificate_tbs(CaSubject("XX", "Test", "CA"), ca_spki(which), 0, 2 * NOW_S), which)
    leaf = LeafFacts(serial, key(seed).spki, "signature", names, "server", NOW_S, NOW_S + 1000)
    return signed(leaf_tbs(issuer_of(root), leaf), which)


def deployment(n: int = 4) -> Deployment:
    public = [SigningKey(bytes([i]) * 32).public for i in range(n)]
    return Deployment(Quorums.of(n), ServerSignatures(DOMAIN, public), ca_spki())


COMPOSER = Composer(DOMAIN, SigningKey(b"\x99" * 32))


def rid(i: int = 1) -> bytes:
    return make_rid(NOW_S * 1000, i.to_bytes(10, "big"))


def issue_request(i: int = 1) -> SignedRequest:
    return COMPOSER.issue(rid(i), key().spki, [WWW], "server")


def answer(kind: str = ISSUE, *, code: str = "", serial: bytes = SERIAL, serials: tuple[bytes, ...] = ()) -> Answer:
    return Answer(code, "because", kind, serial if kind == ISSUE and not code else b"", serials, 3, NOW_S * 1000)


def outcome(subject: Subject, said: Answer, *certificates: bytes) -> Outcome:
    return Outcome(subject.client, subject.rid, subject.digest, encode(said), certificates)


def refused(subject: Subject, code: str) -> Refused:
    return Refused(subject.rid, code, "because")


def server(i: int) -> PartyId:
    return PartyId(i)
