"""The table of decoders holds every one there is: a new one without a target fails here."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import inspect

from fuzz.table import TARGETS
from maftia.core.codec import Wire

ROOT = Path(__file__).resolve().parents[2]
READERS = (
    "parse_",
    "read_",
    "load_",
    "open_",
    "decode_",
    "check_proof",
    "from_bytes",
    "passphrase_of",
    "init_header",
    "feed",
)
"""how functions that take in bytes or texts from outside are called"""
ELSEWHERE = {
    "dealer.passphrase:read_passphrase_file": "opens a file for passphrase_of_file",
    "maftia.cli.access:read_cluster": "opens a file for load_cluster",
    "maftia.cli.audited:load_audit": "opens the person's own file; `Audited` is a state row, the note a checkpoint",
    "maftia.cli.binding:read_binding": "options of a command line",
    "maftia.cli.credentials:read_authorization": "opens a file for parse_authorization",
    "maftia.cli.credentials:read_certificate": "opens a file for the library's PEM and certificate_facts",
    "maftia.cli.csr_file:load_csr": "opens a file for read_csr",
    "maftia.cli.files:read_input": "opens a file",
    "maftia.cli.keys:load_private_key": "the person's own key, read by the library",
    "maftia.cli.keys:load_public_key": "the person's own file, read by the library",
    "maftia.cli.keys:load_subject_key": "the person's own key, read by the library",
    "maftia.server.config:load_config": "opens a file for open_init",
    "maftia.store.data_dir:open_data_dir": "opens a folder",
    "maftia.threshold.coin:open_coin": "takes verified shares",
    "maftia.client.client:open_client": "opens connections",
    "maftia.threshold.exponentiation:load_libcrypto": "loads a library",
}
"""functions of such names that decode nothing themselves, and why they have no target"""
NOT_DECODED = {"LogCheckpoint"}
"""made of the fields of messages and of a checkpoint's text, which are targets"""


def modules() -> list[str]:
    paths = [path for package in ("maftia", "dealer") for path in (ROOT / package).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(paths)]
    return [name for name in names if "maftia.sim" not in name and not name.endswith(("__init__", "__main__"))]


def readers() -> Iterator[str]:
    """The public functions of the product that read, by module and qualified name."""
    for module in modules():
        tree = ast.parse((ROOT / Path(*module.split("."))).with_suffix(".py").read_text())
        for holder in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
            prefix = "" if isinstance(holder, ast.Module) else f"{holder.name}."
            for node in holder.body:
                is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_function and node.name.startswith(READERS) and _takes_bytes_or_text(node):
                    yield f"{module}:{prefix}{node.name}"


def _takes_bytes_or_text(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = [ast.unparse(arg.annotation) for arg in node.args.args if arg.annotation]
    return any(kind in {"bytes", "str", "Path", "bytes | bytearray"} for kind in given)


def covered() -> set[str]:
    return {name for target in TARGETS for name in target.covers}


def test_every_function_that_reads_has_a_target_or_a_reason() -> None:
    found = set(readers())
    assert len(found) > 30
    assert found - covered() - ELSEWHERE.keys() == set()


def test_no_reason_is_given_for_what_has_a_target_or_does_not_exist() -> None:
    for name in ELSEWHERE:
        module, _, function = name.partition(":")
        assert hasattr(importlib.import_module(module), function), name
    assert not covered() & ELSEWHERE.keys()
    assert all(ELSEWHERE.values())


@pytest.mark.parametrize("name", sorted(covered()))
def test_what_targets_cover_exists(name: str) -> None:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    assert callable(found)


def decoded_kinds() -> dict[str, Any]:
    """Every type that the product calls `decode` for, by the place of the call."""
    kinds: dict[str, Any] = {}
    for name in modules():
        module = importlib.import_module(name)
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            is_decode = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "decode"
            if is_decode and len(node.args) == 3 and isinstance(node.args[1], ast.Name):
                kinds[f"{name}:{node.lineno}"] = getattr(module, node.args[1].id)
    return kinds


def test_every_decoded_type_has_a_target() -> None:
    kinds = {kind for target in TARGETS for kind in target.kinds}
    members = {member for kind in kinds for member in get_args(kind) or (kind,)}
    calls = decoded_kinds()
    assert len(calls) > 20
    missing = {where: kind for where, kind in calls.items() if not set(get_args(kind) or (kind,)) <= members}
    assert missing == {}


def structs_within(kind: Any) -> set[type]:
    """The structs that a type consists of."""
    found: set[type] = set()
    waiting = [inspect.type_info(kind)]
    while waiting:
        info = waiting.pop()
        if isinstance(info, inspect.StructType) and info.cls not in found:
            found.add(info.cls)
            waiting += [field.type for field in info.fields]
        waiting += [*getattr(info, "types", ()), *getattr(info, "item_types", ())]
        waiting += [info.item_type] if isinstance(info, inspect.VarTupleType) else []
    return found


def test_every_struct_of_the_product_is_read_by_a_target() -> None:
    for name in modules():
        importlib.import_module(name)
    read = {struct for target in TARGETS for kind in target.kinds for struct in structs_within(kind)}
    ours = {
        kind
        for kind in Wire.__subclasses__()
        if kind.__module__.startswith("maftia.") and ".sim." not in kind.__module__
    }
    assert {kind.__name__ for kind in ours - read} == NOT_DECODED


def test_targets_have_names_of_their_own() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
