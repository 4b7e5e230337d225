"""`maftia retrieve --consistency quorum` against real servers, one of them killed."""

from __future__ import annotations

import pytest

from tests.e2e.commands import User

pytestmark = pytest.mark.e2e


def test_found_without_order_also_when_a_server_is_dead(user: User, stranger: User) -> None:
    assert user.cluster is not None
    key = user.new_key("key.pem")
    issue = ["issue", "--key", key, "--name", "dns:q.example.org", "--out", "cert.pem"]
    serial = user.maftia(*issue).done("issued")["serial"]
    before = user.cluster.settled()
    ask = ["retrieve", "--name", "dns:q.example.org", "--consistency", "quorum"]
    found = stranger.maftia(*ask, "--out", "found").done("ok")["certificates"]
    assert [one["serial"] for one in found] == [serial]
    assert (stranger.home / "found" / f"{serial}.pem").read_bytes() == (user.home / "cert.pem").read_bytes()
    none = stranger.maftia("retrieve", "--name", "dns:none.q.example.org", "--consistency", "quorum")
    assert none.done("ok")["certificates"] == []
    assert user.cluster.settled() == before
    user.cluster.servers[2].kill()
    assert [one["serial"] for one in stranger.maftia(*ask).done("ok")["certificates"]] == [serial]
    user.cluster.servers[1].kill()
    stranger.maftia(*ask, "--timeout", "1").timed_out()
    assert user.cluster.complaints() == []
