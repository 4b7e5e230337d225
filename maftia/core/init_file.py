"""server-<i>.init: one server's secrets with all public data, sealed under a passphrase.

Source: scrypt (RFC 7914), AES-256-GCM (SP 800-38D).

Layout: the magic line; a length (2 bytes) and the encoded `Header`, in clear; the
sealed contents; SHA-256 of all that, to tell damage from a wrong passphrase.  The
header is authenticated together with the contents, so nothing in a file can be
exchanged without the passphrase.  A file dealt without one holds its contents in
clear: whoever reads it is that server.

The salt is fresh for each file, hence so is the key, and a nonce is never used twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import load_der_private_key

from maftia.core.cluster_file import ClusterFile, parse_cluster
from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError
from maftia.core.hashing import DIGEST_SIZE_BYTES
from maftia.core.identifiers import CLUSTER_ID_SIZE_BYTES, Domain, PartyId
from maftia.core.limits import EPOCH_MAX, INIT_FILE_SIZE_BYTES_MAX, PASSPHRASE_SIZE_BYTES_MAX, SCRYPT_MEMORY_BYTES_MAX
from maftia.core.signing import SigningKey

MAGIC = b"maftia-init/1\n"
FORMAT_VERSION = 1
MAC_SECRET_SIZE_BYTES = 32
SCRYPT_LOG2_N = 15
"""32 MB and some 0.3 s with r and p below: OWASP's equivalent of N = 2^17, p = 1, in a quarter of the memory"""
SCRYPT_R, SCRYPT_P = 8, 3
KEY_SIZE_BYTES, SALT_SIZE_BYTES, NONCE_SIZE_BYTES = 32, 32, 12
_HEADER_SIZE_BYTES_MAX = 1024
_SCRYPT, _CLEAR = "scrypt", "none"


class Header(Wire, tag="init-header"):
    """What an init file says of itself in clear; believed only once it is opened."""

    version: int
    cluster: bytes
    epoch: int
    party: int
    kdf: str
    """scrypt, or none for a file without passphrase"""
    log2_n: int
    r: int
    p: int
    salt: bytes
    nonce: bytes

    @property
    def is_sealed(self) -> bool:
        """Whether a passphrase is needed."""
        return self.kdf != _CLEAR


class _Contents(Wire, tag="init"):
    cluster_text: str
    policy_text: str
    signing_seed: bytes
    tls_key: bytes
    coin_share: bytes
    dca_share: bytes
    dfe_share: bytes
    mac_secret: bytes


@dataclass(frozen=True)
class InitFile:
    """All that a server needs to start.  Its repr shows no secret."""

    party: PartyId
    cluster_text: str = field(repr=False)
    """cluster.toml as dealt, byte for byte"""
    policy_text: str = field(repr=False)
    """policy.toml as dealt"""
    signing_seed: bytes = field(repr=False)
    """Ed25519 seed"""
    tls_key: bytes = field(repr=False)
    """PKCS#8 DER of the key of this server's TLS certificate"""
    coin_share: bytes = field(repr=False)
    dca_share: int = field(repr=False)
    dfe_share: int = field(repr=False)
    mac_secret: bytes = field(repr=False)
    """32 bytes for what this server alone must recognise (challenge nonces)"""

    @cached_property
    def cluster(self) -> ClusterFile:
        """The cluster, parsed."""
        return parse_cluster(self.cluster_text)

    def require_server(self, domain: Domain, party: PartyId) -> None:
        """Raises FormatError unless this file is for that server of that cluster and epoch."""
        mine = self.cluster.domain
        if mine.cluster != domain.cluster:
            raise FormatError(
                f"this init file is of cluster {mine.cluster.hex()[:16]}…, "
                f"but {domain.cluster.hex()[:16]}… is expected: start with the init file that belongs to this data, "
                "or with an empty data folder"
            )
        if mine.epoch != domain.epoch:
            raise FormatError(f"this init file is of epoch {mine.epoch}, but epoch {domain.epoch} is expected")
        if self.party != party:
            raise FormatError(f"this init file is for server {self.party}, but server {party} is expected")


def init_header(data: bytes) -> Header:
    """What an init file says of itself; enough to know whether to ask for a passphrase.

    Raises FormatError where this is no init file, of a newer format, or damaged.
    """
    return _split(data)[0]


