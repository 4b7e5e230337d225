"""Threshold RSA signatures: dealing, shares, combination.

Source: Shoup, "Practical threshold signatures", EUROCRYPT 2000, section 3 (the scheme
for t corrupted of n, any t+1 sign); RFC 8017, sections 8.2 and 9.2.   Bound: n > 3t.

Guarantees: t servers learn nothing that helps them to sign; any t+1 right shares give
the signature; the signature is the one RSASSA-PKCS1-v1_5 (SHA-256) signature of the
message under an ordinary public key, whoever took part; `combine` returns nothing
that does not verify.

Shares are x_i = (x^2)^{S_i} mod N, without interaction.  Whether a share is right can
be proven (`rsa_proof`), which is done only when a combination has failed.

Why it works: let N = pq with p = 2p'+1, q = 2q'+1 and m = p'q'.  Squares modulo N form
a cyclic group of order m.  d = 1/e mod m is shared by f of degree t over Z_m with
f(0) = d, and S_i = Delta f(i) mod m, Delta = n!.  So x_i = x^{2 Delta f(i)}.  With the
whole-number coefficients lambda_i of t+1 indices (shamir.py), sum of lambda_i f(i) = D d
for a D that divides Delta, and w = prod x_i^{2 lambda_i} = x^{4 Delta D d}, whence
w^e = x^{4 Delta D}.  e is prime to 4 Delta D, so a 4 Delta D + b e = 1 has a solution,
and y = w^a x^b has y^e = x.  Signs of shares vanish in the square: N - x_i serves as
well as x_i.

General primes (imported keys): with m = lcm((p-1)/2, (q-1)/2) every square has an order
that divides m and all of the above holds.  Three things do not.  Proofs: squares are no
cyclic group without small subgroups, so these keys have none.  Blame: a subset that
combines may hold two wrong shares that cancel out, so `combine_subsets` finds the
signature and accuses nobody.  Perfect secrecy at small primes: for a prime l <= n that
divides m, shares of a server with index divisible by l show d modulo a power of l; as
d = 1/e mod m, this tells which small primes divide p-1 or q-1, some bits, and no more.

Deviations: S_i is reduced modulo m with Delta in it and the factor 2 sits in the base
x^2; Shoup has x^{2 Delta s_i}.  Same group element, shorter exponent for larger n, and
nothing depends on S_i modulo 2 (the base is a square, so every share is one).  Shoup's
lambda_i have D = Delta; the least common denominator gives the same signature by
exponents that are half as long and less.

Caller must: give `deal` primes that nobody else knows, and forget them; keep key shares
apart; and bind messages to their purpose: the scheme signs whatever t+1 servers share.

Limits and cost: a share is one exponentiation with an exponent as long as N; combining
is t+1 short ones.  Python cannot wipe integers: `deal` drops every reference to
d and f, but the memory is cleared only when it is used again, so deal on a machine
that is switched off afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import combinations
from math import gcd, lcm

from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import PartyId, ShareIndex, share_index
from maftia.core.limits import SUBSET_SEARCH_SERVERS_MAX
from maftia.core.quorum import Quorums
from maftia.threshold import primes, shamir
from maftia.threshold.exponentiation import power_public, power_secret
from maftia.threshold.keys import RsaKeyShare, RsaPublicKey

PUBLIC_EXPONENT = 65537

_DIGEST_INFO_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
_PADDING_SIZE_BYTES_MIN = 8
_PRIME_DISTANCE_BITS = 100
"""FIPS 186-5: |p - q| > 2^(bits/2 - 100), or Fermat's method factors N"""


# --- dealing


