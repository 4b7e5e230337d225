"""A key that signs nothing: it shows what a certificate builder would have signed.

Source: the interface of `cryptography`'s RSAPrivateKey, which its builders call.

The DCA's private key exists nowhere.  A builder is given this in its place; what comes
to `sign` is the TBSCertificate, or the CertificationRequestInfo, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import rsa, utils
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
from cryptography.hazmat.primitives.hashes import HashAlgorithm


def captured(key: rsa.RSAPublicKey, build: Callable[[CapturingKey], object]) -> bytes:
    """What a builder gives to its key to sign."""
    signer = CapturingKey(key)
    build(signer)
    return signer.captured


class CapturingKey(rsa.RSAPrivateKey):
    """Stands in for the private key, which exists nowhere: keeps the bytes, signs nothing."""

    def __init__(self, public: rsa.RSAPublicKey) -> None:
        self._public = public
        self.captured = b""

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        padding: AsymmetricPadding,  # noqa: ARG002 (the signers choose)
        algorithm: utils.Prehashed | HashAlgorithm | utils.NoDigestInfo,  # noqa: ARG002
    ) -> bytes:
        """Keep the data; the signature returned is none."""
        self.captured = bytes(data)
        return b"\x01" * (self.key_size // 8)

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half, which is all there is."""
        return self._public

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public.key_size

    def decrypt(self, ciphertext: object, padding: object) -> NoReturn:
        """Impossible."""
        raise NotImplementedError("there is no private key here")

    def private_numbers(self) -> NoReturn:
        """Impossible."""
        raise NotImplementedError("there is no private key here")

    def private_bytes(self, encoding: object, format: object, encryption_algorithm: object) -> NoReturn:  # noqa: A002
        """Impossible."""
        raise NotImplementedError("there is no private key here")

    def __copy__(self) -> NoReturn:
        raise NotImplementedError("there is no private key here")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise NotImplementedError("there is no private key here")