def is_init_file(data: bytes) -> bool:
    """Whether the bytes begin as an init file does."""
    return data.startswith(MAGIC)


def seal(
    init: InitFile, passphrase: bytes | None, random_bytes: Callable[[int], bytes], *, log2_n: int = SCRYPT_LOG2_N
) -> bytes:
    """The bytes of an init file.  Without a passphrase its secrets stand in clear.

    `random_bytes(size)` gives secure random bytes.  `log2_n` is scrypt's cost: tests lower it.
    Raises ValueError for a passphrase that no file may have.
    """
    if passphrase is not None and not 0 < len(passphrase) <= PASSPHRASE_SIZE_BYTES_MAX:
        raise ValueError(f"a passphrase has 1 to {PASSPHRASE_SIZE_BYTES_MAX} bytes")
    header = _new_header(init, passphrase is not None, random_bytes, log2_n)
    encoded = encode(header)
    prefix = MAGIC + len(encoded).to_bytes(2, "big") + encoded
    contents = encode(_contents(init))
    body = contents if passphrase is None else _encrypt(header, passphrase, contents, prefix)
    return prefix + body + hashlib.sha256(prefix + body).digest()


def open_init(data: bytes, passphrase: bytes | None) -> InitFile:
    """The contents of an init file, checked to fit each other.

    A passphrase for a file without one is ignored.  Raises FormatError: no init file, damaged,
    passphrase missing or wrong, or secrets that are not those of the server named.  The threshold
    shares are checked by `maftia.threshold.material.check_shares`.
    """
    header, prefix, body = _split(data)
    if not header.is_sealed:
        return _open_contents(header, body)
    if passphrase is None:
        raise FormatError("this init file is sealed: its passphrase is needed")
    return _open_contents(header, _decrypt(header, passphrase, body, prefix))


def passphrase_of_file(data: bytes) -> bytes:
    """The passphrase that a file holds: its first line.  Raises FormatError where it is empty or too long.

    The dealer and the server read such files by this one rule.
    """
    passphrase, _, rest = data.partition(b"\n")
    passphrase = passphrase.removesuffix(b"\r")
    if not passphrase or len(passphrase) > PASSPHRASE_SIZE_BYTES_MAX or rest.strip():
        raise FormatError(f"a passphrase file holds one line of 1 to {PASSPHRASE_SIZE_BYTES_MAX} bytes")
    return passphrase


def _new_header(init: InitFile, is_sealed: bool, random_bytes: Callable[[int], bytes], log2_n: int) -> Header:
    domain = init.cluster.domain
    return Header(
        version=FORMAT_VERSION,
        cluster=domain.cluster,
        epoch=domain.epoch,
        party=init.party,
        kdf=_SCRYPT if is_sealed else _CLEAR,
        log2_n=log2_n if is_sealed else 0,
        r=SCRYPT_R if is_sealed else 0,
        p=SCRYPT_P if is_sealed else 0,
        salt=random_bytes(SALT_SIZE_BYTES) if is_sealed else b"",
        nonce=random_bytes(NONCE_SIZE_BYTES) if is_sealed else b"",
    )


def _split(data: bytes) -> tuple[Header, bytes, bytes]:
    """Header, the bytes it is authenticated by, and the sealed contents."""
    if not is_init_file(data):
        raise FormatError("not an init file of a MAFTIA server")
    content, digest = data[:-DIGEST_SIZE_BYTES], data[-DIGEST_SIZE_BYTES:]
    if len(data) > INIT_FILE_SIZE_BYTES_MAX or hashlib.sha256(content).digest() != digest:
        raise FormatError("this init file is damaged or cut short: copy it again from where it was dealt")
    start = len(MAGIC) + 2
    end = start + int.from_bytes(content[len(MAGIC) : start], "big")
    header: Header = decode(content[start:end], Header, _HEADER_SIZE_BYTES_MAX)
    _check_header(header)
    return header, content[:end], content[end:]


