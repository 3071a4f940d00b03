"""The commands that look."""

from __future__ import annotations

import pytest

from phasegate import Engine, Subject
from tests.cli.conftest import Call, Shop
from tests.cli.shop import registry


def test_runs_lists_the_newest_first(cli: Call, shop: Shop) -> None:
    ended = cli("runs")
    assert ended.code == 0
    assert ended.err == ""
    listed = [line.split()[0] for line in ended.out.splitlines()[2:]]
    assert listed == [run.id for run in (shop.inventory, shop.survey, shop.budget, shop.failing, shop.offer)]


@pytest.mark.parametrize(
    ("options", "subjects"),
    [
        (["--flow", "offer"], ["client:bolt", "client:acme"]),
        (["--subject", "client:acme"], ["client:acme"]),
        (["--subject", "person:p:1"], ["person:p:1"]),
        (["--status", "failed"], ["client:bolt"]),
        (["--status", "failed", "--status", "waiting", "--flow", "offer"], ["client:bolt", "client:acme"]),
        (["--flow", "offer", "--limit", "1"], ["client:bolt"]),
        (["--status", "cancelled"], []),
    ],
)
def test_runs_are_filtered(cli: Call, shop: Shop, options: list[str], subjects: list[str]) -> None:
    data = cli("runs", "--json", *options).data
    assert [run["subject"] for run in data["runs"]] == subjects
    assert data["more"] is ("--limit" in options)


def test_runs_says_that_there_are_more_or_none(cli: Call, shop: Shop) -> None:
    assert cli("runs", "--limit", "2").out.endswith("More than 2: see them with --limit.\n")
    assert "More than" not in cli("runs", "--limit", "5").out
    assert cli("runs", "--status", "paused").out == "No runs.\n"


def test_one_tenant_does_not_see_the_runs_of_another(cli: Call, shop: Shop) -> None:
    other = shop.engine.start("offer", Subject("client", "other"), tenant="second")
    assert [run["id"] for run in cli("runs", "--tenant", "second", "--json").data["runs"]] == [other.id]
    assert cli("show", other.id).code == 2
    assert cli("show", other.id, "--tenant", "second").code == 0


def test_a_run_is_named_by_id_by_the_beginning_of_it_or_by_subject(cli: Call, shop: Shop) -> None:
    for name in (shop.offer.id, shop.offer.id[:-1], "client:acme"):
        assert cli("show", name, "--json").data["run"]["id"] == shop.offer.id


def test_a_subject_means_its_latest_run(cli: Call, shop: Shop) -> None:
    later = shop.engine.start("budget", Subject("client", "acme"))
    assert cli("show", "client:acme", "--json").data["run"]["id"] == later.id


def test_show_has_every_phase_and_the_gate_with_what_it_shows(cli: Call, shop: Shop) -> None:
    shown = shop.offer.at("release").shown
    assert shown
    ended = cli("show", "client:acme")
    assert ended.code == 0
    words = [line.split() for line in ended.out.splitlines()]
    assert ["draft", "succeeded", "done", "1"] in [line[:4] for line in words]
    assert ["send", "pending"] in words
    assert "gate 2 release Release the offer waits for anybody: approved | rejected" in ended.out
    assert '"text": "offer for acme"' in ended.out
    assert f"phasegate decide {shop.offer.id} release approved --by NAME --seen {shown}" in ended.out


def test_show_as_json_has_phases_attempts_gates_and_what_they_show(cli: Call, shop: Shop) -> None:
    data = cli("show", "client:acme", "--json").data
    assert [phase["status"] for phase in data["phases"]] == ["succeeded", "waiting", "pending"]
    assert [(a["phase"], a["attempt"], a["status"]) for a in data["attempts"]] == [
        ("draft", 1, "succeeded"),
        ("release", 1, "waiting"),
    ]
    [gate] = data["gates"]
    assert gate["seen"] == shop.offer.at("release").shown
    assert gate["shows"] == {"draft": {"text": "offer for acme", "attempt": 1}}
    assert "outputs" not in data
    assert "history" not in data


def test_show_tells_what_an_attempt_failed_of(cli: Call, shop: Shop) -> None:
    [failed] = [a for a in cli("show", "client:bolt", "--json").data["attempts"] if a["status"] == "failed"]
    assert failed["phase"] == "send"
    assert failed["error"] == "FileNotFoundError"
    assert failed["message"] == "there is no paper"
    assert "FileNotFoundError: there is no paper" in cli("show", "client:bolt").out


def test_show_can_add_outputs_and_history(cli: Call, shop: Shop) -> None:
    data = cli("show", "client:acme", "--outputs", "--history", "--json").data
    assert data["outputs"] == {"draft": {"text": "offer for acme", "attempt": 1}}
    assert [fact["seq"] for fact in data["history"]] == list(range(1, shop.offer.seq + 1))
    text = cli("show", "client:acme", "--outputs", "--history").out
    assert "output of draft:" in text
    assert "run.started" in text


