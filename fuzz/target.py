"""What one decoder is to the fuzzer."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Native = Callable[[bytes], bytes]
"""the fuzzer's own change of some bytes"""
Mutate = Callable[[bytes, random.Random, Native], bytes]
"""a change that knows the form of an input; it may give bytes of any length"""
INPUT_SIZE_BYTES_MAX = 4096
"""of most targets: larger inputs reach nothing new, only later"""


class BrokenRuleError(Exception):
    """A decoder did what none may: the text says what."""


def must(is_so: bool, rule: str) -> None:
    """Raises BrokenRuleError unless the rule holds."""
    if not is_so:
        raise BrokenRuleError(rule)


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder, or some that belong together."""

    name: str
    run: Callable[[bytes], object]
    """reads an input and checks what must hold of it; raises one of `errors`, where the input is refused, or nothing"""
    seeds: Callable[[], Mapping[str, bytes]]
    """inputs to begin with, by name: made by the code itself"""
    errors: tuple[type[Exception], ...] = ()
    """all that it declares"""
    covers: tuple[str, ...] = ()
    """the functions that it reaches: "package.module:qualified name" """
    kinds: tuple[object, ...] = ()
    """the structs, or unions of them, that it decodes"""
    mutate: Mutate | None = None
    words: tuple[bytes, ...] = ()
    """that mean something in its inputs"""
    size_bytes_max: int = INPUT_SIZE_BYTES_MAX

    def refusal(self, data: bytes) -> Exception | None:
        """The declared error with which an input is refused, None where it is read.  Raises all else."""
        try:
            self.run(data)
        except self.errors as error:
            return error
        return None
