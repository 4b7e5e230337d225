"""Proofs that a share of a threshold RSA signature is right, made on demand.

Source: Shoup, "Practical threshold signatures", EUROCRYPT 2000, section 3.2; Chaum and
Pedersen's proof of equal logarithms, by Fiat and Shamir's heuristic, in the group of
squares modulo N, whose order is secret.   Bound: n > 3t.

Guarantees: completeness: a right share has a proof that verifies.  Soundness: in the
random-oracle model nobody proves a wrong share but with probability about 2^-256 per
try.  Zero knowledge: a proof tells nothing about S_i (statistical distance 2^-256).

Statement: log of v_i to base v equals log of x_i^2 to base x^4, both S_i.
Proof (c, z): r in [0, 2^(|N|+512)); c = H(statement, v^r, x^{4r}), 256 bits;
z = r + c S_i, a whole number, never reduced.
Verified by: 0 <= z < 2^(|N|+513), and c = H(statement, v^z v_i^{-c}, x^{4z} x_i^{-2c}).

Why it works: the squares are cyclic of order m = p'q', v generates them, and v_i, x^4
and x_i^2 are squares.  Two answers to different challenges for the same commitments
give v^{z-z'} = v_i^{c-c'} and x^{4(z-z')} = x_i^{2(c-c')}; 0 < |c-c'| < 2^256 is less
than p' and q', so a unit modulo m, and both logarithms are (z-z')/(c-c') mod m.  r is
2^256 times longer than c S_i, so z hides it.  A share and its negative have one square:
both are right, and both combine (rsa.py).

Every value of the statement is hashed, each with its length: cluster, epoch, key id,
index, N, e, v, v_i, x, x_i^2, and both commitments.  A field left out is a hole:
without x_i^2 or a commitment wrong shares can be proven, without the others a proof is
good for another cluster, key or server.

Deviations: r is not drawn but derived, SHAKE-256 of S_i and the whole statement, as
RFC 6979 and EdDSA do: no random source can fail, and r is never used for two
statements.  c has 256 bits and r 512 bits beyond |N|, wider than in the paper.

Caller must: ask `public.provable`; keys of general primes have no proofs.

Limits and cost: proving takes two exponentiations a quarter longer than a share's (at
2048 bits), verifying two and two short ones.  z is computed by Python's integers,
whose time depends on lengths only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maftia.core.errors import FormatError
from maftia.core.hashing import DIGEST_SIZE_BYTES, H, expand
from maftia.core.identifiers import Domain, ShareIndex
from maftia.threshold.exponentiation import power_public, power_secret
from maftia.threshold.keys import RsaKeyShare, RsaPublicKey
from maftia.threshold.rsa import is_plausible

CHALLENGE_BITS = 8 * DIGEST_SIZE_BYTES
NONCE_EXCESS_BITS = 2 * CHALLENGE_BITS
"""how much longer than N the nonce is: 256 bits to cover the challenge, 256 to hide"""


@dataclass(frozen=True, slots=True)
class Proof:
    """The challenge c and the response z."""

    challenge: int
    response: int


def prove_share(domain: Domain, public: RsaPublicKey, share: RsaKeyShare, x: int, x_i: int) -> Proof:
    """The proof that x_i is this share's value for x, in constant time.

    x_i must be what `sign_share` gave.  Raises ValueError for a key without proofs.
    """
    if not public.provable:
        raise ValueError("this key has no verification keys, so its shares cannot be proven")
    statement = _statement(domain, public, share.index, x, x_i)
    nonce = _nonce(public, share, statement)
    challenge = _challenge(
        statement,
        power_secret(public.verifier, nonce, public.modulus),
        power_secret(_fourth_power(public, x), nonce, public.modulus),
    )
    return Proof(challenge, nonce + challenge * share.secret)


def verify_share(domain: Domain, public: RsaPublicKey, index: ShareIndex, x: int, x_i: int, proof: Proof) -> bool:
    """Whether the proof shows that x_i is the share of that index for x.

    False for anything implausible or out of range, and for a key without proofs.
    """
    if not public.provable or not is_plausible(public, index, x_i) or not _in_range(public, proof):
        return False
    modulus, c, z = public.modulus, proof.challenge, proof.response
    v_i = public.verification_keys[index - 1]
    commitment_v = power_public(public.verifier, z, modulus) * power_public(v_i, -c, modulus) % modulus
    commitment_x = power_public(_fourth_power(public, x), z, modulus) * power_public(x_i, -2 * c, modulus) % modulus
    return _challenge(_statement(domain, public, index, x, x_i), commitment_v, commitment_x) == c


def culprits(
    domain: Domain, public: RsaPublicKey, x: int, evidence: Mapping[ShareIndex, tuple[int, Proof]]
) -> frozenset[ShareIndex]:
    """The indices whose proof does not show that their share is right."""
    return frozenset(
        index for index, (x_i, proof) in evidence.items() if not verify_share(domain, public, index, x, x_i, proof)
    )


def proof_size_bytes(public: RsaPublicKey) -> int:
    """How long every proof of this key is in bytes."""
    return DIGEST_SIZE_BYTES + _response_size_bytes(public)


def proof_bytes(public: RsaPublicKey, proof: Proof) -> bytes:
    """A proof as it travels: challenge and response, big-endian, of fixed length."""
    return proof.challenge.to_bytes(DIGEST_SIZE_BYTES, "big") + proof.response.to_bytes(
        _response_size_bytes(public), "big"
    )


def proof_from_bytes(public: RsaPublicKey, data: bytes) -> Proof:
    """The proof in these bytes; raises FormatError where their length or the response's range is wrong."""
    if len(data) != proof_size_bytes(public):
        raise FormatError(f"a proof has {proof_size_bytes(public)} bytes, not {len(data)}")
    challenge, response = data[:DIGEST_SIZE_BYTES], data[DIGEST_SIZE_BYTES:]
    proof = Proof(int.from_bytes(challenge, "big"), int.from_bytes(response, "big"))
    if not _in_range(public, proof):
        raise FormatError("the response of the proof is out of range")
    return proof


