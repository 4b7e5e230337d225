"""The corpus of refusals: every hostile request meets the code that it should, and nothing is raised."""

from __future__ import annotations

import msgspec
import pytest

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.codec import decode, encode
from maftia.core.csr import CsrFacts, read_csr
from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.identifiers import Domain
from maftia.core.limits import RECORD_SIZE_BYTES_MAX
from maftia.core.policy import parse_policy
from maftia.dca.form import read_case, subject_of
from maftia.dca.judge import profile_for
from maftia.dca.requests import ISSUE, REQUEST_VERSION, UPDATE, Request
from tests.core.keys import public_key
from tests.corpus.csrs import CSRS, GOOD
from tests.corpus.requests import POLICY_TEXT, REQUESTS

DOMAIN = Domain(b"\x07" * 32, 0)
POLICY = parse_policy(POLICY_TEXT)
REQUEST = Request(
    version=REQUEST_VERSION,
    cluster=DOMAIN.cluster,
    epoch=DOMAIN.epoch,
    kind=ISSUE,
    client=b"\x11" * 32,
    rid=bytes.fromhex("01990000000070008000000000000000"),
    purpose="signature",
    key=public_key("ec-p256"),
    names=("dns:www.example",),
    profile="server",
    serial=b"",
    reason="",
)


def verdict(changes: dict[str, object]) -> Refusal | None:
    """What form and policy say to the good request with these changes, as a server judges it from its bytes."""
    request = msgspec.structs.replace(REQUEST, **changes)
    try:
        data = encode(request)
        request = decode(data, Request, RECORD_SIZE_BYTES_MAX)
    except (FormatError, UnicodeEncodeError):
        return Refusal(Code.MALFORMED)
    case = read_case(DOMAIN, KEY_MAJOR, request, subject_of(request, data))
    if isinstance(case, Refusal):
        return case
    said = profile_for(POLICY, case, None) if request.kind in {ISSUE, UPDATE} else None
    return said if isinstance(said, Refusal) else None


def test_the_corpus_is_large_and_its_good_neighbours_pass() -> None:
    assert len(CSRS) + len(REQUESTS) >= 300
    assert {code for _, code in CSRS.values()} == {
        Code.MALFORMED,
        Code.BAD_SIGNATURE,
        Code.UNSUPPORTED_KEY,
        Code.POLICY_VIOLATION,
    }
    assert verdict({}) is None
    assert verdict({"names": tuple(f"dns:a{i:02}.example" for i in range(100))}) is None
    assert verdict({"profile": "email", "purpose": "encryption", "key": public_key("x25519")}) is None
    good = read_csr(GOOD)
    assert isinstance(good, CsrFacts)
    assert good.names == ("dns:www.example.org",)


@pytest.mark.parametrize(("changes", "code"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_hostile_request_is_refused(changes: dict[str, object], code: Code) -> None:
    said = verdict(changes)
    assert said is not None
    assert said.code == code


@pytest.mark.parametrize(("data", "code"), CSRS.values(), ids=CSRS.keys())
def test_a_hostile_certification_request_is_refused(data: bytes, code: Code) -> None:
    said = read_csr(data)
    assert isinstance(said, Refusal)
    assert said.code == code
    assert said.detail


def test_details_are_constant_texts() -> None:
    """They are part of the replicated state: a few, and none repeats what it was given."""
    details = {said.detail for data, _ in CSRS.values() if isinstance(said := read_csr(data), Refusal)}
    assert len(details) < len(CSRS) / 4
    assert all(details)
