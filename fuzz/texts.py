"""Targets for texts: names, patterns, addresses, policies, cluster and init files, passphrases, authorities' files."""

from __future__ import annotations

import hashlib
import ipaddress
import random
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from cryptography import x509

from dealer.imported import _certificate
from fuzz.mutators import mutate_der, mutate_lines, mutate_wire
from fuzz.target import Native, Target, must
from maftia.cli.policy_text import read_shown, render_shown, with_tokens
from maftia.client.names import ascii_name
from maftia.core.address import parse_address
from maftia.core.certificate import ATTRIBUTE_OIDS, certificate_facts
from maftia.core.cluster_file import CERTIFICATE_LABEL, ClusterFile, load_cluster, parse_cluster, render_cluster
from maftia.core.errors import FormatError
from maftia.core.files import pem_of_der
from maftia.core.globs import Glob, glob_matches, parse_glob
from maftia.core.init_file import MAGIC, Header, _Contents, init_header, open_init, passphrase_of_file, seal
from maftia.core.names import DN, DNS, IP, Name, address_bytes, match_key, normalise_names, parse_dn, parse_name
from maftia.core.policy import DEFAULT_POLICY_TOML, Policy, TokenGrant, parse_policy, token_key
from maftia.core.quorum import Quorums
from maftia.threshold.material import coin_public, dca_public, dfe_public, wrong_shares
from tests.corpus.names import NAMES
from tests.dca.world import DEALT_AT_MS, administrators, authority, ca_certificate, ec_key, token_table
from tests.dealing import sample_cluster, seeded_bytes

_TOKEN = token_key("a token of at least 22 characters")
_PASSPHRASE = b"passphrase"
_LOG2_N_MAX = 4
"""of the files that are opened under a passphrase here: more is only slow"""
_STARS_MAX = 3
"""for the regular expression that patterns are compared with, which takes exponential time"""


# --- names


def _name(data: bytes) -> None:
    """One name a line; each is normalised once and for all, and a certificate may have them together."""
    texts = data.decode("utf-8", errors="surrogateescape").split("\n")
    with suppress(FormatError):
        must(ascii_name(texts[0]).isascii(), "a name that travels is not ASCII")
    names = [parse_name(text) for text in texts]
    for name in names:
        must(parse_name(str(name)) == name, "a normalised name has another normal form")
        must(
            match_key(match_key(str(name))) == match_key(str(name)),
            "what names have in common has something else in common",
        )
        _check_kind(name)
    normalised = normalise_names(texts)
    must(normalise_names(normalised) == normalised, "a normalised list of names has another normal form")


def _check_kind(name: Name) -> None:
    if name.kind == IP:
        address = ipaddress.ip_address(name.value)
        must(
            address.packed == address_bytes(name.value) and str(address) == name.value,
            "the library has another address",
        )
    if name.kind == DN:
        pairs = [(one.oid.dotted_string, one.value) for one in x509.Name.from_rfc4514_string(name.value)]
        ours = [(ATTRIBUTE_OIDS[kind], value) for kind, value in reversed(parse_dn(name.value))]
        must(pairs == ours, "the library reads another distinguished name")
    if name.kind == DNS:
        must(all(0 < len(label) < 64 for label in name.value.split(".")), "a label has 1 to 63 characters")


def _name_seeds() -> Mapping[str, bytes]:
    good = (
        "dns:www.example.org",
        "dns:*.example.org",
        "dns:xn--bcher-kva.example",
        "email:a.b@example.org",
        "ip:192.0.2.7",
        "ip:2001:db8::1",
        "ip:::1",
        "uri:https://example.org/a?b=c%2F",
        "uri:http://[2001:DB8::1]:8080/",
        "uri:urn:a:b",
        "dn:CN=A\\, B,OU=x,OU=y,O=\\#c\\20,C=de",
        "dn:DC=example,DC=org,UID=u,STREET=s,L=l,ST=t",
        "dns:bücher.example",
    )
    hostile = {label: texts[0] for label, (texts, _) in NAMES.items() if len(texts) == 1 and len(texts[0]) < 300}
    lists = {"list": "\n".join(good[:7])}
    texts = {**{text: text for text in good}, **hostile, **lists}
    return {label: text.encode("utf-8", errors="surrogateescape") for label, text in texts.items()}


# --- patterns


def _glob(data: bytes) -> None:
    """A pattern, a line break, and a name that it is asked about."""
    pattern, _, text = data.decode("latin-1").partition("\n")
    glob = parse_glob(pattern)
    must(parse_glob(str(glob)) == glob, "the text of a pattern is another pattern")
    with suppress(FormatError):
        glob.matches(parse_name(text))
    parts = glob.pattern.split("*")
    if len(parts) <= _STARS_MAX + 1 and glob.kind != IP:
        found = re.fullmatch(".*".join(map(re.escape, parts)), text, re.DOTALL)
        must(glob_matches(glob.pattern, text) == bool(found), "a regular expression finds otherwise")


