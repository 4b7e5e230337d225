"""Certificates of a real cluster, of every profile, purpose and kind of key, before the linter and verifiers of others.

`tests/core/test_pkilint.py` and `tests/core/test_other_verifiers.py` ask more of more certificates, made in one place;
here are those that clients are given: confirmed, ordered, signed by t+1 servers, checked by the client.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.client.client import Client
from maftia.client.keys import EncryptionKey, SubjectKey
from maftia.core.files import der_of_pem
from maftia.core.limits import CERTIFICATE_SIZE_BYTES_MAX
from maftia.core.profiles import CLIENT, DEVICE, EMAIL, INTERMEDIATE, RULES, SERVER
from maftia.core.spki import EC_P256, EC_P384, ENCRYPTION, KEY_KINDS, KINDS_OF_PURPOSE, RSA, SIGNATURE
from tests.conftest import program
from tests.core.keys import private_key
from tests.core.test_pkilint import AUTHORITY_NAMES, NAMES, findings
from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

CASES = [
    (rules.name, purpose, kind)
    for rules, kind in product(RULES.values(), KEY_KINDS)
    for purpose in rules.purposes
    if kind in KINDS_OF_PURPOSE[purpose]
]
"""profile, purpose, kind of key"""
OF_NSS = [case for case in CASES if case[2] in {RSA, EC_P256, EC_P384} and case[0] != INTERMEDIATE]
"""NSS 3.87 reads neither Ed25519 nor X25519"""
NSS_USAGE = {
    (SERVER, SIGNATURE): "1",
    (CLIENT, SIGNATURE): "0",
    (EMAIL, SIGNATURE): "4",
    (EMAIL, ENCRYPTION): "5",
    (DEVICE, SIGNATURE): "0",
    (DEVICE, ENCRYPTION): "1",
}
"""of vfychain: 0 TLS client, 1 TLS server, 4 signs mail, 5 receives mail"""
AT_A_TIME = 16

Case = tuple[str, str, str]


@dataclass(frozen=True)
class Issued:
    """What the cluster issued, DER, and one of each case as a file."""

    folder: Path
    ca: Path
    leaves: dict[tuple[Case, tuple[str, ...]], bytes]

    def file(self, case: Case) -> Path:
        return self.folder / ("-".join(case) + ".pem")


def key_of(case: Case) -> SubjectKey | EncryptionKey:
    private = private_key(case[2], 31)
    return SubjectKey(private) if case[1] == SIGNATURE else EncryptionKey(private)


@pytest.fixture(scope="module")
def issued(everything: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Issued:
    made = Issued(tmp_path_factory.mktemp("issued"), everything.ca, {})
    wanted = [(case, names) for case in CASES for names in (AUTHORITY_NAMES if case[0] == INTERMEDIATE else NAMES)]
    limiter = trio.CapacityLimiter(AT_A_TIME)

    async def issue(client: Client, case: Case, names: tuple[str, ...]) -> None:
        async with limiter:
            one = await client.issue(key_of(case), names, profile=case[0])
        made.leaves[case, names] = one.certificate.der

    async def main(client: Client) -> None:
        async with trio.open_nursery() as nursery:
            for case, names in wanted:
                nursery.start_soon(issue, client, case, names)

    everything.run(main)
    for (case, _), data in made.leaves.items():
        made.file(case).write_bytes(x509.load_der_x509_certificate(data).public_bytes(Encoding.PEM))
    return made


def accepts(*command: object) -> bool:
    return subprocess.run([*map(str, command)], capture_output=True, check=False).returncode == 0


def test_the_linter_finds_nothing_in_two_hundred_certificates(
    issued: Issued, record_property: Callable[[str, object], None]
) -> None:
    root = der_of_pem(issued.ca.read_text(), "CERTIFICATE", CERTIFICATE_SIZE_BYTES_MAX)
    found = {label: findings(data) for label, data in {**issued.leaves, "root": root}.items()}
    assert {case for case, _ in issued.leaves} == set(CASES)
    assert len(found) >= 200
    serials = {x509.load_der_x509_certificate(data).serial_number for data in issued.leaves.values()}
    assert len(serials) == len(issued.leaves)
    assert {serial.bit_length() for serial in serials} == {127}
    record_property("findings of pkilint above INFO", f"{sum(map(len, found.values()))} in {len(found)} certificates")
    assert {label: codes for label, codes in found.items() if codes} == {}


def test_openssl_accepts_all_strictly_and_none_under_another_root(issued: Issued, openssl: str) -> None:
    files = [issued.file(case) for case in CASES]
    strictly = (openssl, "verify", "-x509_strict", "-CAfile")
    assert accepts(*strictly, issued.ca, issued.ca, *files)
    other = issued.file((INTERMEDIATE, SIGNATURE, RSA))
    assert [file for file in files if accepts(*strictly, other, file)] == []


def test_gnutls_accepts_all(issued: Issued) -> None:
    verify = (program("certtool"), "--verify", "--load-ca-certificate", issued.ca, "--infile")
    assert [case for case in CASES if not accepts(*verify, issued.file(case))] == []
    assert accepts(*verify, issued.ca)


def test_nss_accepts_all_that_it_can_read(issued: Issued, tmp_path: Path) -> None:
    vfychain, certutil = program("vfychain"), program("certutil")
    assert accepts(certutil, "-N", "-d", tmp_path, "--empty-password")

    def accepted(case: Case) -> bool:
        usage = NSS_USAGE[case[:2]]
        return accepts(vfychain, "-d", tmp_path, "-pp", "-u", usage, "-a", issued.file(case), "-t", "-a", issued.ca)

    assert [case for case in OF_NSS if not accepted(case)] == []
