"""What the threshold keys sign, and the form by which each purpose's bytes are known.

Source: services.md, "Signing".

The DCA key signs DER structures that differ in what follows their outer header; the
key of the fair-exchange party signs only strings that begin with its own tags.  So no
signature for one purpose is ever one for another, whatever a caller mixes up.
"""

from __future__ import annotations

from collections.abc import Mapping

from maftia.core import der
from maftia.core.errors import FormatError
from maftia.replica.signing import Purpose
from maftia.threshold.scheme import ThresholdScheme

CERTIFICATE = "certificate"
"""reference: a serial; bytes: its TBSCertificate"""

_VERSION_3 = b"\xa0\x03\x02\x01\x02"
"""[0] EXPLICIT INTEGER 2: how every v3 TBSCertificate begins, and no CRL, OCSP response or request"""


def signing_purposes(dca: ThresholdScheme) -> Mapping[str, Purpose]:
    """The purposes of one server, by name."""
    return {CERTIFICATE: Purpose(dca, is_tbs_certificate)}


def is_tbs_certificate(data: bytes) -> bool:
    """Whether these bytes can only be a TBSCertificate: one DER sequence that begins with version 3."""
    try:
        outer = der.Reader(data)
        first = outer.sequence().raw(_VERSION_3[0])
        outer.finish()
    except FormatError:
        return False
    return first == _VERSION_3
