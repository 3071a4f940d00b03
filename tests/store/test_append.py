"""``append``: one commit, one answer per member, nobody disturbs the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phasegate.core import facts as f
from phasegate.core.run import PhaseStatus, Run, RunStatus
from phasegate.errors import Conflict, Fenced, InputError, NotAllowed, UnknownName
from phasegate.store.base import Append, RunFilter, Store, Write, WriteFailed
from tests.store.conformance import claim, done, entries, entry, metadata, move, new, only, put
from tests.store.stores import Backend


def test_a_new_run_is_there_as_it_was_recorded(store: Store) -> None:
    append = new(store, input={"size": 3}, by="ann", key="k")
    run = put(store, append)
    assert store.load([run.id]) == [run]
    assert only(store.load([run.id])).input == {"size": 3}


def test_the_character_nul_is_no_trouble_where_people_write_freely(store: Store) -> None:
    run, now = put(store, new(store)), store.now()
    failed = f.AttemptFailed(now, "draft", (), 1, "E", "half\0baked", True)
    run = put(store, move(store, run, f.AttemptStarted(now, "draft", (), 1, "w"), failed))
    reason = only(store.load([run.id])).at("draft").reason
    assert reason is not None
    assert re.fullmatch("E: half.baked", reason, re.DOTALL)


def test_the_character_nul_in_a_name_is_kept_or_refused(store: Store) -> None:
    (answer,) = store.append([new(store, "ac\0me")])
    if answer is None:
        assert [run.subject.id for run in store.find(RunFilter())] == ["ac\0me"]
    else:
        assert isinstance(answer, InputError)
        assert "NUL" in str(answer)
        assert store.find(RunFilter()) == []


def test_an_update_replaces_what_changed(store: Store) -> None:
    run = put(store, done(store, put(store, new(store)), output={"text": "hello"}))
    loaded = only(store.load([run.id]))
    assert loaded == run
    assert loaded.at("draft").status is PhaseStatus.SUCCEEDED
    assert loaded.at("edit").status is PhaseStatus.READY


def test_what_was_read_before_somebody_else_wrote_is_a_conflict(store: Store) -> None:
    before = put(store, new(store))
    after = put(store, done(store, before))
    (answer,) = store.append([done(store, before)])
    assert isinstance(answer, Conflict)
    assert store.load([before.id]) == [after]


def test_two_appends_of_one_run_in_one_call_cannot_both_go_through(store: Store) -> None:
    run = put(store, new(store))
    first, second = store.append([done(store, run, output=1), done(store, run, output=2)])
    assert first is None
    assert isinstance(second, Conflict)
    assert store.outputs([(run.id, "draft", (), 1)]) == {(run.id, "draft", (), 1): 1}


def test_appends_that_follow_one_another_may_come_in_one_call(store: Store) -> None:
    start = new(store)
    first = done(store, start.run)
    second = done(store, first.run, "edit")
    assert store.append([start, first, second]) == [None, None, None]
    assert store.load([start.run.id]) == [second.run]


def test_a_former_holder_is_fenced_off(store: Store) -> None:
    run = put(store, new(store))
    claimed = only(claim(store, "w1"))
    (answer,) = store.append([done(store, run)])
    assert isinstance(answer, Fenced)
    assert store.load([run.id]) == [claimed]


def test_an_unknown_run_is_said_to_be_unknown(store: Store) -> None:
    (answer,) = store.append([done(store, new(store).run)])
    assert isinstance(answer, UnknownName)


def test_a_subject_has_one_live_run_per_tenant_flow_and_key(store: Store) -> None:
    put(store, new(store))
    same, other_key, other_tenant = store.append([new(store), new(store, key="2"), new(store, tenant="other")])
    assert isinstance(same, NotAllowed)
    assert "company:acme" in str(same)
    assert (other_key, other_tenant) == (None, None)


def test_a_finished_run_makes_room_for_another(store: Store) -> None:
    run = put(store, new(store))
    ended = put(store, move(store, run, f.RunEnding(store.now(), RunStatus.CANCELLED)))
    assert ended.finished
    put(store, new(store))


def test_of_two_new_runs_of_a_subject_in_one_call_the_first_wins(store: Store) -> None:
    first, second, bystander = new(store), new(store), new(store, "umbrella")
    answers = store.append([first, second, bystander])
    assert [type(answer) for answer in answers] == [type(None), NotAllowed, type(None)]
    assert store.load([first.run.id, second.run.id, bystander.run.id]) == [first.run, bystander.run]


def test_a_write_is_part_of_the_commit(store: Store) -> None:
    store.create(metadata)
    run = put(store, new(store))
    put(store, done(store, run, writes=[entry("a", 5), entry("b", 7)]))
    assert entries(store) == {"a": 5, "b": 7}


@pytest.mark.parametrize(
    "bad",
    [
        entry("bad", 0),
        Write(sa.text("INSERT INTO nowhere VALUES (1)"), {}),
        Write("INSERT INTO ledger VALUES (:entry, :amount)", {"entry": "bad"}),
        Write("not a statement", {}),
        Write(metadata, {}),
        Write("INSERT INTO ledger VALUES (:entry, 1)", {"entry": "\ud800"}),
        Write("INSERT INTO ledger VALUES (:entry, 1)", {"entry": {"not": "text"}}),
    ],
    ids=["constraint", "no table", "no parameter", "no syntax", "no statement", "half a character", "no column type"],
)
def test_a_write_that_fails_fails_its_member_alone(store: Store, bad: Write) -> None:
    store.create(metadata)
    runs = [put(store, new(store, name)) for name in ("a", "b", "c")]
    members = [done(store, run, writes=[entry(run.subject.id)]) for run in runs]
    members[1] = done(store, runs[1], writes=[entry("b"), bad])
    first, second, third = store.append(members)
    assert (first, third) == (None, None)
    assert isinstance(second, WriteFailed)
    assert entries(store) == {"a": 1, "c": 1}
    assert store.load([run.id for run in runs]) == [members[0].run, runs[1], members[2].run]


def test_what_cannot_be_stored_fails_its_member_alone(store: Store) -> None:
    run = put(store, new(store, "a"))
    unstorable = [
        new(store, "b", input={"when": object()}),
        new(store, "c", input="\ud800"),
        new(store, "d", key="\ud800"),
        move(store, run, f.RunPaused(store.now(), "ann", "\ud800")),
    ]
    *refused, fine = store.append([*unstorable, new(store, "e")])
    assert all(isinstance(each, InputError | WriteFailed) for each in refused)
    assert fine is None
    assert store.load([run.id]) == [run]


def test_a_projection_sees_what_is_recorded_inside_the_commit(store: Store) -> None:
    store.create(metadata)
    seen: list[f.RecordedFact] = []

    def project(connection: Any, recorded: Sequence[f.RecordedFact]) -> None:
        seen.extend(recorded)
        connection.execute(sa.text("INSERT INTO ledger VALUES (:entry, 1)"), {"entry": recorded[0].run.subject.id})

    run = put(store, new(store))
    assert store.append([done(store, run, output=[1])], [project]) == [None]
    ended = next(each for each in seen if isinstance(each.fact, f.AttemptSucceeded))
    assert (ended.output, ended.started_at, ended.run.at("draft").version) == ([1], store.now(), 1)
    assert entries(store) == {"acme": 1}


def test_a_projection_that_fails_fails_its_member_alone(store: Store) -> None:
    store.create(metadata)

    def project(connection: Any, recorded: Sequence[f.RecordedFact]) -> None:
        for name in {each.run.subject.id for each in recorded}:
            connection.execute(sa.text("INSERT INTO ledger VALUES (:entry, 1)"), {"entry": name})
        if any(each.run.subject.id == "b" for each in recorded):
            raise RuntimeError("not b")

    runs = [put(store, new(store, name)) for name in ("a", "b", "c")]
    first, second, third = store.append([done(store, run) for run in runs], [project])
    assert (first, third) == (None, None)
    assert isinstance(second, WriteFailed)
    assert str(second.cause) == "not b"
    assert entries(store) == {"a": 1, "c": 1}


def test_rows_of_attempts_outputs_and_decisions_are_written(store: Store) -> None:
    run = put(store, done(store, put(store, new(store)), output={"b": 2, "a": 1}))
    run = put(store, done(store, run, "edit"))
    decision = f.DecisionMade(store.now(), "print", (), 0, "approved", "ann", "chair", None, {"copies": 3}, "fine")
    run = put(store, move(store, run, decision))
    assert run.status is RunStatus.SUCCEEDED
    attempts = store.read("SELECT phase, number, status, outcome, error FROM phasegate_attempts ORDER BY phase")
    assert [tuple(row.values()) for row in attempts] == [
        ("draft", 1, "succeeded", "done", None),
        ("edit", 1, "succeeded", "done", None),
        ("print", 1, "succeeded", "approved", None),
    ]
    outputs = {row["phase"]: row["body"] for row in store.read("SELECT phase, body FROM phasegate_outputs")}
    assert outputs["draft"] == '{"a":1,"b":2}'
    assert set(outputs) == {"draft", "print"}
    (row,) = store.read("SELECT * FROM phasegate_decisions")
    assert (row["decided_by"], row["role"], row["outcome"], row["comment"]) == ("ann", "chair", "approved", "fine")
    assert (row["answers"], row["round"], row["seq"]) == ('{"copies":3}', 0, run.seq - 2)


def test_a_failed_attempt_keeps_its_error_and_trace(store: Store) -> None:
    run, now = put(store, new(store)), store.now()
    failed = f.AttemptFailed(now, "draft", (), 1, "ValueError", "boom", True, "the trace")
    put(store, move(store, run, f.AttemptStarted(now, "draft", (), 1, "w"), failed))
    (row,) = store.read("SELECT status, error, message, trace FROM phasegate_attempts")
    assert tuple(row.values()) == ("failed", "ValueError", "boom", "the trace")


def test_an_append_without_facts_gives_up_the_lease_and_says_when_to_look_again(store: Store) -> None:
    put(store, new(store))
    run = only(claim(store, "w1"))
    assert store.held("w1") == {run.id: (run.seq, run.epoch)}
    put(store, Append(run, run.seq, (), due_at=store.now(), release=True))
    assert store.held("w1") == {}
    again = only(claim(store, "w2"))
    assert again == run.but(epoch=run.epoch + 1)
    assert len(store.log(run_id=run.id)) == 1


def test_a_final_run_is_held_by_nobody(store: Store) -> None:
    put(store, new(store))
    run = only(claim(store, "w1"))
    run = put(store, move(store, run, f.RunEnding(store.now(), RunStatus.CANCELLED)))
    assert run.finished
    assert store.held("w1") == {}


def test_a_new_run_may_be_leased_from_the_start(store: Store) -> None:
    start = new(store)
    put(store, Append(start.run.but(epoch=1), 0, start.facts, start.instances, due_at=store.now(), holder="w1"))
    assert store.held("w1") == {start.run.id: (start.run.seq, 1)}


def test_many_members_and_many_rows_go_in_one_call(store: Store) -> None:
    starts = [new(store, f"s{number}") for number in range(700)]
    assert store.append(starts) == [None] * 700
    moves = [done(store, start.run, output=number) for number, start in enumerate(starts)]
    assert store.append(moves) == [None] * 700
    assert store.load([start.run.id for start in starts]) == [append.run for append in moves]
    keys = [(start.run.id, "draft", (), 1) for start in starts]
    assert list(store.outputs(keys).values()) == list(range(700))


def test_what_was_answered_is_there_after_opening_again(lasting: Backend, tmp_path: Path) -> None:
    first = lasting.open(tmp_path)
    run: Run = put(first, done(first, put(first, new(first)), output={"kept": True}))
    log = first.log()
    first.close()
    second = lasting.open(tmp_path)
    assert second.load([run.id]) == [run]
    assert second.log() == log
    assert second.outputs([(run.id, "draft", (), 1)]) == {(run.id, "draft", (), 1): {"kept": True}}
    second.close()


def test_the_lease_may_be_given_up_with_the_last_fact(store: Store) -> None:
    put(store, new(store))
    run = only(claim(store, "w1"))
    put(store, done(store, run, release=True))
    assert store.held("w1") == {}
