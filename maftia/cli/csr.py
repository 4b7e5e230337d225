"""`maftia csr`: a certification request that is bound to one request of one client."""

from __future__ import annotations

import os
import shlex
import uuid
from typing import Any

import click

from maftia.cli.access import FILE, cluster_options, read_cluster
from maftia.cli.csr_file import BINDINGS, csr_pem, make_request
from maftia.cli.files import check_writable, write_output
from maftia.cli.keys import identity_of, load_subject_key
from maftia.cli.options import identity_option, key_passphrase_option, name_option, profile_option
from maftia.cli.output import print_json
from maftia.client.client import utc_now_ms
from maftia.client.keys import SubjectKey
from maftia.core.cluster_file import ClusterFile
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.dca.compose import Composer
from maftia.dca.requests import ISSUE
from maftia.dca.rid import RID_RANDOM_BYTES, make_rid


@click.command(short_help="A certification request bound to one request.")
@click.option("--key", "key_path", type=FILE, required=True, help="The private key that signs it, PEM.")
@key_passphrase_option
@name_option(required=True, help="As dns:www.example.org; repeatable.")
@click.option(
    "--for", "verb", type=click.Choice(BINDINGS), default=ISSUE, show_default=True, help="What it is to be used for."
)
@profile_option(default="server", show_default=True, help="The profile that will be asked for.")
@click.option("--rid", type=click.UUID, help="Bind it to this request id. [default: a new one]")
@identity_option
@click.option("--out", "out_path", type=FILE, required=True, help="Where to write it, PEM.")
@cluster_options
def csr(**options: Any) -> None:
    """Write a PKCS#10 certification request bound to the cluster, to your identity and to one request id.

    With it `maftia issue --csr` (or update) asks for a certificate without the private key: where the cluster's policy
    says confirm = "proof", it counts as the key's own signature over that request. It serves that one request and no
    other, for nobody but the holder of --identity, and within a day, since servers know older request ids no more.
    Keys for encryption sign nothing: they need no such file, `maftia issue --kind encryption` asks with the key.

    Nothing is sent: this works offline. The key signs here, the file may travel.

    \b
    maftia csr --cluster cluster.toml --key key.pem --name dns:www.example.org --out req.pem
    maftia csr --cluster cluster.toml --key key.pem --name dns:www.example.org --for update --out req.pem

    Exit codes: 0 done; 2 wrong use or unreadable input.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    check_writable(options["out_path"])
    key = load_subject_key(options["key_path"], options["key_passphrase_file"])
    rid: uuid.UUID = options["rid"] or uuid.UUID(bytes=make_rid(utc_now_ms(), os.urandom(RID_RANDOM_BYTES)))
    data, names = _bound(cluster, key, rid, options)
    pem = csr_pem(data)
    write_output(options["out_path"], pem.encode())
    _report(pem, names, rid, options)


def _bound(
    cluster: ClusterFile, key: SubjectKey, rid: uuid.UUID, options: dict[str, Any]
) -> tuple[bytes, tuple[str, ...]]:
    """The certification request and its names, normalised."""
    composer = Composer(cluster.domain, identity_of(options["identity"]))
    made = make_request(composer, options["verb"], rid.bytes, key.spki, options["names"], options["profile"])
    binding = Binding.of(cluster.domain, made.subject.client, made.subject.rid, made.subject.digest)
    return write_csr(key.spki, made.request.names, key.sign, binding), made.request.names


def _report(pem: str, names: tuple[str, ...], rid: uuid.UUID, options: dict[str, Any]) -> None:
    command = ["maftia", options["verb"], "--cluster", options["cluster_path"], "--csr", options["out_path"]]
    command += ["--profile", options["profile"]]
    if options["identity"] is not None:
        command += ["--identity", options["identity"]]
    line = shlex.join(map(str, [*command, "--out", "cert.pem"]))
    if options["as_json"]:
        fields = {"rid": str(rid), "names": list(names), "csr": pem, "command": line}
        print_json({"status": "ok", "error": None, **fields})
        return
    click.echo(f"{options['out_path']}: {' '.join(names)}, bound to --rid {rid}")
    click.echo(f"  {line}")
