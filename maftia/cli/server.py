"""`maftia server run`."""

from __future__ import annotations

import click


@click.group()
def server() -> None:
    """Run one server."""