def _check_header(header: Header) -> None:
    if header.version != FORMAT_VERSION:
        raise FormatError(f"init file format {header.version} is not known; this version reads format {FORMAT_VERSION}")
    is_named = len(header.cluster) == CLUSTER_ID_SIZE_BYTES and 0 <= header.epoch <= EPOCH_MAX
    if not is_named or header.kdf not in {_SCRYPT, _CLEAR}:
        raise FormatError("this init file's header makes no sense")
    if header.is_sealed and not _is_bearable(header):
        raise FormatError("this init file asks for more work than any dealer would: it was tampered with")


def _is_bearable(header: Header) -> bool:
    return (
        1 <= header.log2_n <= 24  # so that the shift below is small: the memory decides
        and header.r == SCRYPT_R
        and header.p == SCRYPT_P
        and 128 * header.r << header.log2_n <= SCRYPT_MEMORY_BYTES_MAX
        and len(header.salt) == SALT_SIZE_BYTES
        and len(header.nonce) == NONCE_SIZE_BYTES
    )


def _encrypt(header: Header, passphrase: bytes, contents: bytes, prefix: bytes) -> bytes:
    key = _derive(header, passphrase)
    try:
        return AESGCM(key).encrypt(header.nonce, contents, prefix)
    finally:
        key[:] = bytes(KEY_SIZE_BYTES)


def _decrypt(header: Header, passphrase: bytes, body: bytes, prefix: bytes) -> bytes:
    key = _derive(header, passphrase)
    try:
        return AESGCM(key).decrypt(header.nonce, body, prefix)
    except InvalidTag:
        raise FormatError("wrong passphrase (or the init file was altered on purpose: it is not damaged)") from None
    finally:
        key[:] = bytes(KEY_SIZE_BYTES)


def _derive(header: Header, passphrase: bytes) -> bytearray:
    """The file's key, in memory that the caller overwrites after use."""
    key = bytearray(KEY_SIZE_BYTES)
    Scrypt(header.salt, KEY_SIZE_BYTES, 1 << header.log2_n, header.r, header.p).derive_into(passphrase, key)
    return key


def _contents(init: InitFile) -> _Contents:
    return _Contents(
        cluster_text=init.cluster_text,
        policy_text=init.policy_text,
        signing_seed=init.signing_seed,
        tls_key=init.tls_key,
        coin_share=init.coin_share,
        dca_share=_int_bytes(init.dca_share),
        dfe_share=_int_bytes(init.dfe_share),
        mac_secret=init.mac_secret,
    )


def _int_bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _open_contents(header: Header, data: bytes) -> InitFile:
    contents: _Contents = decode(data, _Contents, INIT_FILE_SIZE_BYTES_MAX)
    init = InitFile(
        party=PartyId(header.party),
        cluster_text=contents.cluster_text,
        policy_text=contents.policy_text,
        signing_seed=contents.signing_seed,
        tls_key=contents.tls_key,
        coin_share=contents.coin_share,
        dca_share=int.from_bytes(contents.dca_share, "big"),
        dfe_share=int.from_bytes(contents.dfe_share, "big"),
        mac_secret=contents.mac_secret,
    )
    _check_fits(header, init)
    return init


def _check_fits(header: Header, init: InitFile) -> None:
    """The parts of a file that opened still could be those of different dealings."""
    cluster = init.cluster
    if not 0 <= init.party < cluster.n or cluster.domain != Domain(header.cluster, header.epoch):
        raise FormatError("this init file's header is of another cluster or server than its contents")
    if hashlib.sha256(init.policy_text.encode()).hexdigest() != cluster.policy_sha256:
        raise FormatError("this init file's policy is not the one that its cluster file names")
    try:
        public = SigningKey(init.signing_seed).public
    except ValueError as error:
        raise FormatError(f"this init file's signing key is unusable: {error}") from None
    if public != cluster.servers[init.party].verify_key:
        raise FormatError(f"this init file's signing key is not that of server {init.party}")
    if not _is_key_of(init.tls_key, cluster.servers[init.party].tls_certificate_der):
        raise FormatError(f"this init file's TLS key is not that of server {init.party}'s certificate")
    if len(init.mac_secret) != MAC_SECRET_SIZE_BYTES:
        raise FormatError("this init file's MAC secret has the wrong size")


def _is_key_of(private_key: bytes, certificate: bytes) -> bool:
    try:
        public = load_der_private_key(private_key, None).public_key()
        return bool(public == x509.load_der_x509_certificate(certificate).public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