def deal(
    key_id: str,
    p: int,
    q: int,
    quorums: Quorums,
    random_bytes: Callable[[int], bytes],
    *,
    exponent: int = PUBLIC_EXPONENT,
    safe: bool = True,
) -> tuple[RsaPublicKey, tuple[RsaKeyShare, ...]]:
    """Split the RSA key with the given primes among the servers of `quorums`.

    With `safe` (the rule) p and q must be safe primes of equal length, and the key's
    shares can be proven right.  Without, any two primes will do, as they come with an
    existing certification authority's key, and there are no proofs.

    Returns the public key, and the shares of indices 1…n in order: share i is for
    party i-1 and nobody else.  `random_bytes(k)` gives k secret random bytes.  Raises
    ValueError for primes or an exponent that cannot serve.
    """
    _check_primes(p, q, safe)
    half_p, half_q = (p - 1) // 2, (q - 1) // 2
    order = lcm(half_p, half_q)
    if gcd(exponent, 2 * order * shamir.delta(quorums.n)) != 1:
        raise ValueError("the public exponent has a factor in common with p-1, q-1 or n!")
    if safe and min(half_p, half_q) <= quorums.n:
        raise ValueError("the primes are too small for so many servers")
    shares = _deal_shares(pow(exponent, -1, order), order, quorums, random_bytes)
    verifier = _random_verifier(p * q, random_bytes) if safe else 0
    keys = tuple(power_secret(verifier, share.secret, p * q) for share in shares) if safe else ()
    public = RsaPublicKey(key_id, p * q, exponent, quorums.n, quorums.t, verifier, keys, safe)
    return public, shares


def _check_primes(p: int, q: int, safe: bool) -> None:
    """Raise ValueError, without the primes in it, unless they can make a key."""
    if not primes.is_prime(p) or not primes.is_prime(q) or p % 2 == 0 or q % 2 == 0:
        raise ValueError("p and q must be odd primes")
    distance_bits = max(p.bit_length(), q.bit_length()) - _PRIME_DISTANCE_BITS
    if p == q or abs(p - q).bit_length() <= distance_bits:
        raise ValueError("p and q must differ, and not be close to each other")
    if safe and p.bit_length() != q.bit_length():
        raise ValueError("p and q must have the same length")
    if safe and not (primes.is_safe_prime(p) and primes.is_safe_prime(q)):
        raise ValueError("p and q must be safe primes: (p-1)/2 and (q-1)/2 prime too")


def _deal_shares(
    secret: int, order: int, quorums: Quorums, random_bytes: Callable[[int], bytes]
) -> tuple[RsaKeyShare, ...]:
    """S_i = Delta f(i) mod m for random f of degree t with f(0) = d."""
    polynomial = shamir.random_polynomial(secret, quorums.t, order, random_bytes)
    factor = shamir.delta(quorums.n)
    indices = [share_index(PartyId(party)) for party in quorums.parties]
    return tuple(RsaKeyShare(i, factor * shamir.evaluate(polynomial, i, order) % order) for i in indices)


def _random_verifier(modulus: int, random_bytes: Callable[[int], bytes]) -> int:
    """A random square v with v and v-1 prime to N: a generator of the squares."""
    while True:
        root = shamir.random_below(modulus, random_bytes)
        verifier = root * root % modulus
        if gcd(verifier, modulus) == 1 and gcd(verifier - 1, modulus) == 1:
            return verifier


# --- messages and shares


def encode(public: RsaPublicKey, message: bytes) -> int:
    """x = EMSA-PKCS1-v1_5 of the message's SHA-256, as an integer (RFC 8017, 9.2).

    Raises ValueError for a modulus of less than 62 bytes, and CryptoError where x is
    not prime to N (who finds such a message has factored N).
    """
    info = _DIGEST_INFO_SHA256 + hashlib.sha256(message).digest()
    padding = public.size_bytes - len(info) - 3
    if padding < _PADDING_SIZE_BYTES_MIN:
        raise ValueError("the modulus is too short for SHA-256 signatures")
    x = int.from_bytes(b"\x00\x01" + b"\xff" * padding + b"\x00" + info, "big")
    if gcd(x, public.modulus) != 1:
        raise CryptoError("the encoded message has a factor in common with the modulus")
    return x


def sign_share(public: RsaPublicKey, share: RsaKeyShare, x: int) -> int:
    """x_i = (x^2)^{S_i} mod N, in constant time.  The slow operation: run it in a thread."""
    if share.index > public.n:
        raise ValueError("the share is of another key")
    return power_secret(x * x % public.modulus, share.secret, public.modulus)


def is_plausible(public: RsaPublicKey, index: ShareIndex, x_i: int) -> bool:
    """Whether the value could be a share: index in 1…n, 1 < x_i < N-1, prime to N.  Cheap."""
    return 1 <= index <= public.n and 1 < x_i < public.modulus - 1 and gcd(x_i, public.modulus) == 1


