"""Clusters for tests, dealt in a moment: the primes are fixed, the randomness comes from a seed.

Every secret here is public.  The numbers were found once by `openssl prime -generate -safe`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

from dealer.deal import Dealing, DealSpec, PrimePairs, deal
from maftia.core.address import Address
from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums

DEALT_AT_MS = 1_795_219_200_000
"""2026-11-21 00:00:00 UTC"""
BASE_PORT = 7400

_SAFE_PRIMES = {
    1024: (
        int(
            "cd788e7fe164e771d5cbae72de1f1d543d0d07cd547e0eca58874699fda8fa032937c7ac06f8c2bbbc3b3da63267a24c"
            "0e9c9f56315324fe6022ddc5b3ba961f",
            16,
        ),
        int(
            "f342b69918bc4cc6d2f129ca143a8eb34eb3fc7b25cdedc26f47b4b5ddd4fd391b68892fe24301f9436ce45087e23fac"
            "a0f3cf23caddad04fa371edd3209f79f",
            16,
        ),
        int(
            "e63a757d63132f72171b9142d9581e473c7d0eee959e784c06dd10f7846ea1cabdfdc963257e88a3c15f1fca458474c4"
            "5e84b783bd5e3dc3eded1ec7bf4c04cf",
            16,
        ),
        int(
            "f7bd9ba11b7d2ba8b16c06aaf3360b3ba7b3a2c7ec6897a94d200850135f6467b2eab74b3c6e7c91eab0c98e862e3e21"
            "d1908d0e82c9a3fb4033bf51e3ece36f",
            16,
        ),
    ),
    2048: (
        int(
            "e637f321795ac36691e0090de44e86ab8f541a9eff3aeba9c5bd77d2545cdc3f3d447575949037e1ff5c7b7685568d20"
            "ba3552fe53fb6a2760fe818251ce86c6efb13ca469d7fc7a93c1c4f8e53a0bbbba55c4bc7b57d7fce381a5fcbfd70b6b"
            "ccfd019b74d0ea3a111443e6e4c21f3ff39e7ac48d317918e97a8ac9f9bbc60f",
            16,
        ),
        int(
            "c5c036d9b94a920bb45d8a8a44c83ccef933e92a102f0e3c91a5016d38ea157f7c4a2473ff7807575ba60050f1dde797"
            "dbedc1f6aa513a86641e2dd259426be485716a3fc10f7aac7f8358dcdbf31d74fddeb867876b2b1a8c4c6ad25fb06caa"
            "547867995b4fd5ead4135ffcbb96c70ce23054b7ef074057144631c664cf184f",
            16,
        ),
        int(
            "e5ab7ff90ddce002211f3f5558b1b38be7c60834d4dd752c02052a196d035bf08f941f9ffbbd1cedbfb4094e214e34d5"
            "e1db93015f09d637e7fc9b20702462a5cc489751e5a70a31c5866383de4d4b9f10ae84237d848749325b6d3d4c8e5ab5"
            "cc913703a8da01518ec944d90292da3613d6094d7cd400d72f27f1bcfd721e3f",
            16,
        ),
        int(
            "ec161b5f32dddf4f13da058bb57faf97d890e51357e1828d79b920686690bb00067cdf24dea1486cec96cba44a885cc3"
            "3e77861b5842f9f90144a4fcee4fb5b9b2121962d13988a0a614d05d59bb06fe42e62475331506c22ab09300b4d79a06"
            "d987c115ed87a6d6169b8f4ec8c950f959a2eeedc0efe3295c96d8c7203b40bf",
            16,
        ),
    ),
    3072: (
        int(
            "c2336659cffb58d4be7be73aaf89c8e9dd514443fbf3bfa635c373dca270cd150d7d801009e48ecf93048fd89acce7b4"
            "05569ba9c61bc7d71fb988d341a6c47847eefd4170870492c0ad1a5abdcdc42c451e28e3942108d7a0401dfa8ff8b4e7"
            "5a6ed14cca340325d3d1dcebec6a5cc2bee05b16b9f82852cfb2b7163f2618251c1b2f9ff5e24434004f1f34deab97bb"
            "c9935ec8a2b3eabdb8ea932b0f055f88502132ce0c5221e4c783b2f46e0bfc00600202c57033f2bc22557a87330e6843",
            16,
        ),
        int(
            "d9c1ac804f8d5877340619745d1ceedb629361bb1c716b2590f06c907a2802d7f1f79633d63947c710d07c3d5f6deb60"
            "5f08fd75c9e904e2f9310c042eb4a1ec8444666bcd7b60d4bacb209b858e8ab1cb49d322e9db5023732f10fadfb015a9"
            "33f107fc8f4ef013546f2f8028c6b213c5eec8d87316315c800389f0f83beff873c86fe0ccc8cedd388c2eefae61f4b5"
            "c34e510b87360b18c40a4dcd180a297407de349bf96d95664cf014d55c66fd610f8806aae0506c2967dc4a3f343de927",
            16,
        ),
        int(
            "f10ea8fc848484d848e5f7e125dce696364e11bba718232d91d80bde22820136f3e7720d4472070c8b2dbc4ddf6ecc12"
            "f4a33f47038c6ff0b35b8ffb7071a0663d9043e1576af01fdabfd7bf56315a18b7ab6a2266c640585de0c1ed52d4f42d"
            "0855fa5677ded695c1dd5fd1a6a691b830907bd4c02642166e7539970adaacf85cdc2acbb2991e3ffce91aaf089091b1"
            "d6217786bc9b555bf22767df907aaee603451c76fd95df63ebe21cafc990f695578bc0bd3232e7b7f78cfb39f9285b4b",
            16,
        ),
        int(
            "fcb1d3ab190b320e9dcc4094f974fa41224aceed4c780e6b82823b330b8035ad55221e2895f13cfb1520797a3b66ebeb"
            "bf07722567a965898386026d566ff6045cb7dd75b0c96cd84c3f718685a30934d3de2690c75eb19addb67107c4410477"
            "7ce5060a96eeab0763eb50e0b06830394df14427e04eb0a5b1a6b31aa1f7d15205ce694f2602e087102f3606ace7fe7b"
            "ffbada8d82a3f0f16e0c9a1e510d50c1464b5b2ddbb462ec390425bd9dd979bce596fd1fbcf5e3b443340049800ec4b3",
            16,
        ),
    ),
}
"""four for each length of modulus; 1024 bits only for simulations that need not look like a CA"""


def seeded_bytes(seed: str) -> Callable[[int], bytes]:
    """A deterministic stand-in for secure random bytes."""
    counter = 0

    def random_bytes(size: int) -> bytes:
        nonlocal counter
        counter += 1
        return hashlib.shake_256(f"{seed}/{counter}".encode()).digest(size)

    return random_bytes


def fixed_primes(bits: int) -> PrimePairs:
    """The fixed primes for two keys with moduli of 1024, 2048 or 3072 bits."""
    first, second, third, fourth = _SAFE_PRIMES[bits]
    return PrimePairs((first, second), (third, fourth))


@cache
def sample_cluster(
    n: int = 4,
    t: int | None = None,
    *,
    bits: int = 2048,
    mode: str = KEY_MAJOR,
    seed: str = "0",
    base_port: int = BASE_PORT,
    policy_text: str | None = None,
    dealt_at_ms: int = DEALT_AT_MS,
) -> Dealing:
    """A dealt cluster on loopback; equal arguments give the same one, dealt once a process."""
    spec = DealSpec(
        quorums=Quorums.of(n) if t is None else Quorums(n, t),
        addresses=tuple(Address("127.0.0.1", base_port + party) for party in range(n)),
        policy_text=DEFAULT_POLICY_TOML if policy_text is None else policy_text,
        dealt_at_ms=dealt_at_ms,
        mode=mode,
    )
    return deal(spec, fixed_primes(bits), seeded_bytes(f"{n}/{spec.quorums.t}/{bits}/{seed}"))
