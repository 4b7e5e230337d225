"""The gate of a linter that others use: nothing above INFO on the root and on leaves of every profile and key.

pkilint's rules for names are stricter than the standards in three respects, which are listed
here with the reason why the linter is wrong; what is on the list is checked to be all that
it says of such a certificate, and each entry is checked to be needed still.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from itertools import product

import pytest
from pkilint import loader, validation
from pkilint.pkix import certificate as pkix
from pkilint.pkix import extension, name

from maftia.core.names import normalise_names
from maftia.core.profiles import INTERMEDIATE, RULES
from maftia.core.spki import KEY_KINDS, KINDS_OF_PURPOSE
from maftia.core.x509 import serial_of
from tests.core.authority import certificate, facts, root
from tests.core.keys import public_key

NAMES = (
    ("dns:www.example.org",),
    ("dns:example.org", "dns:www.example.org", "dns:xn--bcher-kva.example"),
    ("email:alice@example.org",),
    ("email:o'hara+x@mail.example.org", "email:bob@example.org"),
    ("ip:192.0.2.7", "ip:2001:db8::1"),
    ("uri:https://example.org/a", "uri:https://example.org:8443/a?b=c", "uri:https://192.0.2.7/"),
    ("dn:CN=Alice,O=Example,C=DE",),
    ("dn:CN=Alice\\2C B,OU=A,OU=B,O=Example,L=Town,ST=Land,STREET=Way 1,C=DE", "email:alice@example.org"),
    tuple(sorted(f"dns:host{i}.example.org" for i in range(20))),
    ("dn:UID=alice,DC=example,DC=org", "dns:www.example.org", "ip:192.0.2.7"),
)
AUTHORITY_NAMES = (("dn:CN=Department,O=Example,C=DE",), ("dn:CN=Department,DC=example,DC=org", "dns:ca.example.org"))

WRONG_DOMAIN = "pkix.invalid_domain_name_syntax"
WRONG_EMAIL = "pkix.invalid_email_address_syntax"
WRONG_URI = "pkix.invalid_uri_syntax"
WRONG_COMPONENTS = "pkix.name_domain_components_invalid_domain_name"
LINTER_IS_WRONG = {
    # RFC 5280, 4.2.1.6, leaves wildcards to the specifications that use them; RFC 9525 does.
    "dns:*.example.org": WRONG_DOMAIN,
    # The linter wants a top-level label of two letters or more, and two labels.
    # RFC 1034, 3.5, to which RFC 5280 refers, knows neither rule; inside a network there are such hosts.
    "dns:a.b": WRONG_DOMAIN,
    "dns:localhost": WRONG_DOMAIN,
    "email:a@b.c": WRONG_EMAIL,
    "email:root@localhost": WRONG_EMAIL,
    "uri:https://a.b.c/": WRONG_URI,
    "dn:CN=Alice,DC=example": WRONG_COMPONENTS,
    # The linter knows URLs of some schemes only; RFC 5280 wants any absolute URI of RFC 3986.
    "uri:urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66": WRONG_URI,
    "uri:spiffe://example.org/workload": WRONG_URI,
    "uri:mailto:alice@example.org": WRONG_URI,
}
"""names that the standards allow and the linter does not: the code of its finding"""


@cache
def linter() -> validation.ValidatorContainer:
    """The PKIX certificate linter, as pkilint's own command builds it."""
    return pkix.create_pkix_certificate_validator_container(
        pkix.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            pkix.create_issuer_validator_container([]),
            pkix.create_validity_validator_container(),
            pkix.create_subject_validator_container([]),
            pkix.create_extensions_validator_container([]),
            pkix.create_spki_validator_container([]),
        ],
    )


def findings(data: bytes) -> list[str]:
    """The codes of all findings above INFO."""
    document = loader.load_certificate(data, "certificate")
    return [
        described.finding.code
        for result in linter().validate(document.root)
        for described in result.finding_descriptions
        if described.finding.severity.value < validation.ValidationFindingSeverity.INFO.value
    ]


def leaves() -> dict[str, bytes]:
    """Certificates of every profile, purpose, kind of key and list of names."""
    made = {}
    for rules, kind in product(RULES.values(), KEY_KINDS):
        for purpose in rules.purposes:
            if kind not in KINDS_OF_PURPOSE[purpose]:
                continue
            for names in AUTHORITY_NAMES if rules.name == INTERMEDIATE else NAMES:
                leaf = facts(*names, kind=kind, profile=rules.name, purpose=purpose)
                serial = serial_of(len(made).to_bytes(16, "big"))
                leaf = dataclasses.replace(leaf, serial=serial, key=public_key(kind, 1 + len(made) % 2))
                made[f"{rules.name} {purpose} {kind} {' '.join(names)}"] = certificate(leaf)
    return made


def test_the_linter_finds_what_is_wrong() -> None:
    """A linter that has nothing to say may not be listening."""
    data = root()
    assert data.count(bytes.fromhex("0603551d130101ff")) == 1
    assert findings(data.replace(bytes.fromhex("0603551d130101ff"), bytes.fromhex("0603551d660101ff")))


def test_the_root_has_no_findings() -> None:
    assert findings(root()) == []


def test_two_hundred_leaves_have_no_findings() -> None:
    made = leaves()
    assert len(made) >= 200
    assert {label: found for label, data in made.items() if (found := findings(data))} == {}


@pytest.mark.parametrize(("text", "code"), LINTER_IS_WRONG.items())
def test_where_the_linter_is_wrong_it_says_nothing_else(text: str, code: str) -> None:
    assert normalise_names([text]) == (text,)
    assert findings(certificate(facts(text))) == [code]
    assert findings(certificate(facts(text, "dns:www.example.org", profile="client"))) == [code]
