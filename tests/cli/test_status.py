"""What servers say of themselves is their word: it reaches the terminal as text and as nothing else."""

from __future__ import annotations

import msgspec
import pytest

from maftia.cli import status
from maftia.client.client import ServerStatus
from maftia.core.identifiers import PartyId
from maftia.dca.messages import StatusReply
from tests.dealing import sample_cluster

REPLY = StatusReply(0, "active", "0.1.0", 7, 3, bytes(32), 0, (1, 2, 3))


@pytest.mark.parametrize("said", ["[/b]", "[red]active", "\x1b[31mactive\x07", "a\nb"])
def test_a_lying_state_is_shown_as_text(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    reply = msgspec.structs.replace(REPLY, state=said)
    status._print_table(sample_cluster().cluster, (ServerStatus(PartyId(0), "host:1", reply, ""),))
    printed = capsys.readouterr().out
    assert "host:1" in printed
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert not status.is_active(ServerStatus(PartyId(0), "host:1", reply, ""))
