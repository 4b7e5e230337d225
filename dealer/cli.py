"""The `maftia-dealer` command.

Exit codes: 0 done; 1 a verification said no; 2 wrong use or unreadable input.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import click

from dealer.deal import Dealing, DealSpec, PrimePairs, deal
from dealer.imported import ImportedCa, read_imported
from dealer.inspection import Inspection, inspect_cluster, inspect_init
from dealer.output import SECRET_MODE, OutputError, OutputFile, require_empty, write_file, write_folder
from dealer.passphrase import (
    ask_key_passphrase,
    ask_new_passphrase,
    ask_passphrase,
    is_at_terminal,
    read_passphrase_file,
)
from dealer.primes import core_count, find_prime_pair, find_prime_pairs
from dealer.progress import PrimeProgress
from maftia import __version__
from maftia.core.address import PORT_MAX, Address, parse_address
from maftia.core.cluster_file import KEY_MAJOR, MODES, cluster_sha256
from maftia.core.errors import CryptoError, FormatError
from maftia.core.files import text_of
from maftia.core.init_file import init_header, is_init_file, open_init, seal
from maftia.core.limits import INIT_FILE_SIZE_BYTES_MAX, POLICY_SIZE_BYTES_MAX, SERVERS_MAX
from maftia.core.policy import DEFAULT_POLICY_TOML, parse_policy, token_key
from maftia.core.quorum import Quorums
from maftia.core.token import new_token, token_entry
from maftia.core.x509 import CaSubject

EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
MODULUS_BITS = ("2048", "3072", "4096")
LOOPBACK = "127.0.0.1"
DEFAULT_SERVERS, DEFAULT_BASE_PORT = 4, 7400
USES_MAX = 2**31 - 1
IMPORT_SIZE_BYTES_MAX = 64 * 1024
"""a key or certificate file of OpenSSL, with the text that it may put before it"""

_PATH = click.Path(path_type=Path)
_passphrase_file = click.option(
    "--passphrase-file", type=_PATH, metavar="FILE", help="Read the passphrase from a file."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="maftia-dealer")
def dealer() -> None:
    """Deal the keys of a MAFTIA cluster, once.

    \b
    maftia-dealer deal --out my-ca              four servers on this machine
    maftia-dealer deal --out my-ca --host ca1.example.org:7400 --host ca2.example.org:7400 ...
    maftia-dealer inspect my-ca/cluster.toml    check what was dealt

    Exit codes: 0 done; 1 a verification said no; 2 wrong use or unreadable input.
    """


@dealer.command("deal")
@click.option("--out", type=_PATH, required=True, metavar="DIR", help="New or empty folder for the files.")
@click.option("--servers", type=click.IntRange(1, SERVERS_MAX), metavar="N", help="Number of servers. [default: 4]")
@click.option("--faults", type=click.IntRange(min=0), metavar="T", help="Corrupted servers to bear; N > 3T.")
@click.option("--host", "hosts", multiple=True, metavar="HOST:PORT", help="Address of a server; give it N times.")
@click.option("--base-port", type=click.IntRange(1, PORT_MAX), metavar="PORT", help="All on loopback. [default: 7400]")
@click.option("--organization", default="MAFTIA", show_default=True, metavar="TEXT", help="In the CA's name.")
@click.option("--country", default="XX", show_default=True, metavar="XX", help="In the CA's name: two capital letters.")
@click.option("--mode", type=click.Choice(MODES), default=KEY_MAJOR, show_default=True, help="What an update replaces.")
@click.option("--bits", type=click.Choice(MODULUS_BITS), default="3072", show_default=True, help="Length of RSA keys.")
@click.option("--policy", "policy_file", type=_PATH, metavar="FILE", help="Policy; see `maftia-dealer policy`.")
@click.option("--import-key", "key_file", type=_PATH, metavar="FILE", help="Share this existing RSA key (PEM).")
@click.option("--ca-cert", "ca_file", type=_PATH, metavar="FILE", help="The certificate of --import-key (PEM).")
@click.option("--import-passphrase-file", "key_passphrase_file", type=_PATH, metavar="FILE", help="Of --import-key.")
@_passphrase_file
@click.option("--no-passphrase", is_flag=True, help="Leave the init files unsealed: for trying only.")
def deal_command(
    out: Path,
    servers: int | None,
    faults: int | None,
    hosts: tuple[str, ...],
    base_port: int | None,
    organization: str,
    country: str,
    mode: str,
    bits: str,
    policy_file: Path | None,
    key_file: Path | None,
    ca_file: Path | None,
    key_passphrase_file: Path | None,
    passphrase_file: Path | None,
    no_passphrase: bool,
) -> None:
    """Deal a cluster: its public file, the CA's certificate, and one init file for each server.

    Give server-I.init to the operator of server I and to nobody else, cluster.toml to everybody.
    Then this machine has nothing more to do with the cluster: erase the folder.

    With --import-key and --ca-cert an existing authority goes on with the key that it has: a root, or an
    intermediate below one (then ca.pem is no anchor of trust, its root is). Such a key's shares have no
    proofs, so at most 10 servers share it, nobody is blamed for a bad share, and whoever has a copy of the
    key file is the authority as before: erase it everywhere. --bits is then the length of the other key.

    \b
    maftia-dealer deal --out my-ca --organization Example --country CH --passphrase-file pass
    maftia-dealer deal --out my-ca --import-key old-ca.key --ca-cert old-ca.pem --passphrase-file pass

    Exit codes: 0 done; 1 the key's shares do not make its signature; 2 wrong use or unreadable input.
    """
    require_empty(out)
    addresses = _addresses(servers, hosts, base_port)
    spec = _spec(addresses, faults, organization, country, mode, _policy_text(policy_file))
    imported = _imported(key_file, ca_file, key_passphrase_file, spec)
    passphrase = _new_passphrase(passphrase_file, no_passphrase)
    dealing = deal(spec, _primes(int(bits), imported), os.urandom, imported)
    write_folder(out, _files(dealing, passphrase))
    _tell(out, dealing, is_sealed=passphrase is not None)


@dealer.command("inspect")
@click.argument("file", type=_PATH)
@_passphrase_file
def inspect_command(file: Path, passphrase_file: Path | None) -> None:
    """Show the public facts of a cluster.toml or an init file, and check that its parts fit.

    In an init file every share is checked against its verification key (exit 1 where one does not fit).

    \b
    maftia-dealer inspect my-ca/cluster.toml
    maftia-dealer inspect server-0.init --passphrase-file pass

    Exit codes: 0 its parts fit; 1 they do not; 2 wrong use or unreadable input.
    """
    data = _read(file, INIT_FILE_SIZE_BYTES_MAX)
    try:
        found = _inspect_init(data, passphrase_file) if is_init_file(data) else inspect_cluster(data)
    except FormatError as error:
        raise FormatError(f"{file}: {error}") from None
    click.echo(found.text())
    for problem in found.problems:
        click.echo(f"maftia-dealer: {file}: {problem}", err=True)
    if found.problems:
        sys.exit(EXIT_REFUSED)


@dealer.command("policy")
def policy_command() -> None:
    """Print the default policy.toml, with comments.

    \b
    maftia-dealer policy > policy.toml

    Exit codes: 0 done; 2 wrong use.
    """
    click.echo(DEFAULT_POLICY_TOML, nl=False)


@dealer.command("token")
@click.option(
    "--uses", type=click.IntRange(0, USES_MAX), default=1, show_default=True, help="Certificates; 0: any number."
)
@click.option("--name", "names", multiple=True, metavar="GLOB", help="Names it is good for, as dns:*.example.org.")
@click.option("--out", type=_PATH, required=True, metavar="FILE", help="The token file: a secret for its user.")
def token_command(uses: int, names: tuple[str, ...], out: Path) -> None:
    """Make a token file, and print the entry that policy.toml needs for it.

    That is for dealing. A cluster that runs is given a token by its administrators: `maftia admin token add --new FILE`
    makes one as this does, and `--token-file FILE` takes one that was made here.

    \b
    maftia-dealer token --uses 10 --name "dns:*.example.org" --out alice.token >> policy.toml

    Exit codes: 0 done; 2 wrong use or cannot write.
    """
    token = new_token(os.urandom)
    entry = token_entry(token_key(token).public, uses, names)
    write_file(out, OutputFile(f"{token}\n".encode(), SECRET_MODE))
    click.echo(entry, nl=False)


def _addresses(servers: int | None, hosts: tuple[str, ...], base_port: int | None) -> tuple[Address, ...]:
    if not hosts:
        return _loopback(servers or DEFAULT_SERVERS, base_port or DEFAULT_BASE_PORT)
    if base_port is not None:
        raise click.UsageError("--base-port puts all servers on loopback: it does not go with --host")
    if servers is not None and servers != len(hosts):
        raise click.UsageError(f"{servers} servers, but --host is given {len(hosts)} times")
    return tuple(parse_address(host) for host in hosts)


def _loopback(servers: int, base_port: int) -> tuple[Address, ...]:
    if base_port + servers - 1 > PORT_MAX:
        raise click.UsageError(f"{servers} ports from {base_port} on go beyond {PORT_MAX}")
    return tuple(Address(LOOPBACK, base_port + party) for party in range(servers))


def _spec(
    addresses: tuple[Address, ...], faults: int | None, organization: str, country: str, mode: str, policy_text: str
) -> DealSpec:
    CaSubject(country, organization, organization)  # before the long search, not after it
    try:
        quorums = Quorums.of(len(addresses)) if faults is None else Quorums(len(addresses), faults)
        return DealSpec(quorums, addresses, policy_text, _now_ms(), organization, country, mode)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _imported(
    key_file: Path | None, ca_file: Path | None, passphrase_file: Path | None, spec: DealSpec
) -> ImportedCa | None:
    if key_file is None or ca_file is None:
        if (key_file, ca_file, passphrase_file) != (None, None, None):
            raise click.UsageError("--import-key FILE and --ca-cert FILE go together")
        return None

    def passphrase() -> bytes:
        if passphrase_file is not None:
            return read_passphrase_file(passphrase_file)
        if not is_at_terminal():
            raise click.UsageError("the imported key is encrypted: give --import-passphrase-file FILE")
        return ask_key_passphrase()

    key, certificate = (_read(file, IMPORT_SIZE_BYTES_MAX) for file in (key_file, ca_file))
    return read_imported(key, certificate, spec.quorums, spec.dealt_at_ms, passphrase)


def _primes(bits: int, imported: ImportedCa | None) -> PrimePairs:
    if imported is None:
        with PrimeProgress(bits, 4) as progress:
            return find_prime_pairs(bits, progress)
    with PrimeProgress(bits, 2) as progress:
        return PrimePairs(imported.factors, find_prime_pair(bits, progress))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _policy_text(file: Path | None) -> str:
    if file is None:
        return DEFAULT_POLICY_TOML
    text = text_of(_read(file, POLICY_SIZE_BYTES_MAX), POLICY_SIZE_BYTES_MAX)
    parse_policy(text)
    return text


def _new_passphrase(file: Path | None, no_passphrase: bool) -> bytes | None:
    if file is not None and no_passphrase:
        raise click.UsageError("--passphrase-file and --no-passphrase exclude each other")
    if no_passphrase:
        return None
    if file is not None:
        return read_passphrase_file(file)
    if not is_at_terminal():
        raise click.UsageError("no terminal to ask for a passphrase: give --passphrase-file FILE or --no-passphrase")
    return ask_new_passphrase()


def _files(dealing: Dealing, passphrase: bytes | None) -> dict[str, OutputFile]:
    """Everything that a dealing writes; cluster.toml last, so that a folder that has it is whole."""
    with ThreadPoolExecutor(core_count()) as threads:
        sealed = list(threads.map(lambda init: seal(init, passphrase, os.urandom), dealing.inits))
    return {
        **{f"server-{party}.init": OutputFile(data, SECRET_MODE) for party, data in enumerate(sealed)},
        "policy.toml": OutputFile(dealing.policy_text.encode()),
        "ca.pem": OutputFile(dealing.cluster.ca_certificate.encode()),
        "ca.csr": OutputFile(dealing.ca_csr.encode()),
        "cluster.toml": OutputFile(dealing.cluster_text.encode()),
    }


def _tell(out: Path, dealing: Dealing, *, is_sealed: bool) -> None:
    cluster = dealing.cluster
    click.echo(f"Dealt {cluster.n} servers, of which {cluster.t} may be corrupted, into {out}")
    for server in cluster.servers:
        click.echo(f"  server-{server.id}.init  for the operator of {server.address}")
    click.echo(f"SHA-256 of cluster.toml: {cluster_sha256(dealing.cluster_text.encode())}")
    if not cluster.dca.provable:
        click.echo("warning: an imported key's shares have no proofs, and copies of its file remain the key", err=True)
    if not is_sealed:
        click.echo("warning: the init files hold their secrets in clear (--no-passphrase)", err=True)
    if cluster.t == 0:
        click.echo("warning: this cluster bears no corrupted server; n = 4 bears one", err=True)


def _inspect_init(data: bytes, passphrase_file: Path | None) -> Inspection:
    header = init_header(data)
    passphrase = read_passphrase_file(passphrase_file) if passphrase_file else None
    if header.is_sealed and passphrase is None:
        if not is_at_terminal():
            raise click.UsageError("this init file is sealed: give --passphrase-file FILE, as there is no terminal")
        passphrase = ask_passphrase()
    return inspect_init(header, open_init(data, passphrase))


def _read(file: Path, size_bytes_max: int) -> bytes:
    """At most one byte more than allowed, for the reader of the format to complain of."""
    with file.open("rb") as stream:
        return stream.read(size_bytes_max + 1)


def run(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code.  Every failure is one clear line on stderr."""
    try:
        dealer.main(arguments, prog_name="maftia-dealer", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted; nothing was written", EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    except click.ClickException as error:
        return _failed(error.format_message(), EXIT_USAGE)
    except CryptoError as error:
        return _failed(str(error), EXIT_REFUSED)
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error), EXIT_USAGE)
    except (FormatError, OutputError) as error:
        return _failed(str(error), EXIT_USAGE)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_REFUSED
    return EXIT_DONE


def _failed(text: str, code: int) -> int:
    click.echo(f"maftia-dealer: {text}", err=True)
    return code


def main() -> NoReturn:
    """Entry point of the console script."""
    sys.exit(run())
