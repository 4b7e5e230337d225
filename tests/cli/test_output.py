"""The contract with scripts: one JSON object, one exit code, one clear line."""

from __future__ import annotations

import json

import pytest

from maftia.cli.app import COMMANDS, maftia, run
from maftia.cli.output import CommandError, report_error


def exit_code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_unknown_command_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["nonsense"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "nonsense" in printed.err


def test_wrong_use_with_json_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["nonsense", "--json"]) == 2
    printed = capsys.readouterr()
    value = json.loads(printed.out)
    assert value["status"] == "error"
    assert value["error"]["code"] == "usage"
    assert printed.out.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "word", "status"),
    [
        (1, "nameTaken", "refused"),
        (1, "serverEnded", "error"),
        (2, "usage", "error"),
        (3, "noQuorum", "timeout"),
    ],
)
def test_exit_codes_have_their_status(code: int, word: str, status: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = CommandError(code, word, "because", servers_agreeing=2, rid="r")
    assert report_error(error, as_json=True) == code
    value = json.loads(capsys.readouterr().out)
    assert value == {
        "status": status,
        "error": {"code": word, "detail": "because", "servers_agreeing": 2},
        "rid": "r",
    }


def test_a_refusal_names_code_reason_and_servers(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(CommandError(1, "nameTaken", "another client has it", servers_agreeing=3), as_json=False)
    assert capsys.readouterr().err == "maftia: refused, nameTaken: another client has it (3 servers agree)\n"


def test_every_command_of_the_table_exists_and_has_help() -> None:
    context = maftia.make_context("maftia", [], resilient_parsing=True)
    for name in COMMANDS:
        command = maftia.get_command(context, name)
        assert command is not None
        assert command.help, name


def test_help_and_version_exit_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--help"]) == 0
    assert exit_code(["--version"]) == 0
    assert "maftia" in capsys.readouterr().out
