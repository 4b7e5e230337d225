"""Where passphrases come from: a file, or a person at a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from maftia.core.init_file import passphrase_of_file
from maftia.core.limits import PASSPHRASE_SIZE_BYTES_MAX


def read_passphrase_file(path: Path) -> bytes:
    """The passphrase in a file.  Raises FormatError or OSError."""
    with path.open("rb") as stream:
        return passphrase_of_file(stream.read(2 * PASSPHRASE_SIZE_BYTES_MAX))


def is_at_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_new_passphrase() -> bytes:
    """Ask for a new passphrase, twice."""
    return _ask("Passphrase that seals the init files", confirm=True)


def ask_passphrase() -> bytes:
    """Ask for the passphrase of an init file."""
    return _ask("Passphrase of the init file", confirm=False)


def ask_key_passphrase() -> bytes:
    """Ask for the passphrase of a key that is imported."""
    return _ask("Passphrase of the imported key", confirm=False)


def _ask(prompt: str, *, confirm: bool) -> bytes:
    while True:
        entered: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        if 0 < len(entered.encode()) <= PASSPHRASE_SIZE_BYTES_MAX:
            return entered.encode()
        click.echo(f"A passphrase has 1 to {PASSPHRASE_SIZE_BYTES_MAX} bytes.", err=True)
