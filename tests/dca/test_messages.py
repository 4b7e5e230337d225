"""What clients and servers say to each other: no field that is kept may be of any length."""

from __future__ import annotations

import msgspec
import pytest

from maftia.core.challenge import SEALED_SIZE_BYTES_MAX
from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError
from maftia.core.limits import (
    ANSWER_SERIALS_MAX,
    ANSWER_SIZE_BYTES_MAX,
    CERTIFICATE_ENVELOPE_BYTES_MAX,
    FRAME_SIZE_BYTES_MAX,
    GATHERER_LENGTH_MAX,
    LOG_ENTRY_SIZE_BYTES_MAX,
    LOG_PART_SIZE_BYTES_MAX,
    LOG_PROOF_HASHES_MAX,
    OUTCOME_CERTIFICATES_BYTES_MAX,
    RECORD_SIZE_BYTES_MAX,
    SERVERS_MAX,
    SIGNATURE_SIZE_BYTES_MAX,
    TIME_MS_MAX,
)
from maftia.core.policy import DEFAULT_POLICY_TOML, parse_policy
from maftia.core.x509 import assemble
from maftia.dca.messages import (
    Ask,
    Attested,
    Challenge,
    ClientMessage,
    Confirm,
    Gather,
    Listed,
    LogConsistency,
    LogConsistencyQuery,
    LogFile,
    LogFileQuery,
    Logged,
    LogHead,
    LogHeadQuery,
    LogOf,
    LogOfQuery,
    Outcome,
    PolicyQuery,
    PolicyReply,
    Query,
    Refused,
    ServerMessage,
    StatusReply,
    Watch,
    Welcome,
)
from maftia.dca.requests import UPDATE, Answer, Attestation
from maftia.log.proofs import ConsistencyProof, InclusionProof

ID, RID = bytes(32), bytes(16)
ATTESTATION = Attestation(0, "g" * GATHERER_LENGTH_MAX, ID, 0, bytes(64))
LARGEST: dict[type[Wire], Wire] = {
    Confirm: Confirm(bytes(RECORD_SIZE_BYTES_MAX), bytes(64), ID, bytes(SIGNATURE_SIZE_BYTES_MAX)),
    Query: Query(bytes(RECORD_SIZE_BYTES_MAX)),
    Listed: Listed(RID, ID, (), ()),
    Watch: Watch(ID, RID, ID),
    Welcome: Welcome("v" * 64, ID, 0, 0, ID),
    Attested: Attested(RID, ATTESTATION),
    Refused: Refused(RID, "c" * 64, "any text"),
    Outcome: Outcome(ID, RID, ID, b"", ()),
    StatusReply: StatusReply(0, "s" * 64, "v" * 64, 0, 0, ID, 0, (0,) * SERVERS_MAX),
    Ask: Ask(bytes(RECORD_SIZE_BYTES_MAX), bytes(64), ID),
    Gather: Gather(bytes(RECORD_SIZE_BYTES_MAX), bytes(64), ID, "g" * GATHERER_LENGTH_MAX),
    Challenge: Challenge(RID, 0, bytes(SEALED_SIZE_BYTES_MAX)),
    PolicyQuery: PolicyQuery(RID),
    PolicyReply: PolicyReply(RID, 0, ID, "any text", ()),
    LogHeadQuery: LogHeadQuery(RID, 0),
    LogHead: LogHead(RID, 0, ID, bytes(64)),
    LogFileQuery: LogFileQuery(RID, 0, 0, 1, is_bundle=False, offset=0),
    LogFile: LogFile(RID, 0, bytes(LOG_PART_SIZE_BYTES_MAX)),
    LogOfQuery: LogOfQuery(RID, RID),
    LogOf: LogOf(RID, ()),
    LogConsistencyQuery: LogConsistencyQuery(RID, 0, 0),
    LogConsistency: LogConsistency(RID, ConsistencyProof(0, 0, (ID,) * LOG_PROOF_HASHES_MAX)),
}
ANSWER = Answer(
    "",
    "999999999 certificates were removed; the first 1024 are listed",
    UPDATE,
    RID,
    (RID,) * ANSWER_SERIALS_MAX,
    2**63 - 1,
    TIME_MS_MAX,
)
FREE = {
    (Refused, "detail"),
    (Outcome, "answer"),
    (Outcome, "certificates"),
    (Listed, "serials"),
    (Listed, "certificates"),
    (PolicyReply, "text"),
    (PolicyReply, "tokens"),
    (LogOf, "entries"),
}
"""bounded by the frame; a client keeps the newest answer of each server and shortens details"""


