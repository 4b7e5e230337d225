"""The policies of simulated clusters: open ones, and closed ones, where everybody needs a credential.

Open: all may ask, servers challenge keys, and a plain certification request is enough.
Closed: tokens, words of an authority and certificates let requests in, and a key's own
signature, or a bound certification request, confirms it.  Administrators change the
text during a run, though never who may ask: `variation` counts the changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from maftia.client.keys import SubjectKey
from maftia.core.files import pem_of_der
from maftia.core.hashing import H
from maftia.core.policy import parse_policy, token_key
from maftia.core.signing import SigningKey

OPEN, CLOSED = KINDS = ("open", "closed")
ADMINISTRATORS = 3
SERVER, EMAIL = "server", "email"
CONTESTED = "dns:contested.example"
_ALL_VARIATIONS = 50
"""days of validity that a change of the text goes through"""
_TEXT = """
[cluster]
confirm = "{confirm}"
plain_csr = {plain_csr}
[profile.server]
kinds = ["signature"]
days = {days}
backdate_s = 300
key_types = ["rsa", "ed25519"]
[profile.email]
kinds = ["signature", "encryption"]
days = {days}
key_types = ["ed25519", "x25519"]
[allow]
dns = ["*"]
email = ["*"]
[ask]
mode = [{mode}]
"""


@dataclass(frozen=True)
class SimPolicy:
    """How a run's policy is made, and the secrets of those whom it names."""

    kind: str
    """open or closed"""
    honest: tuple[int, ...] = ()
    """numbers of the clients that have a token for the names of their own"""
    hostile: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether everybody may ask."""
        return self.kind == OPEN

    @cached_property
    def administrators(self) -> tuple[SubjectKey, ...]:
        """More than half of them change the policy."""
        return tuple(_key("administrator", number) for number in range(ADMINISTRATORS))

    @cached_property
    def authority(self) -> SubjectKey:
        """Gives its word."""
        return _key("authority", 0)

    def token(self, number: int) -> SigningKey:
        """The token of a client."""
        return token_key(H("maftia/sim/token/v1", number).hex())

    def text(self, variation: int = 0) -> str:
        """The policy, as changed so often.  The same tokens are in each."""
        mode = ["open"] if self.is_open else ["token", "signature", "certificate"]
        parts = [
            _TEXT.format(
                confirm="challenge" if self.is_open else "proof",
                plain_csr="true" if self.is_open else "false",
                days=40 + variation % _ALL_VARIATIONS,
                mode=", ".join(f'"{one}"' for one in mode),
            ),
            f"# {variation}\n",
            *(_administrator(number, key) for number, key in enumerate(self.administrators)),
        ]
        if not self.is_open:
            parts.append(f"[[authority]]\nname = \"office\"\npublic_key = '''{_pem(self.authority)}'''\n")
            parts += [_token(self.token(number), names_of(number)) for number in self.honest]
            parts += [_token(self.token(number), (*names_of(number), CONTESTED)) for number in self.hostile]
        return "".join(parts)

    def tokens(self) -> frozenset[bytes]:
        """Public keys of the tokens in every text."""
        return frozenset(parse_policy(self.text()).tokens)


def names_of(number: int) -> tuple[str, ...]:
    """All names that a client asks for."""
    return (*(f"dns:c{number}-{i}.example" for i in range(3)), email_of(number))


def email_of(number: int) -> str:
    """The name for its encryption key."""
    return f"email:c{number}@mail.example"


def _key(what: str, number: int) -> SubjectKey:
    return SubjectKey(Ed25519PrivateKey.from_private_bytes(H("maftia/sim/policy-key/v1", what, number)))


def _pem(key: SubjectKey) -> str:
    return pem_of_der(key.spki, "PUBLIC KEY")


def _administrator(number: int, key: SubjectKey) -> str:
    return f"[[administrator]]\nname = \"administrator {number}\"\npublic_key = '''{_pem(key)}'''\n"


def _token(key: SigningKey, names: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f'[[token]]\npublic_key = "{key.public.hex()}"\nuses = 0\nnames = [{listed}]\n'