def _glob_seeds() -> Mapping[str, bytes]:
    pairs = (
        ("dns:*.example.org", "dns:www.example.org"),
        ("*", "dns:a.b"),
        ("ip:192.0.2.0/24", "ip:192.0.2.9"),
        ("a.b", "a.b"),
        ("ip:2001:db8::/32", "ip:2001:db8::7"),
        ("email:*@example.org", "email:a@example.org"),
        ("dns:a*b*c", "aXbYc"),
        ("uri:https://*/a", "uri:https://b.example/a"),
        ("dn:CN=*,O=Example", "dn:CN=x,O=Example"),
    )
    return {pattern: f"{pattern}\n{text}".encode() for pattern, text in pairs}


# --- addresses and passphrases


def _address(data: bytes) -> None:
    address = parse_address(data.decode("latin-1"))
    must(parse_address(str(address)) == address, "the text of an address is another address")


def _address_seeds() -> Mapping[str, bytes]:
    texts = (
        "ca1.example.org:7400",
        "192.0.2.1:1",
        "[2001:db8::1]:65535",
        "[::1]:7400",
        "a_b.:80",
        "[fe80::1%eth0]:1",
        "",
    )
    return {text or "nothing": text.encode() for text in texts}


def _passphrase(data: bytes) -> None:
    must(b"\n" not in passphrase_of_file(data), "a passphrase has two lines")
    with suppress(FormatError):
        token_key(data.decode("latin-1"))


# --- policies


def _policy(data: bytes) -> None:
    """The policy; and its text once its tokens are replaced, which must be the same policy but for them."""
    text = data.decode("utf-8", errors="surrogateescape")
    must(read_shown(render_shown(bytes(32), text)).text == text, "what is shown of a policy is another text")
    policy = parse_policy(text)
    with suppress(FormatError):
        policy.check_for(Quorums(4, 1))
    for tokens in ((), (TokenGrant(_TOKEN.public, 7, (Glob("dns", "*.example"),)),)):
        try:
            replaced = parse_policy(with_tokens(text, tokens))
        except FormatError:
            continue
        must(_without_tokens(replaced) == _without_tokens(policy), "a policy with other tokens differs in other things")


def _without_tokens(policy: Policy) -> tuple[object, ...]:
    return (
        policy.cluster,
        policy.profiles,
        policy.allow,
        policy.ask,
        policy.authorities,
        policy.administrators,
        policy.limits,
    )


def _policy_seeds() -> Mapping[str, bytes]:
    short = '[profile.server]\nkinds=["signature"]\ndays=1\nkey_types=["rsa"]\n[ask]\nmode=["open"]\n'
    keys = ec_key("a"), ec_key("b")
    texts = {
        "short": short,
        "default": DEFAULT_POLICY_TOML,
        "token": short + token_table(_TOKEN, 3, "dns:*.example", "ip:192.0.2.0/24"),
        "token inline": f'token=[{{public_key="{_TOKEN.public.hex()}",uses=1}}]\n{short}',
        "authority": short + authority("office", keys[0], "dns:b.*"),
        "administrators": short + administrators(*keys),
        "limits": short + "[limits]\nwindow_s = 1\n[cluster]\nattestations = 2\n[allow]\ndns = ['*.example']\n",
        "strings": short + "# \"'[\n" + token_table(_TOKEN).replace('"', "'''"),
        "gatherers": short.replace("days=1", 'days=1\ngather=["dns-01"]'),
    }
    return {label: text.encode() for label, text in texts.items()}


# --- cluster files


def _cluster(data: bytes) -> None:
    cluster = load_cluster(data)
    must(parse_cluster(render_cluster(cluster)) == cluster, "the text of a cluster is another cluster")
    for public in (dca_public, dfe_public, coin_public):
        with suppress(FormatError):
            public(cluster)


@cache
def _dealing(n: int) -> ClusterFile:
    cluster: ClusterFile = sample_cluster(n, bits=1024).cluster
    return cluster


def _cluster_seeds() -> Mapping[str, bytes]:
    return {f"{n} servers": render_cluster(_dealing(n)).encode() for n in (1, 4)}


# --- init files


def _init(data: bytes) -> None:
    """As it is, or else with the digest that the file should end with."""
    try:
        _open(data)
    except FormatError:
        _open(data + hashlib.sha256(data).digest())


