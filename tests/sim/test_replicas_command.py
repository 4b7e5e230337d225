"""`maftia sim`: what it prints and how it ends."""

from __future__ import annotations

import json

import pytest

from maftia.cli.app import run
from tests.canary import Bug, planted

SHORT = ["sim", "--seeds", "2", "--network", "lan", "--adversary", "silent", "--requests", "2"]
CERTIFIED_BY_ANYBODY = Bug(
    "maftia.replica.checkpoints:CheckpointVotes._count",
    "if self._quorums.has_honest(others[digest]):",
    "if others[digest]:",
)


def test_a_run_without_violation_ends_well(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        run([*SHORT, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert (told["status"], told["error"], told["violations"]) == ("ok", None, [])
    assert (told["runs"], told["requests"], told["adversaries"]) == (1, 2, {"silent": 1})


def test_a_violation_is_told_with_the_command_that_replays_it(capsys: pytest.CaptureFixture[str]):
    with planted(CERTIFIED_BY_ANYBODY), pytest.raises(SystemExit) as ended:
        run(SHORT)
    told = capsys.readouterr().out
    assert ended.value.code == 1
    assert "seed 2: checkpoint: " in told
    assert "maftia sim --servers 4 --seeds 2-2 --adversary silent --network lan --requests 2" in told


@pytest.mark.parametrize("wrong", [["--seeds", "9-3"], ["--seeds", "all"], ["--adversary", "nice"], ["--servers", "3"]])
def test_wrong_use_is_told(wrong: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        run(["sim", *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err