def longer(value: object) -> object:
    """The same, by one."""
    match value:
        case bytes():
            return value + b"x"
        case str():
            return value + "x"
        case tuple():
            return (*value, 0)
        case Attestation():
            return msgspec.structs.replace(value, gatherer=value.gatherer + "x")
        case _:
            return None


CASES = [
    (kind, name, longer(getattr(message, name)))
    for kind, message in LARGEST.items()
    for name in kind.__struct_fields__
    if (kind, name) not in FREE and longer(getattr(message, name)) is not None
]


@pytest.mark.parametrize("message", LARGEST.values(), ids=lambda message: type(message).__name__)
def test_the_largest_is_taken(message: Wire) -> None:
    assert decode(encode(message), ClientMessage | ServerMessage, 10**6) == message


@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=[f"{kind.__name__}.{name}" for kind, name, _ in CASES])
def test_one_byte_more_is_refused(kind: type[Wire], name: str, value: object) -> None:
    with pytest.raises(FormatError):
        decode(encode(msgspec.structs.replace(LARGEST[kind], **{name: value})), ClientMessage | ServerMessage, 10**6)


def test_the_longest_answer_fits_what_clients_decode() -> None:
    assert len(encode(ANSWER)) <= ANSWER_SIZE_BYTES_MAX


@pytest.mark.parametrize("count", [1, 80, 1000])
def test_the_largest_outcome_fits_a_frame(count: int) -> None:
    """Certificates of any number that retrieve lets through, under the largest key of an authority."""
    tbs = b"\x30" * (OUTCOME_CERTIFICATES_BYTES_MAX // count - CERTIFICATE_ENVELOPE_BYTES_MAX)
    certificates = (assemble(tbs, bytes(SIGNATURE_SIZE_BYTES_MAX)),) * count
    frame = encode(Outcome(ID, RID, ID, bytes(ANSWER_SIZE_BYTES_MAX), certificates))
    assert len(frame) <= OUTCOME_CERTIFICATES_BYTES_MAX + ANSWER_SIZE_BYTES_MAX + 200
    assert len(frame) <= FRAME_SIZE_BYTES_MAX


def test_no_policy_lists_more_than_an_answer_may() -> None:
    most = f"retrieve_max = {ANSWER_SERIALS_MAX}"
    assert "retrieve_max = 100\n" in DEFAULT_POLICY_TOML
    with pytest.raises(FormatError, match="retrieve_max"):
        parse_policy(DEFAULT_POLICY_TOML.replace("retrieve_max = 100", most))


@pytest.mark.parametrize("field", ["gatherer", "saw", "signature"])
def test_an_attestation_holds_no_more_than_it_needs(field: str) -> None:
    value = longer(getattr(ATTESTATION, field))
    with pytest.raises(FormatError):
        decode(encode(msgspec.structs.replace(ATTESTATION, **{field: value})), Attestation, 1000)


@pytest.mark.parametrize("field", ["entry", "root", "signature"])
def test_an_entry_of_the_log_holds_no_more_than_it_may(field: str) -> None:
    proof = InclusionProof(0, 1, (ID,) * LOG_PROOF_HASHES_MAX)
    logged = Logged(bytes(LOG_ENTRY_SIZE_BYTES_MAX), proof, ID, bytes(64))
    assert decode(encode(logged), Logged, 10**6) == logged
    for longest in (
        msgspec.structs.replace(logged, **{field: longer(getattr(logged, field))}),
        msgspec.structs.replace(logged, proof=InclusionProof(0, 1, (*proof.hashes, ID))),
    ):
        with pytest.raises(FormatError):
            decode(encode(longest), Logged, 10**6)


def test_every_message_of_bytes_or_text_is_tried() -> None:
    tried = {kind for kind, _, _ in CASES} | {kind for kind, _ in FREE}
    kinds = {kind for kind in (*ClientMessage.__args__, *ServerMessage.__args__) if kind.__struct_fields__}
    assert {kind.__name__ for kind in kinds - tried} == {"Submit"}, "whose record is judged by its size first"