def test_gates_inside_an_iteration_show_the_output_of_their_own_item(cli: Call, shop: Shop) -> None:
    gates = cli("show", "store:north", "--json").data["gates"]
    assert [gate["shows"] for gate in gates] == [{"count": 4}, {"count": 6}]
    text = cli("show", "store:north").out
    for gate in gates:
        assert f"--scope {gate['scope'][0]} --seen {gate['seen']}" in text


def test_show_has_the_questions_of_a_phase(cli: Call, shop: Shop) -> None:
    [question] = cli("show", "person:p:1", "--json").data["questions"]
    assert question == {"phase": "interview", "scope": [], "questions": ["which colour?"]}
    assert "which colour?" in cli("show", "person:p:1").out


def test_show_has_the_form_and_who_may_answer(cli: Call, shop: Shop) -> None:
    text = cli("show", "year:next").out
    assert "waits for role chair" in text
    assert '"budget"' in text


def test_why_names_the_reason_and_what_to_do(cli: Call, shop: Shop) -> None:
    reasons = cli("why", "client:acme", "--json").data["reasons"]
    assert [reason["code"] for reason in reasons] == ["gate_open", "needs"]
    text = cli("why", "client:bolt").out
    assert "there is no paper" in text
    assert "hint: retry the run" in text


def test_history_lists_every_fact(cli: Call, shop: Shop) -> None:
    data = cli("history", "client:bolt", "--json").data
    assert [fact["seq"] for fact in data["history"]] == list(range(1, shop.failing.seq + 1))
    assert data["history"][0]["kind"] == "run.started"
    assert data["history"][-1]["kind"] == "run.failed"
    lines = cli("history", "client:bolt").out.splitlines()
    assert sum("decision.made" in line for line in lines) == 1


def test_progress_counts_the_phases(cli: Call, shop: Shop) -> None:
    data = cli("progress", "client:acme", "--json").data
    assert (data["done"], data["total"]) == (1, 3)
    assert data["statuses"]["succeeded"] == 1
    assert "1 of 3 phases done: 1 pending, 1 waiting, 1 succeeded" in cli("progress", "client:acme").out


def test_flows_lists_what_the_database_knows(cli: Call, shop: Shop) -> None:
    assert [flow["name"] for flow in cli("flows", "--json").data["flows"]] == ["budget", "inventory", "offer", "survey"]
    assert [line.split()[:2] for line in cli("flows").out.splitlines()[2:]] == [
        ["budget", "1"],
        ["inventory", "2"],
        ["offer", "1"],
        ["survey", "1"],
    ]


def test_one_flow_is_shown_in_full(cli: Call, shop: Shop) -> None:
    assert "rejected: count" in cli("flows", "inventory").out
    assert cli("flows", "inventory@2", "--json").data["flows"][0]["version"] == 2


def test_a_flow_is_drawn(cli: Call, shop: Shop) -> None:
    drawn = cli("flows", "inventory", "--mermaid")
    assert drawn.out.splitlines() == [
        "flowchart TD",
        '    p0["stock"]',
        '    p1[["count"]]',
        '    p2{"check"}',
        '    p3["report"]',
        '    p0 ==>|"each"| p1',
        '    p0 ==>|"each"| p2',
        "    p1 --> p2",
        '    p2 -.->|"rejected: back, at most 3 times"| p1',
        '    p2 -->|"approved or rejected"| p3',
    ]
    assert cli("flows", "inventory", "--mermaid", "--json").data["mermaid"] == drawn.out.rstrip("\n")


def test_there_may_be_nothing_to_list(cli: Call) -> None:
    Engine(cli("db", "path", "--json").data["database"]).close()
    assert cli("flows").out == "No flows.\n"
    assert cli("workers").out == "No workers.\n"
    assert cli("runs").out == "No runs.\n"
    assert cli("runs", database="sqlite://").out == "No runs.\n"


def test_flows_of_code_that_never_ran_are_shown_too(cli: Call) -> None:
    Engine(cli("db", "path", "--json").data["database"]).close()
    named = cli("flows", "--app", "tests.cli.shop:registry", "--json").data["flows"]
    assert [flow["name"] for flow in named] == [flow.name for flow in registry().flows]


def test_the_version_is_told(cli: Call) -> None:
    assert cli("--version").out.startswith("phasegate ")
    assert cli("--json", "--version").data.keys() == {"version"}


def test_the_database_is_found(cli: Call, file: object) -> None:
    assert cli("db", "path").out == f"{file}\n"
    assert cli("db", "path", database="sqlite://").out == "sqlite://\n"


def test_the_environment_names_the_database(
    cli: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from phasegate.cli import main

    monkeypatch.setenv("PHASEGATE_DATABASE", "sqlite:///elsewhere.db")
    assert main(["db", "path"]) == 0
    assert capsys.readouterr().out == "elsewhere.db\n"
    assert cli("db", "path", database="sqlite:///given.db").out == "given.db\n"


def test_without_words_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    from phasegate.cli import main

    assert main([]) == 0
    assert "Usage: phasegate" in capsys.readouterr().out
