"""What a server is put together from."""

from __future__ import annotations

from maftia.core.limits import ROUND_MAX
from maftia.dca.state import MemoryKeyValue
from maftia.replica.build import build_handler
from tests.dealing import sample_cluster


def test_a_server_deletes_no_block_while_none_can_install_a_snapshot() -> None:
    handler = build_handler(sample_cluster().inits[0], MemoryKeyValue(), version="test", is_first_start=True)
    assert handler._order._config.margin_rounds == ROUND_MAX  # type: ignore[attr-defined]
