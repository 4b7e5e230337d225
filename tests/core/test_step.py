"""Steps: what is put together keeps its order, and what a child says is the parent's to consume."""

from __future__ import annotations

import dataclasses

import pytest

from maftia.core.identifiers import PartyId
from maftia.core.step import Fault, Job, Note, Now, Send, Step


def full(mark: str) -> Step[str, str]:
    """A step with one of everything."""
    return Step(
        messages=[Send(PartyId(1), f"{mark} to one"), Send(None, f"{mark} to all")],
        outputs=[f"{mark} output"],
        faults=[Fault(PartyId(2), mark)],
        jobs=[Job(mark, lambda: mark)],
        records=[mark.encode()],
        notes=[Note(mark, {"at": 1})],
    )


FIELDS = [field.name for field in dataclasses.fields(Step)]


def test_an_empty_step_asks_for_nothing_and_two_share_no_list() -> None:
    one, two = Step[str, str](), Step[str, str]()
    assert all(getattr(one, name) == [] for name in FIELDS)
    assert all(getattr(one, name) is not getattr(two, name) for name in FIELDS)


def test_send_and_note_append() -> None:
    step: Step[str, str] = Step()
    step.send(None, "a")
    step.send(PartyId(0), "b")
    step.note("seen", serial="00", commit=3)
    assert step.messages == [Send(None, "a"), Send(PartyId(0), "b")]
    assert step.notes == [Note("seen", {"serial": "00", "commit": 3})]


@pytest.mark.parametrize("name", FIELDS)
def test_extend_appends_every_field_in_order_and_leaves_the_other_alone(name: str) -> None:
    one, two = full("one"), full("two")
    expected = getattr(full("one"), name)[:0] + getattr(one, name) + getattr(two, name)
    kept = list(getattr(two, name))
    one.extend(two)
    assert getattr(one, name) == expected
    assert getattr(two, name) == kept


def test_absorb_wraps_messages_and_records_takes_the_rest_and_hands_over_the_outputs() -> None:
    parent: Step[tuple[str, str], int] = Step(outputs=[7], records=[b"first"])
    child = full("child")
    outputs = parent.absorb(child, lambda message: ("wrapped", message), lambda record: b"c" + record)
    assert outputs == ["child output"]
    assert parent.outputs == [7], "a child's outputs are no outputs of the parent"
    assert parent.messages == [
        Send(PartyId(1), ("wrapped", "child to one")),
        Send(None, ("wrapped", "child to all")),
    ]
    assert parent.records == [b"first", b"cchild"]
    assert (parent.faults, parent.jobs, parent.notes) == (child.faults, child.jobs, child.notes)


def test_absorb_leaves_records_as_they_are_unless_told_to_wrap_them() -> None:
    parent: Step[str, str] = Step()
    parent.absorb(full("child"), str)
    assert parent.records == [b"child"]


@pytest.mark.parametrize("value", [Now(1, 2), Send(None, "m"), Fault(PartyId(1), "kind"), Note("event", {})])
def test_parts_are_values(value: object) -> None:
    assert value == dataclasses.replace(value)  # type: ignore[type-var]
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        setattr(value, dataclasses.fields(value)[0].name, None)  # type: ignore[arg-type]


def test_a_job_is_work_that_waits() -> None:
    assert full("x").jobs[0].work() == "x"
