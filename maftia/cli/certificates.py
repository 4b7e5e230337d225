"""`maftia issue` and `update`: certificates for keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maftia.cli.access import FILE, read_cluster
from maftia.cli.binding import Binding, binding_options, kept_key, read_binding
from maftia.cli.issued import Ask, check_outputs, keep_issued, obtain
from maftia.cli.keys import identity_of, load_subject_key
from maftia.client.client import Client, Issued
from maftia.dca.requests import ISSUE, UPDATE


@click.command(short_help="Obtain a certificate.")
@binding_options
def issue(**options: Any) -> None:
    """Obtain a certificate for a key and names.

    Every server asks for proof that you hold the key, and t+1 of them must be satisfied: a key for signatures signs a
    challenge, one for encryption opens one. Then the request is ordered among all and signed by t+1. Nobody but you
    sees the private key. A certificate is counted as yours by your identity and by its key.

    Where the key is elsewhere, --csr takes the certification request that it signed: bound to this request by
    `maftia csr`, for clusters whose policy says confirm = "proof"; or a plain one of any tool, where it says
    plain_csr = true. The names are those of its subjectAltName.

    Where the policy does not leave the asking open to everybody, show a credential: a token, the word of an authority
    (`maftia authorize`), or a certificate that you hold. Names in other letters than ASCII are converted (IDNA), and
    what became of them is printed.

    The certificate is also proven to stand in the public log; --proof keeps the proof, which `maftia log check` reads.

    \b
    maftia issue --cluster cluster.toml --new-key key.pem --name dns:www.example.org --out cert.pem
    maftia issue --cluster cluster.toml --key key.pem --name dns:a.example --name dns:b.example --out cert.pem
    maftia issue --cluster cluster.toml --new-key mail.pem --kind encryption --key-type x25519 --profile email \\
                 --name email:alice@example.org --out mail-cert.pem
    maftia issue --cluster cluster.toml --csr req.pem --out cert.pem --proof cert.pem.tlog-proof
    maftia issue --cluster cluster.toml --key key.pem --name dns:www.example.org \\
                 --credential token-file:alice.token --out cert.pem

    Exit codes: 0 done; 1 refused; 2 wrong use; 3 no quorum in time: ask again with the --rid that is printed.
    """

    async def ask(client: Client, binding: Binding, timeout_s: float) -> Issued:
        return await client.issue(
            binding.key,
            binding.names,
            profile=binding.profile,
            credentials=binding.credentials,
            rid=binding.rid,
            contact=binding.contact,
            timeout_s=timeout_s,
        )

    _bind(ISSUE, "issued", options, ask)


@click.command(short_help="Change what is bound.")
@binding_options
@click.option(
    "--sign-with",
    "sign_with",
    type=FILE,
    multiple=True,
    help="Private key of a certificate to be replaced, or of an administrator: shows your right; repeatable.",
)
def update(sign_with: tuple[Path, ...], **options: Any) -> None:
    """Change what is bound: the names of a key (key-major), or the key of names (name-major).

    What the cluster replaces was fixed when it was dealt; `maftia-dealer inspect cluster.toml` shows it. Certificates
    that are replaced stop being valid at the same instant. Keys, certification requests, credentials and names are
    given as to `maftia issue`; a certification request must be bound (`maftia csr --for update`).

    In name-major a certificate is replaced only by one who has a right to it: the identity that asked for it, its old
    key (--sign-with), or enough administrators.

    \b
    maftia update --cluster cluster.toml --key key.pem --name dns:new.example.org --out cert.pem
    maftia update --cluster cluster.toml --new-key next.pem --sign-with key.pem --name dns:www.example.org \\
                  --out cert.pem

    Exit codes: 0 done; 1 refused; 2 wrong use; 3 no quorum in time: ask again with the --rid that is printed.
    """
    rights = [load_subject_key(path, options["key_passphrase_file"]) for path in sign_with]

    async def ask(client: Client, binding: Binding, timeout_s: float) -> Issued:
        return await client.update(
            binding.key,
            binding.names,
            profile=binding.profile,
            credentials=binding.credentials,
            rights=rights,
            rid=binding.rid,
            contact=binding.contact,
            timeout_s=timeout_s,
        )

    _bind(UPDATE, "updated", options, ask)


def _bind(kind: str, verb: str, options: dict[str, Any], ask: Ask) -> None:
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    check_outputs(options)
    identity = identity_of(options["identity"])
    binding = read_binding(kind, cluster, identity, options)
    with kept_key(options["new_key_path"], binding.new_key_pem):
        issued = obtain(verb, cluster, identity, binding, options, ask)
    keep_issued(verb, cluster, issued, options)
