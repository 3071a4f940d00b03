"""What is written: anything as JSON, tables that stay in line, data that cannot take over the terminal."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate import RunStatus, Subject
from phasegate.cli import output


@dataclass(frozen=True, slots=True)
class Record:
    at: datetime
    status: RunStatus
    names: frozenset[str]


class Pair(NamedTuple):
    left: int
    right: Any


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2030-01-02T03:04:05.000006Z"),
        (date(2030, 1, 2), "2030-01-02"),
        (timedelta(minutes=1), 60.0),
        (Decimal("1.1"), 1.1),
        (Decimal(7), 7),
        (Decimal("NaN"), None),
        (float("inf"), None),
        (True, True),
        (2**80, 2**80),
        (RunStatus.FAILED, "failed"),
        (Subject("company", "acme"), "company:acme"),
        (Path("a/b"), "a/b"),
        ({"b", "a"}, ["a", "b"]),
        (Pair(1, (2, 3)), {"left": 1, "right": [2, 3]}),
        ({Subject("a", "b"): 1, 2: 3, None: 4}, {"a:b": 1, "2": 3, "None": 4}),
        (
            Record(datetime(2030, 1, 1, tzinfo=UTC), RunStatus.PAUSED, frozenset({"y", "x"})),
            {"at": "2030-01-01T00:00:00Z", "status": "paused", "names": ["x", "y"]},
        ),
        (object, repr(object)),
    ],
)
def test_everything_has_a_json_form(value: Any, expected: Any) -> None:
    assert output.plain(value) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals() | st.datetimes() | st.binary()
    | st.sampled_from(RunStatus),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner)
    | st.frozensets(st.text() | st.integers()),
    max_leaves=10,
)  # fmt: skip


@given(values)
def test_json_comes_back_as_it_was_written(value: Any) -> None:
    written = json.dumps(output.plain(value), allow_nan=False)
    assert json.loads(written) == output.plain(value)


@given(st.text())
def test_no_text_can_move_the_cursor(text: str) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in output.visible(text))
    assert output.one_line(text).count("\n") == 0


def test_text_that_is_printable_is_left_alone() -> None:
    assert output.visible("Café [bold]\n\tor not") == "Café [bold]\n\tor not"


def test_a_row_is_one_line_when_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 100
    output.write(output.Table(("a", "b"), [(long, 1), ("[red]x[/red]\n\x1b[2J", None)]), "end")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["word", "[red]x[/red]", "end"]
    assert lines[2].endswith("  1")
    assert lines[3].endswith("\\x1b[2J")


def test_json_keeps_its_letters(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json({"name": "Café", "broken": "\ud800"})
    written = capsys.readouterr().out
    assert "Café" in written
    assert json.loads(written) == {"name": "Café", "broken": "\ud800"}


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "\x7f", "\x9b31m", "\x85", "\u202e", "\u2028", "\U000e0001", "\ud800", "a\nb"]
)
def test_json_has_no_character_that_controls_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json({f"key {text}": [f"Caf\u00e9 {text}"]})
    written = capsys.readouterr().out
    assert [c for c in written if not (c.isprintable() or c == "\n")] == []
    assert "Caf\u00e9" in written
    assert json.loads(written) == {f"key {text}": [f"Caf\u00e9 {text}"]}


@given(
    st.recursive(st.text() | st.none() | st.integers(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))
)
def test_whatever_is_written_as_json_is_printable_and_comes_back(value: Any) -> None:
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) as written:
        output.write_json(value)
        written.seek(0)
        text = written.read()
    assert all(c.isprintable() or c == "\n" for c in text)
    assert json.loads(text) == value
