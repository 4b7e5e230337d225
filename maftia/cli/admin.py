"""`maftia admin`: the policy in force and its tokens, shown to everybody and changed by administrators."""

from __future__ import annotations

import difflib
import os
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from maftia.cli.access import FILE, group_options, in_group, one_use_identity, read_cluster, with_client
from maftia.cli.binding import kept_key
from maftia.cli.credentials import TOKEN_FILE, token_of
from maftia.cli.files import check_writable, read_input, write_output
from maftia.cli.keys import identity_of, load_subject_key
from maftia.cli.options import identity_option, key_passphrase_option, rid_option
from maftia.cli.output import EXIT_NO_QUORUM, EXIT_REFUSED, CommandError, print_json, usage_error
from maftia.cli.policy_text import read_shown, render_shown, with_tokens
from maftia.client.client import Client
from maftia.client.results import Changed, PolicyFound
from maftia.core.cluster_file import ClusterFile
from maftia.core.errors import Code, FormatError
from maftia.core.files import text_of
from maftia.core.globs import parse_glob
from maftia.core.limits import POLICY_SIZE_BYTES_MAX
from maftia.core.policy import Policy, TokenGrant, parse_policy, token_key
from maftia.core.token import new_token
from maftia.dca.change import Change, PolicySet, TokenAdd, TokenRemove
from maftia.dca.messages import TokenInForce

F = TypeVar("F", bound=Callable[..., Any])
USES_MAX = 2**31 - 1
_HEX_32_BYTES = re.compile("[0-9a-fA-F]{64}")
DIFF_LINES_MAX = 60
"""shown on a terminal before a policy is set; the rest is counted"""


def _change_options(command: F) -> F:
    """Of the group, and of the commands that change something."""
    for option in (
        rid_option,
        identity_option,
        key_passphrase_option,
        click.option(
            "--admin-key",
            "admin_paths",
            type=FILE,
            multiple=True,
            help="An administrator's private key, PEM; repeatable: more than half of the policy's must sign a change.",
        ),
    ):
        command = option(command)
    return command


@click.group(short_help="The policy and its tokens: show and change them.")
@_change_options
@group_options
def admin(**_options: Any) -> None:
    """Show the policy in force and its tokens, and change them as its administrators.

    A change is ordered like every request and is in force for the next one, at all servers alike, if more than half of
    the administrators that the policy lists ([[administrator]]) have signed it: give their keys with --admin-key, all
    to one command. Showing needs no key. Options may stand before or after the command's name.
    """


@admin.group()
def policy() -> None:
    """The policy as a whole: show it, replace it."""


@admin.group()
def token() -> None:
    """Tokens: who holds one may ask for certificates; add, remove and list them."""


@policy.command("show")
@click.option("--out", "out_path", type=FILE, help="Write it here instead of printing it.")
@group_options
@in_group
def policy_show(**options: Any) -> None:
    """Print the policy in force, as a policy.toml that can be edited and set again.

    It is the text as it was dealt or set last, comments included, with the tokens that are in force now instead of
    those of that time. What 2t+1 servers state alike is believed. The first line names the policy that is shown:
    `policy set` then replaces that one and no later one.

    \b
    maftia admin policy show --cluster cluster.toml
    maftia admin policy show --cluster cluster.toml --out policy.toml

    Exit codes: 0 done; 2 wrong use; 3 no quorum in time.
    """
    cluster = _cluster(options)
    if options["out_path"] is not None:
        check_writable(options["out_path"])
    found = _found(cluster, options)
    text = render_shown(found.digest, _whole_text(found))
    if options["out_path"] is not None:
        write_output(options["out_path"], text.encode())
    if options["as_json"]:
        fields = {"policy": text, "digest": found.digest.hex(), "commit": found.commit}
        print_json({"status": "ok", "error": None, **fields, "administrators": _administrators(found)})
    elif options["out_path"] is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{options['out_path']}: the policy in force at commit {found.commit}")


