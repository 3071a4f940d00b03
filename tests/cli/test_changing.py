"""The commands that change a run; the work itself is done by the engine of the fixture."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from phasegate import RunStatus, Subject
from tests.cli.conftest import Call, Shop


def last(shop: Shop, run_id: str, kind: str) -> Any:
    return [entry.fact for entry in shop.engine.history(run_id) if entry.fact.kind == kind][-1]


def test_a_decision_with_what_was_seen_lets_the_run_go_on(cli: Call, shop: Shop) -> None:
    seen = str(shop.offer.at("release").shown)
    ended = cli(
        "decide", "client:acme", "2", "approved", "--by", "bea", "--role", "chair", "--seen", seen, "--comment", "fine"
    )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"run {shop.offer.id}  client:acme  is ")
    made = last(shop, shop.offer.id, "decision.made")
    assert (made.by, made.role, made.seen, made.comment) == ("bea", "chair", seen, "fine")
    shop.engine.drain()
    assert shop.engine.get(shop.offer.id).status is RunStatus.SUCCEEDED


def test_the_answers_of_a_form_come_as_json_or_from_a_file(cli: Call, shop: Shop, tmp_path: Path) -> None:
    sheet = tmp_path / "answers.json"
    sheet.write_bytes(b'\xef\xbb\xbf{"budget": 5}')  # with the mark that some editors put first
    decide = ("decide", "year:next", "approve", "approved", "--by", "bea", "--role", "chair")
    refused = cli(*decide, "--answers", '{"budget": "much"}')
    assert refused.code == 2
    assert "budget: 'much' is not of type 'integer'" in refused.err
    assert cli(*decide, "--answers", f"@{sheet}").code == 0
    assert last(shop, shop.budget.id, "decision.made").answers == {"budget": 5}


def test_the_questions_of_a_phase_are_answered(cli: Call, shop: Shop) -> None:
    ended = cli("answer", "person:p:1", "interview", "--by", "bea", "--answers", '{"colour": "red"}', "--json")
    assert ended.data["run"]["id"] == shop.survey.id
    shop.engine.drain()
    assert shop.engine.outputs(shop.survey.id) == {"interview": {"colour": "red"}}


def test_one_item_is_decided_at_a_time(cli: Call, shop: Shop) -> None:
    for gate in cli("show", "store:north", "--json").data["gates"]:
        where = [word for key in gate["scope"] for word in ("--scope", key)]
        ended = cli("decide", "store:north", "check", "approved", "--by", "bea", "--seen", gate["seen"], *where)
        assert ended.code == 0
    shop.engine.drain()
    assert shop.engine.get(shop.inventory.id).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("phase", [[], ["send"], ["3"]])
def test_a_failed_run_is_retried(cli: Call, shop: Shop, tmp_path: Path, phase: list[str]) -> None:
    (tmp_path / "paper").touch()
    assert cli("retry", "client:bolt", *phase, "--json").data["run"]["status"] == "running"
    shop.engine.drain()
    done = shop.engine.get(shop.failing.id)
    assert done.status is RunStatus.SUCCEEDED
    assert done.at("send").attempt == 2


def test_a_phase_is_reset_and_one_is_skipped(cli: Call, shop: Shop) -> None:
    assert cli("reset", "client:acme", "draft", "--reason", "new prices", "--by", "bea").code == 0
    shop.engine.drain()
    assert shop.engine.get(shop.offer.id).at("draft").attempt == 2
    assert cli("skip", "client:acme", "release").code == 2  # a gate is decided, not skipped
    failed = shop.engine.find(subject=Subject("client", "bolt"))[0]
    assert cli("skip", "client:bolt", "send", "--reason", "small offer").code == 0
    shop.engine.drain()
    assert shop.engine.get(failed.id).status is RunStatus.SUCCEEDED
    assert last(shop, failed.id, "phase.skipped").reason == "small offer"


def test_pause_resume_and_cancel(cli: Call, shop: Shop) -> None:
    assert cli("pause", "client:acme", "--reason", "holiday", "--json").data["run"]["status"] == "paused"
    assert cli("why", "client:acme", "--json").data["reasons"][0]["code"] == "paused"
    assert cli("resume", "client:acme", "--json").data["run"]["status"] == "waiting"
    assert cli("cancel", "client:acme", "--by", "bea", "--reason", "withdrawn", "--json").data["run"]["status"] in (
        "running",
        "cancelled",
    )
    shop.engine.drain()
    assert shop.engine.get(shop.offer.id).status is RunStatus.CANCELLED


def test_who_asked_is_recorded(cli: Call, shop: Shop) -> None:
    cli("pause", "client:acme")
    assert last(shop, shop.offer.id, "run.paused").by == getpass.getuser()
    cli("resume", "client:acme", "--by", "bea")
    assert last(shop, shop.offer.id, "run.resumed").by == "bea"


def test_every_command_answers_with_one_json_document(cli: Call, shop: Shop) -> None:
    seen = str(shop.offer.at("release").shown)
    calls: list[tuple[str, ...]] = [
        ("runs",), ("show", "client:acme"), ("why", "client:acme"), ("history", "client:acme"), ("progress", "client:acme"),
        ("flows",), ("flows", "offer"), ("workers",), ("db", "path"), ("db", "current"), ("db", "upgrade"), ("--version",),
        ("pause", "client:acme"), ("resume", "client:acme"), ("reset", "client:acme", "draft"), ("retry", "client:bolt"),
        ("skip", "client:acme", "release"), ("cancel", "client:bolt"),
        ("decide", "store:north", "check", "approved", "--by", "bea", "--seen", seen),
        ("answer", "person:p:1", "interview", "--by", "bea", "--answers", "{}"),
        ("runs", "--limit", "none"), ("show", "nobody"), ("worker", "--app", "phasegate:Registry"), ("no-such-command",),
    ]  # fmt: skip
    for call in calls:
        ended = cli("--json", *call)
        assert isinstance(json.loads(ended.out), dict), call
        assert ("error" in ended.data) is (ended.code != 0), call


def test_global_options_stand_before_or_after_the_command(cli: Call, shop: Shop, file: Path) -> None:
    assert cli("--json", "runs").data == cli("runs", "--json").data
    assert cli("runs", "--database", f"sqlite:///{file}", database="sqlite:///no-such.db").code == 0
