"""Certification requests in files, and the cluster's request that each stands for.

Source: docs/adr/0024-bound-csr.md.

A bound one states the digest of a whole request: kind, names, key and profile.  So the
request is made again from the file and the options, and compared; what does not fit is
said before anybody is asked, with what to give instead.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from maftia.cli.files import read_input
from maftia.cli.output import EXIT_REFUSED, CommandError, usage_error
from maftia.client.keys import RequestedKey
from maftia.core.cluster_file import ClusterFile
from maftia.core.csr import Binding, read_csr
from maftia.core.errors import FormatError, Refusal
from maftia.core.files import pem_of_der
from maftia.core.profiles import INTERMEDIATE, PROFILES
from maftia.core.signing import SigningKey
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.requests import ISSUE, UPDATE, client_id

CSR_LABEL = "CERTIFICATE REQUEST"
_PEM = re.compile(
    rb"-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----(.*?)-----END (?:NEW )?CERTIFICATE REQUEST-----", re.DOTALL
)
_DER_FIRST = b"\x30"
BINDINGS = (ISSUE, UPDATE)
"""the kinds of request that a certification request can stand for"""


def load_csr(path: Path, profile: str) -> RequestedKey:
    """The certification request of a file, PEM or DER, judged as every server judges it.

    Raises CommandError: exit 2 where the file holds none, exit 1 with the servers' code where it is refused.
    """
    data = csr_der(path)
    facts = read_csr(data, authority=profile == INTERMEDIATE)
    if isinstance(facts, Refusal):
        raise CommandError(EXIT_REFUSED, facts.code, f"{path}: {facts.detail}")
    return RequestedKey(data)


def csr_der(path: Path) -> bytes:
    """The bytes of a certification request, whatever they are worth."""
    data = read_input(path, "the certification request")
    found = _PEM.search(data)
    try:
        der = data if found is None else base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error:
        der = b""
    if not der.startswith(_DER_FIRST):
        raise usage_error(
            f"{path} holds no certification request: PEM or DER of a PKCS#10 is expected, "
            "as `maftia csr` and 'openssl req -new' write it"
        )
    return der


def csr_pem(data: bytes) -> str:
    """The PEM text of a certification request."""
    return pem_of_der(data, CSR_LABEL)


def make_request(  # the same for whoever makes the file and whoever uses it
    composer: Composer, verb: str, rid: bytes, key: bytes, names: tuple[str, ...], profile: str
) -> SignedRequest:
    """The request that a bound certification request stands for."""
    make = composer.issue if verb == ISSUE else composer.update
    return make(rid, key, names, profile)


@dataclass(frozen=True, slots=True)
class CsrUse:
    """How somebody means to use a certification request."""

    path: Path
    verb: str
    """issue or update"""
    profile: str
    rid: uuid.UUID | None
    """of --rid"""

    def names(self, csr: RequestedKey, given: tuple[str, ...]) -> tuple[str, ...]:
        """The names to ask for: its own, which --name may repeat but not change."""
        try:
            return csr.names_for(given)
        except FormatError as error:
            raise usage_error(f"{self.path}: {error}") from None

    def bound_rid(
        self, cluster: ClusterFile, identity: SigningKey, csr: RequestedKey, names: tuple[str, ...]
    ) -> bytes | None:
        """The rid of the request; None for a plain one without --rid.  Raises CommandError with what to do instead."""
        if csr.binding is None:
            return self.rid.bytes if self.rid else None
        self._check_owner(csr.binding, cluster, identity)
        self._check_digest(csr, Composer(cluster.domain, identity), names)
        return csr.binding.rid

    def _check_owner(self, binding: Binding, cluster: ClusterFile, identity: SigningKey) -> None:
        bound = uuid.UUID(bytes=binding.rid)
        if (binding.cluster, binding.epoch) != (cluster.cluster_id, cluster.epoch):
            raise usage_error(f"{self.path} is bound to another cluster or epoch: make one with `maftia csr` for this")
        if binding.client != client_id(identity.public):
            raise usage_error(
                f"{self.path} is bound to another identity: give the --identity with which `maftia csr` made it"
            )
        if self.rid is not None and self.rid != bound:
            raise usage_error(f"{self.path} is bound to --rid {bound}: leave --rid out, or give this one")

    def _check_digest(self, csr: RequestedKey, composer: Composer, names: tuple[str, ...]) -> None:
        binding = csr.binding
        if binding is None:
            return

        def is_for(verb: str, profile: str) -> bool:
            made = make_request(composer, verb, binding.rid, csr.spki, names, profile)
            return made.subject.digest == binding.digest

        if is_for(self.verb, self.profile):
            return
        others = [(verb, profile) for verb in BINDINGS for profile in PROFILES if is_for(verb, profile)]
        if others:
            verb, profile = others[0]
            raise usage_error(
                f"{self.path} was made for `maftia {verb} --profile {profile}`: use it so, or make another"
            )
        raise usage_error(
            f"{self.path} is bound to a request that it does not describe: make another with `maftia csr`"
        )