@policy.command("set")
@click.argument("file", type=FILE)
@click.option(
    "--base",
    "base_hex",
    metavar="HEX",
    help="Digest of the policy that it replaces. [default: the file's first line, else the one in force]",
)
@_change_options
@group_options
@in_group
def policy_set(file: Path, **options: Any) -> None:
    """Replace the policy, tokens included, by that of a file.

    The file is judged here first (exit code 2 says what is wrong with it). On a terminal what changes is shown. If the
    file came of `policy show` and the policy was changed since, nothing is done: show it again and repeat the edit
    there, or delete the file's first line to replace whatever is in force. Counts of tokens' uses go on.

    Administrators who take themselves or each other off the list are off it from the next request on; a policy without
    administrators can never be changed.

    \b
    maftia admin policy set policy.toml --cluster cluster.toml --admin-key alice.pem --admin-key bob.pem

    Exit codes: 0 done; 1 refused; 2 wrong use, or no policy; 3 no quorum in time: ask again with the --rid printed.
    """
    cluster = _cluster(options)
    shown = read_shown(_read_policy(file, cluster))
    _require_keys(options)
    found = _found(cluster, options)
    base = _base(options["base_hex"]) or shown.base or found.digest
    if base != found.digest and options["rid"] is None:
        detail = (
            f"the policy has changed since {file} was shown: show it again and repeat the edit there, "
            "or delete its first line to replace whatever is in force"
        )
        raise CommandError(EXIT_REFUSED, Code.POLICY_VIOLATION, detail)
    _show_difference(_whole_text(found), shown.text, quiet=options["as_json"])
    try:
        changed = _change(cluster, PolicySet(base, shown.text), options)
    except CommandError as error:
        if error.exit_code != EXIT_NO_QUORUM:
            raise
        detail = f"{error.detail} --base {base.hex()}"
        raise CommandError(error.exit_code, error.code, detail, **error.fields, base=base.hex()) from None
    _report(changed, {}, f"{file} is in force", options)


@token.command("add")
@click.option("--public-key", "public_hex", metavar="HEX", help="The token's public key, as policy.toml has it.")
@click.option("--token-file", "token_path", type=FILE, help="A token of `maftia-dealer token`; it stays here.")
@click.option("--new", "new_path", type=FILE, help="Make a token and write it here (0600): a secret for its user.")
@click.option(
    "--uses",
    type=click.IntRange(0, USES_MAX),
    default=1,
    show_default=True,
    help="How many certificates; 0: any number.",
)
@click.option(
    "--name", "globs", multiple=True, metavar="GLOB", help="Names it is good for, as dns:*.example.org; repeatable."
)
@_change_options
@group_options
@in_group
def token_add(**options: Any) -> None:
    """Add a token, or give one that there is other uses and names.

    The cluster learns the token's public key only. Without --name it is good for every name that the policy allows. Of
    a token that is there already the uses are counted on.

    \b
    maftia admin token add --cluster cluster.toml --admin-key alice.pem --new bob.token --uses 10 \\
                           --name "dns:*.example.org"
    maftia admin token add --cluster cluster.toml --admin-key alice.pem --token-file bob.token --uses 0

    Exit codes: 0 done; 1 refused; 2 wrong use; 3 no quorum in time: ask again with the --rid that is printed.
    """
    cluster = _cluster(options)
    _require_keys(options)
    names = _checked_globs(options["globs"])
    public, secret = _token(options)
    with kept_key(options["new_path"], secret):
        changed = _change(cluster, TokenAdd(public, options["uses"], names), options)
    fields = {"public_key": public.hex(), "uses": options["uses"], "names": list(names)}
    _report(changed, fields, f"token {public.hex()} is in force", options)


@token.command("remove")
@click.argument("public_hex", metavar="PUBLIC-KEY")
@_change_options
@group_options
@in_group
def token_remove(public_hex: str, **options: Any) -> None:
    """Remove a token, known by its public key as `token list` shows it.

    Certificates that came of it stay as they are.

    \b
    maftia admin token list --cluster cluster.toml
    maftia admin token remove PUBLIC-KEY --cluster cluster.toml --admin-key alice.pem

    Exit codes: 0 done; 1 refused, or no such token; 2 wrong use; 3 no quorum in time: ask again with --rid.
    """
    cluster = _cluster(options)
    _require_keys(options)
    public = _public_key(public_hex)
    changed = _change(cluster, TokenRemove(public), options)
    _report(changed, {"public_key": public.hex()}, f"token {public.hex()} is gone", options)


@token.command("list")
@group_options
@in_group
def token_list(**options: Any) -> None:
    """List the tokens in force: public key, how often used, names.

    What 2t+1 servers state alike is believed; uses are those that an honest one had counted, at least.

    \b
    maftia admin token list --cluster cluster.toml

    Exit codes: 0 done; 2 wrong use; 3 no quorum in time.
    """
    found = _found(_cluster(options), options)
    if options["as_json"]:
        print_json({"status": "ok", "error": None, "tokens": [_token_json(one) for one in found.tokens]})
        return
    if not found.tokens:
        click.echo("no tokens")
    for one in found.tokens:
        most = f"of {one.uses}" if one.uses else "of any number"
        click.echo(f"{one.public_key.hex()}  used {one.used} {most}  {' '.join(one.names) or 'all names'}")


# --- the policy


def _cluster(options: dict[str, Any]) -> ClusterFile:
    return read_cluster(options["cluster_path"], options["cluster_sha256"])


