"""What `maftia admin policy set` finds wrong with a file before it asks anybody."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from maftia.cli.admin import _read_policy
from maftia.cli.output import CommandError
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums

CLUSTER = SimpleNamespace(quorums=Quorums.of(4))


def test_a_file_that_servers_would_refuse_for_its_characters_is_refused_here(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(DEFAULT_POLICY_TOML)
    assert _read_policy(file, CLUSTER) == DEFAULT_POLICY_TOML
    file.write_text(DEFAULT_POLICY_TOML + "# {\n")
    with pytest.raises(CommandError) as raised:
        _read_policy(file, CLUSTER)
    assert "by age" in raised.value.detail
