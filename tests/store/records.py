"""Random records with every field filled in some of the time."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from phasegate.core import facts as f
from phasegate.core.layered import Layered
from phasegate.core.run import PhaseRun, PhaseStatus, Run, RunStatus, Subject, Vote

# No halves of characters: they have no JSON form, and are refused before they get here. No NUL: see ``test_append``.
_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
text = st.text(_characters, max_size=8)
names = st.text(_characters, min_size=1, max_size=8)
times = st.integers(0, 2**52).map(lambda count: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=count))
counts = st.integers(0, 2**31 - 1)
scopes = st.lists(names, max_size=3).map(tuple)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
shas = st.text("0123456789abcdef", min_size=64, max_size=64)
places = st.tuples(names, scopes, counts)
words = st.sampled_from(["done", "failed", "approved"]) | names

_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "at": times,
    "due_at": st.none() | times,
    "until": st.none() | times,
    "subject": st.builds(Subject, names, names),
    "aim": st.none() | st.frozensets(names, max_size=3),
    "pressed": st.frozensets(names, max_size=3),
    "scope": scopes,
    "items": st.none() | st.lists(names, max_size=3).map(tuple),
    "feedback": st.none() | places,
    "status": st.sampled_from([RunStatus.FAILED, RunStatus.CANCELLED]),
    "sha256": st.none() | shas,
    "seen": st.none() | shas,
    "trace": st.none() | text,
    "unchecked": st.booleans(),
    "priority": st.integers(-(2**31), 2**31 - 1),
    "fatal": st.booleans(),
    "version": counts,
    "attempt": counts,
    "round": counts,
    "input": values,
    "questions": values,
    "answers": values,
    "answer": values,
}


def fact_of(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Facts of one class; fields that are not listed are text."""
    return st.builds(cls, **{field.name: _BY_NAME.get(field.name, text) for field in dataclasses.fields(cls)})


votes = st.builds(Vote, names, words, st.none() | shas, values, text, st.none() | times)


@st.composite
def instances(draw: st.DrawFn) -> PhaseRun:
    status = draw(st.sampled_from(PhaseStatus))
    outcome = draw(words) if status is PhaseStatus.SUCCEEDED else draw(st.none() | words)
    optional = st.none() | times
    return PhaseRun(
        draw(names), draw(scopes), status, draw(counts), draw(counts), draw(counts), draw(counts), outcome,
        draw(optional), draw(optional), draw(optional), draw(st.none() | counts), draw(st.none() | shas),
        draw(_BY_NAME["items"]), draw(st.none() | shas), draw(st.lists(votes, max_size=2).map(tuple)), draw(values),
        draw(values), draw(_BY_NAME["feedback"]), draw(st.none() | text),
    )  # fmt: skip


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Runs as they may stand after any history; the sequence number and the epoch are a new run's."""
    found = draw(st.lists(instances(), max_size=4))
    return Run(
        id=draw(st.uuids()).hex, tenant=draw(names), flow=draw(names), version=draw(counts),
        subject=draw(_BY_NAME["subject"]), key=draw(text), status=draw(st.sampled_from(RunStatus)),
        aim=draw(_BY_NAME["aim"]), unchecked=draw(st.booleans()), pressed=draw(_BY_NAME["pressed"]), seq=1,
        ending=draw(st.none() | _BY_NAME["status"]), reason=draw(st.none() | text), started_by=draw(text),
        priority=draw(_BY_NAME["priority"]),
        created_at=draw(times), updated_at=draw(times), input=draw(values),
        phases=Layered({(i.phase, i.scope): i for i in found}),
    )  # fmt: skip


def started(run: Run) -> f.RunStarted:
    assert run.created_at is not None
    return f.RunStarted(run.created_at, run.id, run.tenant, run.flow, run.version, run.subject)