def _found(cluster: ClusterFile, options: dict[str, Any]) -> PolicyFound:
    return with_client(
        cluster,
        one_use_identity(),
        lambda client: client.policy(timeout_s=options["timeout_s"]),
        waiting="asking for the policy …",
        quiet=options["as_json"],
        changes=False,
    )


def _base(text: str | None) -> bytes | None:
    if text is None:
        return None
    if not _HEX_32_BYTES.fullmatch(text):
        raise usage_error(f"--base {text}: a digest of a policy is 64 hex digits, as `policy show --json` has it")
    return bytes.fromhex(text)


def _whole_text(found: PolicyFound) -> str:
    """The text with the tokens in force."""
    grants = [TokenGrant(one.public_key, one.uses, tuple(map(parse_glob, one.names))) for one in found.tokens]
    try:
        return with_tokens(found.text, grants)
    except FormatError as error:
        raise usage_error(
            f"the tokens in force do not fit into one policy file ({error}); see `token list`, and add them one by one"
        ) from None


def _administrators(found: PolicyFound) -> list[str]:
    return [one.name for one in parse_policy(found.text).administrators]


def _read_policy(file: Path, cluster: ClusterFile) -> str:
    try:
        text = text_of(read_input(file, "the policy"), POLICY_SIZE_BYTES_MAX)
        judged: Policy = parse_policy(text)
        judged.check_for(cluster.quorums)
    except FormatError as error:
        raise usage_error(f"{file}: {error}") from None
    return text


def _show_difference(before: str, after: str, *, quiet: bool) -> None:
    """What changes, where a person watches."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        return
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "in force", "new", lineterm="", n=1))
    for line in lines[:DIFF_LINES_MAX] or ["the policy in force says the same"]:
        style = {"+": "green", "-": "red"}.get(line[:1], "")
        console.print(Text("".join(char if char.isprintable() else "?" for char in line), style))
    if len(lines) > DIFF_LINES_MAX:
        console.print(f"… and {len(lines) - DIFF_LINES_MAX} lines more")


# --- tokens


def _token(options: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """The public key of the token that is meant; of a new one the secret for its file, too."""
    given = [options[name] for name in ("public_hex", "token_path", "new_path") if options[name] is not None]
    if len(given) != 1:
        raise usage_error("give one of --public-key HEX, --token-file FILE and --new FILE")
    if options["public_hex"] is not None:
        return _public_key(options["public_hex"]), None
    if options["token_path"] is not None:
        return token_of(TOKEN_FILE, str(options["token_path"])).public, None
    return _made_token(options["new_path"], is_repeated=options["rid"] is not None)


def _made_token(path: Path, *, is_repeated: bool) -> tuple[bytes, bytes | None]:
    if path.exists() and is_repeated:
        return token_of(TOKEN_FILE, str(path)).public, None
    if path.exists():
        raise usage_error(f"{path} exists: a new token would replace it; give it as --token-file, or name another file")
    check_writable(path)
    text = new_token(os.urandom)
    return token_key(text).public, f"{text}\n".encode()


def _public_key(text: str) -> bytes:
    if not _HEX_32_BYTES.fullmatch(text):
        raise usage_error(f"{text} is no public key of a token: that is 64 hex digits, see `token list`")
    return bytes.fromhex(text)


def _checked_globs(texts: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(str(parse_glob(text)) for text in texts))
    except FormatError as error:
        raise usage_error(f"--name: {error}") from None


def _token_json(one: TokenInForce) -> dict[str, Any]:
    return {"public_key": one.public_key.hex(), "uses": one.uses, "used": one.used, "names": list(one.names)}


# --- changes


def _require_keys(options: dict[str, Any]) -> None:
    if not options["admin_paths"]:
        raise usage_error("a change is signed by administrators: give --admin-key KEY.pem for each of them")


def _change(cluster: ClusterFile, change: Change, options: dict[str, Any]) -> Changed:
    keys = [load_subject_key(path, options["key_passphrase_file"]) for path in options["admin_paths"]]
    rid: uuid.UUID | None = options["rid"]

    async def ask(client: Client) -> Changed:
        return await client.admin(change, keys, rid=rid.bytes if rid else None, timeout_s=options["timeout_s"])

    identity = identity_of(options["identity"])
    return with_client(cluster, identity, ask, waiting="having it ordered …", quiet=options["as_json"])


def _report(changed: Changed, fields: dict[str, Any], sentence: str, options: dict[str, Any]) -> None:
    if options["as_json"]:
        rid = str(uuid.UUID(bytes=changed.rid))
        common = {"commit": changed.commit, "inclusion": changed.inclusion is not None, "rid": rid}
        print_json({"status": "ok", "error": None, **fields, **common, "elapsed_ms": changed.elapsed_ms})
    else:
        click.echo(f"{sentence} after commit {changed.commit} ({changed.elapsed_ms} ms)")