def _statement(
    domain: Domain, public: RsaPublicKey, index: ShareIndex, x: int, x_i: int
) -> tuple[bytes | int | str, ...]:
    """Everything that the proof is about, in the order in which it is hashed."""
    return (
        domain.cluster,
        domain.epoch,
        public.key_id,
        index,
        public.modulus,
        public.exponent,
        public.verifier,
        public.verification_keys[index - 1],
        x,
        x_i * x_i % public.modulus,
    )


def _challenge(statement: tuple[bytes | int | str, ...], commitment_v: int, commitment_x: int) -> int:
    """c: the statement and both commitments, hashed."""
    return int.from_bytes(H("maftia/rsa/proof/v1", *statement, commitment_v, commitment_x), "big")


def _nonce(public: RsaPublicKey, share: RsaKeyShare, statement: tuple[bytes | int | str, ...]) -> int:
    """r in [0, 2^(|N|+512)), determined by the secret and the statement."""
    bits = public.bits + NONCE_EXCESS_BITS
    size = (bits + 7) // 8
    return int.from_bytes(expand("maftia/rsa/nonce/v1", size, share.secret, *statement), "big") >> (8 * size - bits)


def _in_range(public: RsaPublicKey, proof: Proof) -> bool:
    return 0 <= proof.challenge < 1 << CHALLENGE_BITS and 0 <= proof.response < 1 << public.bits + NONCE_EXCESS_BITS + 1


def _response_size_bytes(public: RsaPublicKey) -> int:
    return (public.bits + NONCE_EXCESS_BITS + 1 + 7) // 8


def _fourth_power(public: RsaPublicKey, x: int) -> int:
    return power_public(x, 4, public.modulus)
