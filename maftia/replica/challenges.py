"""Answers to CONFIRM and ASK: what one server says when it is shown a request's key, or asked to challenge it.

Guarantees: challenges for encryption keys, which cost a public-key operation each, take a
tenth of a core at most, whoever asks; one source has a quarter of that.  So do signatures
by keys that cost more to verify than common ones (P-384, RSA beyond 4096 bits).
"""

from __future__ import annotations

from maftia.core.errors import FormatError
from maftia.core.limits import ASKS_BURST, ASKS_PER_S, SOURCE_SHARE
from maftia.core.step import Now
from maftia.dca.form import read_request, rid_of_request
from maftia.dca.messages import Ask, Confirm, Refused, ServerMessage
from maftia.dca.service import Service
from maftia.replica.allowance import SharedAllowance
from maftia.replica.inquiries import TOO_MANY
from maftia.replica.tolls import KeyTolls


class Challenges:
    """Answers at once; remembers nothing but how much was asked."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._keys = KeyTolls()
        self._asks = SharedAllowance(ASKS_PER_S, ASKS_BURST, ASKS_PER_S // SOURCE_SHARE)

    def answer(self, source: str, message: Confirm | Ask, now: Now) -> ServerMessage:
        """An attestation or a challenge, or why not."""
        # upon CONFIRM: attested or refused, while there is time for such a key; upon ASK: a challenge, in the same way
        if isinstance(message, Confirm):
            if not self._keys.admits(source, _key_of(message.request), now.monotonic_ms):
                return Refused(rid_of_request(message.request), TOO_MANY.code, TOO_MANY.detail)
            return self._service.attest(message, now.utc_ms)
        if not self._asks.has_room(source, now.monotonic_ms):
            return Refused(rid_of_request(message.request), TOO_MANY.code, TOO_MANY.detail)
        self._asks.spend(source, 1)
        return self._service.ask(message, now.utc_ms)


def _key_of(request: bytes) -> bytes:
    """The key that a request names; empty where it is no request, which is refused before any key is read."""
    try:
        return read_request(request).key
    except FormatError:
        return b""