def _open(data: bytes) -> None:
    header = init_header(data)
    if header.is_sealed and header.log2_n > _LOG2_N_MAX:
        return
    init = open_init(data, _PASSPHRASE)
    must(init.cluster.domain.cluster == header.cluster, "a file of two clusters opens")
    wrong_shares(init)


@cache
def _init_seeds() -> Mapping[str, bytes]:
    init = sample_cluster(1, bits=1024).inits[0]
    files = {
        "clear": seal(init, None, seeded_bytes("clear")),
        "sealed": seal(init, _PASSPHRASE, seeded_bytes("sealed"), log2_n=_LOG2_N_MAX),
    }
    bare = {f"{label} without digest": data[:-32] for label, data in files.items()}
    return {**files, **bare, "magic": MAGIC}


def _mutate_init(data: bytes, rng: random.Random, native: Native) -> bytes:
    """Header or contents changed, as MessagePack."""
    start = len(MAGIC) + 2
    end = start + int.from_bytes(data[len(MAGIC) : start], "big")
    header, contents = data[start:end], data[end:]
    if rng.random() < 0.4:
        header = mutate_wire(header, rng, native)
    else:
        contents = mutate_wire(contents, rng, native)
    return MAGIC + (len(header) % 65536).to_bytes(2, "big") + header + contents


# --- an existing authority's certificate


def _authority(data: bytes) -> None:
    """Any DER, or what stands between two lines."""
    pem = data if data[:1] == b"-" else pem_of_der(data, CERTIFICATE_LABEL).encode()
    certificate_facts(_certificate(pem, DEALT_AT_MS))


TARGETS = (
    Target(
        "name",
        _name,
        _name_seeds,
        (FormatError,),
        covers=(
            "maftia.core.names:parse_name",
            "maftia.core.names:parse_dn",
            "maftia.core.names:normalise_names",
            "maftia.client.names:ascii_name",
        ),
        words=(
            b"dns:",
            b"email:",
            b"ip:",
            b"uri:",
            b"dn:",
            b"://",
            b"xn--",
            b"CN=",
            b"C=",
            b"\\2C",
            b"%2F",
            b"*.",
            b"::",
            b"@",
        ),
        size_bytes_max=600,
    ),
    Target(
        "pattern",
        _glob,
        _glob_seeds,
        (FormatError,),
        covers=("maftia.core.globs:parse_glob",),
        words=(b"dns:", b"email:", b"ip:", b"uri:", b"dn:", b"*", b"/24", b"/128", b"\n"),
        size_bytes_max=600,
    ),
    Target(
        "address",
        _address,
        _address_seeds,
        (FormatError,),
        covers=("maftia.core.address:parse_address",),
        words=(b"]:", b"[", b"::", b":7400"),
        size_bytes_max=320,
    ),
    Target(
        "passphrase",
        _passphrase,
        lambda: {"line": b"secret\n", "windows": b"secret\r\n", "two": b"a\nb\n"},
        (FormatError,),
        covers=("maftia.core.init_file:passphrase_of_file", "maftia.core.policy:token_key"),
        size_bytes_max=1100,
    ),
    Target(
        "policy",
        _policy,
        _policy_seeds,
        (FormatError,),
        mutate=mutate_lines,
        size_bytes_max=8192,
        covers=(
            "maftia.core.policy:parse_policy",
            "maftia.cli.policy_text:read_shown",
            "maftia.cli.policy_text:with_tokens",
        ),
        words=(
            b"[[token]]",
            b"[[authority]]",
            b"[profile.server]",
            b'"""',
            b"'''",
            b"names = ",
            b"uses = ",
            b"#",
            b"\\u0000",
        ),
    ),
    Target(
        "cluster-file",
        _cluster,
        _cluster_seeds,
        (FormatError,),
        mutate=mutate_lines,
        size_bytes_max=16384,
        covers=(
            "maftia.core.cluster_file:load_cluster",
            "maftia.core.cluster_file:parse_cluster",
            "maftia.core.files:read_toml",
            "maftia.core.files:der_of_pem",
            "maftia.core.files:text_of",
        ),
        words=(b"[[server]]", b"[dca]", b"[dfe]", b"provable = false", b"-----BEGIN CERTIFICATE-----", b'"""'),
    ),
    Target(
        "init-file",
        _init,
        _init_seeds,
        (FormatError,),
        kinds=(Header, _Contents),
        mutate=_mutate_init,
        size_bytes_max=16384,
        covers=("maftia.core.init_file:init_header", "maftia.core.init_file:open_init"),
    ),
    Target(
        "authority-file",
        _authority,
        lambda: {"ca": ca_certificate()},
        (FormatError,),
        mutate=mutate_der,
        covers=("dealer.imported:read_imported",),
    ),
)
