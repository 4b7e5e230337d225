"""`maftia log prove` and `check`: that one entry is in the log, as a file that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maftia.cli.access import FILE, group_options, in_group, one_use_identity, read_cluster, with_client
from maftia.cli.credentials import read_certificate
from maftia.cli.files import check_writable, read_input, write_output
from maftia.cli.leaves import describe, lines_of
from maftia.cli.output import EXIT_REFUSED, INVALID, CommandError, print_json, usage_error
from maftia.cli.vouched import Evidence
from maftia.client.inclusion import Inclusion, tbs_sha256
from maftia.core.certificate import SERIAL_SIZE_BYTES, CertificateFacts, certificate_facts, is_signed_by
from maftia.core.cluster_file import ClusterFile
from maftia.core.errors import Code, CryptoError, FormatError
from maftia.log.entries import RecordLeaf
from maftia.log.proof_file import ProvenEntry, check_proof


@click.command()
@click.argument("cert_path", metavar="CERT.pem", type=FILE)
@click.option("--out", "out_path", type=FILE, required=True, help="Where to write the proof (C2SP tlog-proof).")
@group_options
@in_group
def prove(cert_path: Path, out_path: Path, **options: Any) -> None:
    """Write the proof that a certificate is in the log: by which record it came, under t+1 servers' signatures.

    The file stands alone: with it and cluster.toml anybody checks it offline, for ever (`maftia log check`).
    `maftia issue --proof FILE` writes the same when the certificate is issued.

    \b
    maftia log prove cert.pem --cluster cluster.toml --out cert.pem.tlog-proof

    Exit codes: 0 done; 1 the log does not have it; 2 wrong use; 3 no quorum in time.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    check_writable(out_path)
    facts = _own_certificate(cluster, cert_path)
    found = with_client(
        cluster,
        one_use_identity(),
        lambda client: client.log_of(facts.serial, timeout_s=options["timeout_s"]),
        waiting="asking for the log …",
        quiet=options["as_json"],
        changes=False,
    )
    inclusion = _origin(found, facts)
    write_output(out_path, inclusion.file)
    proven = check_proof(cluster.domain, cluster.quorums, cluster.verify_keys, inclusion.file)
    _report_entry(cluster, proven, options)


def _origin(found: tuple[Inclusion, ...], facts: CertificateFacts) -> Inclusion:
    """The entry by which a certificate came."""
    for one in found:
        leaf = one.leaf
        if isinstance(leaf, RecordLeaf) and leaf.serial == facts.serial:
            if leaf.tbs_sha256 == tbs_sha256(facts.tbs):
                return one
            raise CommandError(
                EXIT_REFUSED,
                INVALID,
                f"the log has another certificate with serial {facts.serial.hex()}: keep this one",
            )
    raise CommandError(EXIT_REFUSED, Code.NOT_FOUND, f"the log has no certificate with serial {facts.serial.hex()}")


@click.command()
@click.argument("file", type=FILE)
@click.option("--cert", "cert_path", type=FILE, help="Check that it is the proof of this certificate.")
@group_options
@in_group
def check(file: Path, cert_path: Path | None, **options: Any) -> None:
    """Check a proof file offline: that t+1 servers signed a log in which its entry stands, and what that says.

    It says what was in the log, not what is valid now: a certificate may have been revoked since (`maftia show`).
    Signatures of the evidence are verified; the file does not say when the record was ordered, so whether servers
    attested shortly before that is not (`maftia show` does).

    \b
    maftia log check cert.pem.tlog-proof --cluster cluster.toml
    maftia log check cert.pem.tlog-proof --cluster cluster.toml --cert cert.pem

    Exit codes: 0 proven; 1 it proves nothing, or something else; 2 wrong use, or no proof file.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    data = read_input(file, "the proof")
    try:
        proven = check_proof(cluster.domain, cluster.quorums, cluster.verify_keys, data)
    except FormatError as error:
        raise usage_error(f"{file}: {error}") from None
    except CryptoError as error:
        raise CommandError(EXIT_REFUSED, INVALID, f"{file}: {error}") from None
    if cert_path is not None:
        facts, leaf = _own_certificate(cluster, cert_path), proven.leaf
        if not isinstance(leaf, RecordLeaf) or leaf.tbs_sha256 != tbs_sha256(facts.tbs):
            raise CommandError(EXIT_REFUSED, INVALID, f"{file} proves another entry than that of {cert_path}")
    _report_entry(cluster, proven, options)


def _own_certificate(cluster: ClusterFile, path: Path) -> CertificateFacts:
    """What a certificate says that this cluster issued: an imported key may have signed others, with other serials."""
    der, facts = read_certificate(path)
    is_ours = is_signed_by(der, certificate_facts(cluster.ca_certificate_der).key)
    if not is_ours or len(facts.serial) != SERIAL_SIZE_BYTES:
        raise CommandError(EXIT_REFUSED, INVALID, f"{path} was not issued by this cluster")
    return facts


def _report_entry(cluster: ClusterFile, proven: ProvenEntry, options: dict[str, Any]) -> None:
    entry = describe(proven.index, proven.leaf, Evidence(cluster))
    if options["as_json"]:
        checkpoint = {"size": proven.checkpoint.size, "root": proven.checkpoint.root.hex()}
        print_json({"status": "ok", "error": None, **checkpoint, "entry": entry})
        return
    click.echo(f"proven: entry {proven.index} of a log of {proven.checkpoint.size}")
    for line in lines_of(entry):
        click.echo(line)