def share_matches(public: RsaPublicKey, share: RsaKeyShare) -> bool:
    """Whether the secret belongs to the public key: v^{S_i} = v_i.  True if there is no v."""
    if not 1 <= share.index <= public.n:
        return False
    if not public.provable:
        return True
    return power_secret(public.verifier, share.secret, public.modulus) == public.verification_keys[share.index - 1]


def share_bytes(public: RsaPublicKey, x_i: int) -> bytes:
    """A share as it travels: big-endian, as long as the modulus."""
    return x_i.to_bytes(public.size_bytes, "big")


def share_from_bytes(public: RsaPublicKey, data: bytes) -> int:
    """The share in these bytes; raises FormatError unless they are exactly as long as N and below it."""
    x_i = int.from_bytes(data, "big")
    if len(data) != public.size_bytes or x_i >= public.modulus:
        raise FormatError("a signature share has the length of the modulus and is below it")
    return x_i


# --- signatures


def combine(public: RsaPublicKey, x: int, shares: Mapping[ShareIndex, int]) -> int:
    """The signature y with y^e = x from the t+1 shares of lowest index.

    Raises ValueError for fewer than t+1 shares, and CryptoError where one is not
    plausible or the result does not verify: then some share among those is wrong.
    """
    if len(shares) <= public.t:
        raise ValueError(f"{public.t + 1} shares are needed, {len(shares)} are given")
    chosen = {index: shares[index] for index in sorted(shares)[: public.t + 1]}
    if not all(is_plausible(public, index, x_i) for index, x_i in chosen.items()):
        raise CryptoError("a signature share is out of range")
    common, coefficients = shamir.integer_coefficients(public.n, chosen)
    w = _interpolate(public, chosen, coefficients)
    y = _root(public, x, w, 4 * shamir.delta(public.n) * common)
    if power_public(y, public.exponent, public.modulus) != x:
        raise CryptoError("the signature shares do not make a signature")
    return y


def combine_subsets(public: RsaPublicKey, x: int, shares: Mapping[ShareIndex, int]) -> int:
    """The signature from whichever t+1 of the shares make one: for keys without proofs.

    Says nothing about who lied (see above).  Raises ValueError for more than
    SUBSET_SEARCH_SERVERS_MAX servers or fewer than t+1 shares, CryptoError where no
    subset makes the signature.
    """
    if public.n > SUBSET_SEARCH_SERVERS_MAX:
        raise ValueError(f"subsets are tried among at most {SUBSET_SEARCH_SERVERS_MAX} servers")
    if len(shares) <= public.t:
        raise ValueError(f"{public.t + 1} shares are needed, {len(shares)} are given")
    plausible = [index for index in sorted(shares) if is_plausible(public, index, shares[index])]
    for subset in combinations(plausible, public.t + 1):
        try:
            return combine(public, x, {index: shares[index] for index in subset})
        except CryptoError:
            continue
    raise CryptoError("no t+1 of the signature shares make a signature")


def verify(public: RsaPublicKey, message: bytes, signature: bytes) -> bool:
    """Whether it is the RSASSA-PKCS1-v1_5 signature of the message (RFC 8017, 8.2.2)."""
    y = int.from_bytes(signature, "big")
    if len(signature) != public.size_bytes or y >= public.modulus:
        return False
    return power_public(y, public.exponent, public.modulus) == encode(public, message)


def signature_bytes(public: RsaPublicKey, y: int) -> bytes:
    """A signature as RFC 8017 has it: big-endian, as long as the modulus."""
    return y.to_bytes(public.size_bytes, "big")


def _interpolate(public: RsaPublicKey, shares: Mapping[ShareIndex, int], coefficients: Mapping[ShareIndex, int]) -> int:
    """w = product of x_i^{2 lambda_i}, with one inversion for all negative coefficients."""
    above, below = 1, 1
    for index, coefficient in coefficients.items():
        power = power_public(shares[index], 2 * abs(coefficient), public.modulus)
        if coefficient > 0:
            above = above * power % public.modulus
        else:
            below = below * power % public.modulus
    return above * power_public(below, -1, public.modulus) % public.modulus


def _root(public: RsaPublicKey, x: int, w: int, factor: int) -> int:
    """y = w^a x^b where a * factor + b * e = 1, for w with w^e = x^factor."""
    a = pow(factor, -1, public.exponent)
    b = (1 - a * factor) // public.exponent
    return power_public(w, a, public.modulus) * power_public(x, b, public.modulus) % public.modulus
