"""The errors: one tree, a sentence each, and what to do next."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime

import pytest

from phasegate import errors
from phasegate.errors import (
    FlowError,
    NeedsNotMet,
    PhasegateError,
    Snooze,
    Stale,
    StoreError,
    UnknownName,
    UsageError,
    did_you_mean,
)

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, PhasegateError)]
PLAIN = [cls for cls in CLASSES if cls not in (FlowError, UnknownName, NeedsNotMet)]


def test_the_tree_at_the_head_of_the_module_is_the_tree_of_classes() -> None:
    drawn = re.findall(
        r"^([ │├└─]*)(\w+)", (errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0], re.MULTILINE
    )
    path: list[str] = []
    parents: dict[str, str | None] = {}
    for indent, name in drawn:
        depth = (len(indent) - 4) // 4
        parents[name] = path[depth - 1] if depth else None
        path[depth:] = [name]
    assert {cls.__name__ for cls in CLASSES} == parents.keys()
    assert {cls.__name__: cls.__mro__[1].__name__ for cls in CLASSES if cls is not PhasegateError} == {
        name: parent for name, parent in parents.items() if parent is not None
    }


@pytest.mark.parametrize("cls", PLAIN, ids=lambda cls: cls.__name__)
def test_a_message_defaults_to_the_first_line_of_the_docstring(cls: type[PhasegateError]) -> None:
    first = (cls.__doc__ or "").strip().splitlines()[0]
    assert str(cls()) == first
    assert first.endswith(".") or ":" in first


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_has_a_status_and_an_exit_code(cls: type[PhasegateError]) -> None:
    assert 400 <= cls.status < 600
    assert cls.exit_code in (1, 2)
    expected = 503 if issubclass(cls, StoreError) else None
    assert expected is None or cls.status == expected
    assert not issubclass(cls, UsageError) or cls.exit_code == 2
    assert not issubclass(cls, Stale) or cls.status == 409


def test_a_hint_may_be_given() -> None:
    assert PhasegateError("no", hint="try this").hint == "try this"
    assert PhasegateError("no").hint is None


def test_a_flow_error_lists_every_problem() -> None:
    error = FlowError("story", ["it has no name", "it has no phases"])
    assert error.problems == ("it has no name", "it has no phases")
    assert str(error) == "flow 'story' cannot be built: it has no name; it has no phases"


def test_unmet_needs_are_all_named() -> None:
    error = NeedsNotMet("print", ["draft", "edit"])
    assert (error.phase, error.missing) == ("print", ("draft", "edit"))
    assert str(error) == "phase 'print' needs 'draft', 'edit' first"


def test_an_unknown_name_comes_with_the_nearest() -> None:
    error = UnknownName("phase", "drafd", ["draft", "edit"])
    assert (error.kind, error.name, str(error), error.hint) == (
        "phase",
        "drafd",
        "unknown phase 'drafd'",
        "did you mean 'draft'?",
    )


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("xyz", ["b", "a"], "known: a, b"),
        ("xyz", [], None),
        ("xyz", [f"name{number}" for number in range(21)], None),
        ("nam1", ["name1", "other"], "did you mean 'name1'?"),
    ],
)
def test_a_hint_names_the_nearest_or_lists_the_few(name: str, known: list[str], sentence: str | None) -> None:
    assert did_you_mean(name, known) == sentence


def test_a_snooze_says_until_when() -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    assert str(Snooze(until)) == "snoozed until 2030-01-01T00:00:00+00:00"
    assert (Snooze(until, "later").reason, str(Snooze(until, "later"))) == ("later", "later")
