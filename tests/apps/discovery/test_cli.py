"""The command line of discovery: an inventory from the first command to the last, and everything that is typed wrongly."""

from __future__ import annotations

import csv
import inspect
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.discovery import open_engine
from phasegate.apps.discovery.cli import app
from phasegate.cli import main
from tests.apps.discovery.steps import DEVICES, host, hosts, write

Call = Callable[..., tuple[int, str, str]]
WHO = ("--client", "northwind", "--engagement", "q4")
UNKNOWN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PHASEGATE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing in it yet, of which tests have copies, because making one takes a while."""
    file = tmp_path_factory.mktemp("empty") / "empty.db"
    open_engine(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def cli(empty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call a command for the tenant ``WHO``; no call may ever show a traceback, or control what a terminal does."""
    shutil.copy(empty, tmp_path / "discovery.db")

    def call(*words: str, who: tuple[str, ...] = WHO) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--database", f"sqlite:///{tmp_path}/discovery.db", "discovery", *words, *who])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert [c for c in out + err if not (c.isprintable() or c in "\n\t")] == []
        return code, out, err

    return call


def told(cli: Call, *words: str) -> Any:
    """What a command answers as JSON: one document, and nothing beside it."""
    code, out, err = cli(*words, "--json")
    assert (code, err) == (0, ""), out + err
    return json.loads(out)


def waits(cli: Call) -> str | None:
    found: str | None = told(cli, "status")["flow"]["phase_state"].get("waits_for")
    return found


def exported(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


# --- the main job -----------------------------------------------------------------------------------------------------


def test_the_example_by_one_command_after_the_other(cli: Call, tmp_path: Path) -> None:
    code, out, _ = cli("run", str(DEVICES))
    assert code == 0
    assert "72 records brought in" in out
    assert f"phasegate discovery approve {' '.join(WHO)}" in out
    assert "rack_location" in cli("mappings")[1]
    assert cli("edit", "Rack", "location")[0] == 0
    assert cli("reject", "Serial", "--comment", "always empty")[0] == 0
    assert waits(cli) == "field_mapping"
    code, out, _ = cli("approve")
    assert (code, "waits for asset_preview" in out) == (0, True)
    shown = told(cli, "preview")
    assert (len(shown["assets"]), len(shown["seen"])) == (72, 64)
    assert cli("preview", "--after", "70")[1].count("\n") == 5  # heading, rule, two rows, what was seen
    code, out, _ = cli("approve", "--seen", shown["seen"])
    assert (code, "waits for conflict_resolution" in out) == (0, True)
    code, out, _ = cli("conflicts", "--pending")
    assert (code, out.count("PP:MDF"), "raw_import_records_id" in out) == (0, 4, False)
    first, second = told(cli, "conflicts")["conflicts"]
    assert cli("resolve", first["id"], "merge", "--take", "memory_gb")[0] == 0
    assert [each["id"] for each in told(cli, "conflicts", "--pending")["conflicts"]] == [second["id"]]
    code, out, _ = cli("resolve", second["id"], "keep_existing")
    assert (code, out) == (0, "inventory-devices.csv: completed, 100 %\n70 assets: 39 network, 30 other, 1 server\n")
    assert "dmi01-akron-rtr01" in cli("assets", "--type", "network", "--limit", "200")[1]
    assert {
        each["memory_gb"] for each in told(cli, "assets", "--limit", "99")["assets"] if each["name"] == "PP:MDF"
    } == {32}
    assert "72 records, 15 columns" in cli("profile")[1]
    assert cli("skipped")[1] == "nothing was left out\n"
    assert cli("dependencies")[1] == "no dependency is known\n"
    assert cli("debts")[1] == "no debt is known\n"
    assert cli("export", "--to", "out.csv") == (0, "70 assets written to out.csv\n", "")
    rows = exported(tmp_path / "out.csv")
    assert (len(rows), {row["serial_number"] for row in rows}) == (70, {""})
    operations = [each["operation"] for each in told(cli, "audit")["audit"]]
    assert operations == [
        "resolve_conflicts", "resolve_conflicts", "approve_assets", "mappings_approved", "mappings_rejected",
        "edit_mapping", "create",
    ]  # fmt: skip


def test_everything_is_approved_at_once_and_the_same_file_again_gives_nothing_new(cli: Call) -> None:
    for counts in ("70 created, 2 met one that is there", "0 created, 72 met one that is there"):
        code, out, _ = cli("run", str(DEVICES), "--approve-all", "--name", "devices")
        assert code == 0
        assert out.endswith("devices: completed, 100 %\n70 assets: 39 network, 30 other, 1 server\n")
        assert f"\n{counts}, 0 failed, 0 not approved\n" in out
    assert [each["status"] for each in told(cli, "flows")["flows"]] == ["completed", "completed"]
    resolved = told(cli, "conflicts")["conflicts"]
    assert {each["resolution_action"] for each in resolved} == {"keep_existing"}
    assert len(resolved) == 72


def test_what_nobody_can_approve_for_a_person_is_left_to_one(cli: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [{"OS": "Linux", "Zeta": "1"}])
    code, out, _ = cli("run", str(file), "--approve-all")
    assert (code, "waits for field_mapping" in out) == (0, True)
    assert cli("edit", "OS", "name")[0] == 0
    assert cli("approve", "--keep-rest")[0] == 0
    assert cli("approve", "--all")[0] == 0
    assert told(cli, "assets")["assets"][0]["custom_attributes"] == {"Zeta": "1"}


def test_assets_are_approved_one_by_one_with_changes(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(3))))[0] == 0
    assert cli("approve")[0] == 0
    _, second, third = (each["id"] for each in told(cli, "preview")["assets"])
    (tmp_path / "edits.json").write_text(json.dumps({second: {"name": "renamed"}}))
    code, out, _ = cli("approve", second, third, "--edits", "@edits.json")
    assert (code, "2 assets" in out) == (0, True)
    assert "2 created, 0 met one that is there, 0 failed, 1 not approved\n" in out
    assert [each["name"] for each in told(cli, "assets")["assets"]] == ["renamed", "web-002"]


def test_what_validators_remark_is_told(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", [{"Name": "a", "RAM": "8"}])))[0] == 0
    code, out, _ = cli("approve")
    said = "data_cleansing: warning of mapping_completeness: "
    assert (code, said in out, "waits for asset_preview" in out) == (0, True, True), out
    remarks = [line.removeprefix("data_cleansing: warning of ") for line in out.splitlines() if said in line]
    assert told(cli, "status")["details"]["warnings"]["data_cleansing"] == remarks
    code, out, _ = cli("approve", "--all")
    assert (code, "completed" in out, said in out) == (0, True, True)


def test_long_values_are_decided_on(cli: Call, tmp_path: Path) -> None:
    code, out, _ = cli("run", str(write(tmp_path / "a.csv", [host(1, Location="x" * 300)])), "--analysis")
    assert (code, "decide-data" in out) == (0, True)
    for words, said in (
        (("--decide", "Location"), "COLUMN=WORD"),
        (("--decide", "Location=shorten"), "shorten"),
        (("--decide", "Loction=truncate"), "Location"),
        ((), "--decide"),
    ):
        code, out, err = cli("decide-data", *words)
        assert (code, said in err) == (2, True), err
    assert cli("decide-data", "--decide", "Location=truncate", "--stay")[0] == 0
    assert told(cli, "status")["flow"]["status"] == "running"
    assert told(cli, "resume")["status"] == "already_running"
    assert waits(cli) == "field_mapping"


def test_flows_are_stopped_gone_on_with_and_ended(cli: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", hosts(2))
    assert cli("run", str(file))[0] == 0
    assert told(cli, "pause", "--reason", "lunch")["status"] == "paused"
    assert told(cli, "pause")["status"] == "already_paused"
    assert told(cli, "resume")["status"] == "resumed"
    assert told(cli, "resume")["status"] == "waiting_for_approval"
    code, out, _ = cli("execute", "inventory")
    assert (code, "CLEANSING_REQUIRED" in out) == (1, True)
    code, out, _ = cli("execute", "attribute_mapping")
    assert (code, "field_mapping: waiting_for_approval" in out) == (0, True)
    code, _, err = cli("run", str(file))
    assert (code, "cancel" in err) == (2, True), err
    assert told(cli, "cancel", "--reason", "the wrong file")["status"] == "cancelled"
    flow = told(cli, "status")["flow"]["flow_id"]
    assert told(cli, "delete", "--flow", flow)["status"] == "deleted"
    assert cli("flows")[1] == "this tenant has no flow\n"
    assert cli("status")[0] == 2


def test_a_flow_that_failed_ends_with_one_until_it_is_retried(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    assert cli("approve")[0] == 0
    code, out, _ = cli("reject", "--comment", "not these")
    assert (code, "failed" in out) == (1, True)
    code, out, _ = cli("status", "--json")
    assert (code, json.loads(out)["flow"]["status"]) == (1, "failed")


def test_every_command_answers_with_one_json_document(cli: Call, tmp_path: Path) -> None:
    rows = [host(1, Depends_On="db-1", Location="x" * 300), host(2, Name="db-1", OS="CentOS 6"), host(2, Name="db-1")]
    answers: dict[str, Any] = {}

    def ask(*words: str) -> Any:
        answers[words[0]] = told(cli, *words)
        return answers[words[0]]

    assert ask("run", str(write(tmp_path / "a.csv", rows)), "--analysis")["flow"]["awaiting_user_approval"]
    ask("decide-data", "--decide", "Location=skip")
    for words in (("mappings",), ("edit", "Owner", "technical_owner"), ("reject", "CPU"), ("pause",), ("resume",)):
        ask(*words)
    ask("execute", "field_mapping")
    ask("approve")
    ask("preview")
    ask("approve", "--all")
    assert len(ask("conflicts")["conflicts"]) == 1
    ask("resolve", "--all", "replace_with_new")
    assert ask("dependencies")["dependencies"]
    assert ask("debts")["debts"]
    for words in (
        ("status",), ("flows",), ("profile",), ("skipped",), ("assets",), ("export", "--to", "o.csv"), ("audit",),
        ("health",), ("repair",),
    ):  # fmt: skip
        ask(*words)
    assert answers["status"]["flow"]["status"] == "completed"
    ask("run", str(write(tmp_path / "b.csv", hosts(1))))
    ask("cancel")
    ask("delete", "--flow", answers["cancel"]["flow"]["flow_id"])
    missing = set(commands()) - set(answers)
    assert missing == {"retry"}  # which needs a flow that has failed: below


def commands() -> list[str]:
    found = [each.name or (each.callback.__name__ if each.callback else "") for each in app.registered_commands]
    return [name.replace("_", "-") for name in found]


def test_retry_answers_with_one_json_document(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    assert cli("approve")[0] == 0
    code, out, _ = cli("reject", "--comment", "not these", "--json")
    assert (code, json.loads(out)["flow"]["error_phase"]) == (1, "asset_inventory")
    again = told(cli, "retry")
    assert (again["status"], again["flow"]["phase_state"]["waits_for"]) == ("running", "asset_preview")


def test_how_well_flows_are_is_told_and_what_is_ill_ends_with_one(cli: Call, tmp_path: Path) -> None:
    assert cli("health")[1] == "healthy: there is no flow; workers: 0 living, 0 lost\n"
    assert cli("repair")[1] == "there is nothing to repair\n"
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    code, out, _ = cli("health")
    assert (code, out.startswith("healthy: 1 healthy; workers: "), "waits for a person" in out) == (0, True, False)
    assert "it waits for a person: field_mapping" in cli("health", "--all")[1]
    assert cli("approve")[0] == 0
    assert cli("reject", "--comment", "not these")[0] == 1
    code, out, _ = cli("health")
    assert (code, out.startswith("failed: 1 failed; "), "asset_inventory failed" in out) == (1, True, True)
    flow = told(cli, "flows")["flows"][0]["flow_id"]
    assert f"phasegate discovery retry {' '.join(WHO)} --flow {flow}" in out
    planned = told(cli, "repair", "--again", "--dry-run")
    assert [(each["action"], each["done"]) for each in planned["actions"]] == [("retry", False)]
    assert told(cli, "flows")["flows"][0]["status"] == "failed"
    done = told(cli, "repair", "--again")
    assert [(each["action"], each["done"]) for each in done["actions"]] == [("retry", True)]
    assert waits(cli) == "asset_preview"
    assert cli("health")[0] == 0
    assert cli("health", who=("--client", "fabrikam", "--engagement", "q4"))[1].startswith("healthy: there is no flow")


def test_what_became_of_the_rows_is_told_to_programs(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(3))))[0] == 0
    assert "assets" not in told(cli, "approve")  # of the mapping: none is made yet
    first = told(cli, "preview")["assets"][0]["id"]
    made = {"created": 1, "duplicates": 0, "failed": 0, "not_approved": 2}
    assert told(cli, "approve", first)["assets"] == made
    assert cli("cancel")[0] == 2  # it has ended
    again = told(cli, "run", str(write(tmp_path / "b.csv", hosts(1))), "--approve-all")
    assert again["assets"] == {"created": 0, "duplicates": 1, "failed": 0, "not_approved": 0}


def test_what_is_not_shown_is_said(cli: Call, tmp_path: Path) -> None:
    records = [json.dumps(each) for each in hosts(30)] + ["17", "not json", "[1]"]
    (tmp_path / "a.jsonl").write_text("\n".join(records))
    assert cli("run", str(tmp_path / "a.jsonl"))[0] == 0
    assert "1 of 3; --limit N shows more\n" in cli("skipped", "--limit", "1")[1]
    assert "shows more" not in cli("skipped", "--limit", "3")[1]
    shown = told(cli, "skipped", "--limit", "2")
    assert (len(shown["skipped"]), shown["total"]) == (2, 3)
    assert cli("approve")[0] == 0
    assert "7 of 30; --limit N shows more\n" in cli("preview", "--limit", "7")[1]
    assert "shows more" not in cli("preview", "--limit", "30")[1]
    assert "shows more" not in cli("preview", "--after", "23", "--limit", "7")[1]
    shown = told(cli, "preview", "--limit", "7")
    assert (len(shown["assets"]), shown["total"]) == (7, 30)


def test_questions_say_of_how_many_rows_they_show_the_first(
    cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.csv", hosts(30))
    assert (
        cli("run", str(file), "--approve-all")[1].count(f"10 of 30; phasegate discovery preview {' '.join(WHO)}") == 1
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("approve\nyes\nkeep_existing\n"))
    code, out, _ = cli("run", str(file), "--interactive")
    assert (code, "[make all 30 assets: yes, no, quit]" in out) == (0, True)
    assert f"20 of 30; phasegate discovery preview {' '.join(WHO)} --limit N shows more\n" in out
    assert f"20 of 30; phasegate discovery conflicts {' '.join(WHO)} shows more\n" in out
    assert "0 created, 30 met one that is there, 0 failed, 0 not approved\n" in out


def test_an_approval_is_refused_when_somebody_has_edited_the_mapping_since(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    seen = told(cli, "mappings")["seen"]
    assert f"seen: {seen}\n" in cli("status")[1]
    assert cli("edit", "Owner", "support_group", "--by", "bob")[0] == 0
    code, _, err = cli("approve", "--seen", seen)
    assert (code, "has changed since you saw it" in err) == (1, True)
    new = told(cli, "status")
    assert new["flow"]["phase_state"]["seen"] == new["details"]["phase_state"]["seen"] != seen
    assert f"seen: {new['flow']['phase_state']['seen']}\n" in cli("mappings")[1]
    assert cli("approve", "--seen", new["flow"]["phase_state"]["seen"])[0] == 0
    assert waits(cli) == "asset_preview"


def test_a_paused_flow_says_that_resume_goes_on(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    assert cli("pause")[0] == 0
    resume = f"phasegate discovery resume {' '.join(WHO)}"
    assert resume in cli("status")[1]
    assert cli("approve")[0] == 0
    assert resume in cli("status")[1]
    assert cli("resume")[0] == 0
    assert waits(cli) == "asset_preview"
    assert resume not in cli("status")[1]


def test_a_flow_whose_columns_are_all_decided_on_says_that_resume_goes_on(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    with closing(sqlite3.connect(tmp_path / "discovery.db")) as connection:  # as two people at once leave it
        connection.execute("UPDATE import_field_mappings SET status = 'approved'")
        connection.commit()
    out = cli("status")[1]
    resume = f"phasegate discovery resume {' '.join(WHO)} goes on"
    assert (resume in out, "waits for field_mapping" in out) == (True, False)
    assert cli("resume")[0] == 0
    assert waits(cli) == "asset_preview"


# --- in the terminal --------------------------------------------------------------------------------------------------


def typed(folder: Path, file: Path, *answers: str) -> subprocess.CompletedProcess[str]:
    """Run a file with decisions asked for in a terminal, as a person would type them."""
    program = [sys.executable, "-m", "phasegate", "--database", f"sqlite:///{folder}/typed.db", "discovery"]
    return subprocess.run(
        [*program, "run", str(file), "--interactive", *WHO, "--by", "ann"],
        input="".join(f"{each}\n" for each in answers), capture_output=True, text=True, cwd=folder,
    )  # fmt: skip


def test_decisions_are_asked_for_again_until_they_can_be_carried_out(tmp_path: Path) -> None:
    extra = {"Kiste = alt": "7", "Notiz": "x"}
    rows = [host(1, Location="x" * 300) | extra, host(2) | extra, host(2) | extra]
    done = typed(
        tmp_path, write(tmp_path / "a.csv", rows),
        "shorten", "truncate",
        "perhaps", "Kiste = alt=rack_locatio", "Kist=rack_location", "Kiste = alt=rack_location", "reject Nowhere",
        "reject CPU", "approve", "keep the rest",
        "maybe", "yes",
        "erase", "keep_existing",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for said in (
        "Location: 1 values are longer than 100, up to 300", "'perhaps' is none of the answers", "did you mean 'rack_location'?",
        "there is no mapping 'Kist'", "there is no mapping 'Nowhere'", "'Notiz' has no target yet",
        "[make all 3 assets: yes, no, quit]", "'maybe' is none of the answers", "[for all 1 of them: ",
        "there is no action 'erase'", "a.csv: completed, 100 %", "2 assets: 2 server",
    ):  # fmt: skip
        assert said in done.stdout, said
    assert done.stdout.count("[split, truncate, skip, keep, quit]") == 2


@pytest.mark.parametrize(
    ("answers", "code"),
    [(("quit",), 0), ((), 130), (("approve", "no", "the wrong file"), 1)],
    ids=["quit", "end", "no"],
)
def test_a_person_can_stop_at_every_question(
    cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...], code: int
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{each}\n" for each in answers)))
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))), "--interactive")[0] == code
    (flow,) = told(cli, "flows")["flows"]
    assert flow["status"] == ("failed" if code == 1 else "waiting_for_approval")  # nothing was decided unasked


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (bytes(range(256)) * 9, "binary file"),
        (b"Name,OS\n", "no rows"),
        (b"1,2,3\n4,5,6\n", "mere numbers"),
        (b"\x1f\x8b\x08", "unpack it first"),
    ],
    ids=["missing", "empty", "binary", "header only", "numbers", "packed"],
)
def test_a_file_that_cannot_be_an_inventory_is_refused(
    cli: Call, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "in\x1b[31mput.csv"
    if content is not None:
        file.write_bytes(content)
    code, out, err = cli("run", str(file))
    assert (code, out, said in err) == (2, "", True), err
    code, out, _ = cli("run", str(file), "--json")
    assert (code, said in json.loads(out)["error"]["message"]) == (2, True)
    assert told(cli, "flows")["flows"] == []


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ((), "--client"),
        (("--client", "northwind"), "--engagement"),
        (("--engagement", "q4"), "--client"),
        (("--client", "", "--engagement", "q4"), "client_account_id"),
        (("--client", "northwind", "--engagement", " "), "engagement_id"),
        (("--client", "north\x1b[31mwind", "--engagement", "q4"), "client_account_id"),
    ],
    ids=["neither", "no engagement", "no client", "empty", "blank", "control characters"],
)
@pytest.mark.parametrize("words", [("run", str(DEVICES)), ("status",), ("assets",)])
def test_without_a_tenant_nothing_is_done(cli: Call, who: tuple[str, ...], said: str, words: tuple[str, ...]) -> None:
    code, _, err = cli(*words, who=who)
    assert (code, said in err) == (2, True), err


def test_every_command_belongs_to_a_tenant() -> None:
    for each in app.registered_commands:
        assert each.callback is not None
        assert {"client", "engagement"} <= set(inspect.signature(each.callback).parameters), each.callback.__name__


def test_flows_of_another_client_are_not_there(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    flow = told(cli, "status")["flow"]["flow_id"]
    before = told(cli, "audit"), told(cli, "mappings")
    others = ("--client", "fabrikam", "--engagement", "q4")
    named = [(name, "--flow", flow) for name in ("status", "approve", "mappings", "cancel", "delete", "preview")]
    for words in (*named, ("status",), ("status", "--flow", UNKNOWN), ("status", "--flow", "17")):
        code, _, err = cli(*words, who=others)
        assert (code, "no flow" in err) == (2, True), err
    assert cli("assets", who=others)[1] == "there are no assets\n"
    assert cli("flows", who=others)[1] == "this tenant has no flow\n"
    assert (told(cli, "audit"), told(cli, "mappings")) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("edit", "Nmae", "name"), "did you mean 'Name'?"),
        (("edit", "Name", "hostnam"), "did you mean 'hostname'?"),
        (("edit", "Name", "UNMAPPED"), "choose a field"),
        (("edit", "Name", "\x1b[31m"), "is not a field name"),
        (("edit", "Name"), "FIELD"),
        (("approve", "Nmae"), "did you mean 'Name'?"),
        (("approve", "Zeta"), "has no target yet"),
        (("approve", "--seen", "abc"), "has changed since you saw it"),
        (("approve", "--all"), "the flow waits for its mapping"),
        (("approve", "Name", "Nowhere"), "no mapping 'Nowhere'"),
        (("reject", "Zetta"), "did you mean 'Zeta'?"),
        (("reject",), "name the columns"),
        (("resolve", "--all", "keep_existing"), "does not wait for conflict_resolution"),
        (("resolve",), "name a conflict and an action"),
        (("resolve", "x"), "name a conflict and an action"),
        (("decide-data", "--decide", "Name=keep"), "does not wait for data_validation"),
        (("execute", "cleansing_data"), "data_cleansing"),
        (("execute", "data_cleansing", "--without", "nothing"), "must be complete"),
        (("preview",), "0 of 2 rows are cleansed"),
        (("retry",), "has not failed"),
        (("status", "--flow", "17"), "is no flow id"),
        (("assets", "--limit", "0"), "--limit"),
        (("assets", "--limit", "9" * 30), "--limit"),
        (("assets", "--offset", "9" * 30), "--offset"),
        (("preview", "--after", "9" * 30), "--after"),
        (("export", "--to", "/proc/nowhere.csv"), "cannot be written"),
        (("export", "--to", "."), "name a file"),
        (("export", "--to", "nowhere/out.csv"), "its folder does not exist"),
        (("export",), "--to"),
        (("run", str(DEVICES), "--interactive", "--approve-all"), "excludes"),
        (("run", str(DEVICES), "--interactive", "--json"), "excludes"),
        (("run",), "FILE"),
        (("aprove",), "aprove"),
    ],
)
def test_what_does_not_fit_changes_nothing(
    cli: Call, tmp_path: Path, waiting: Mapping[str, Path], words: tuple[str, ...], said: str
) -> None:
    database = Path(shutil.copy(waiting["field_mapping"], tmp_path / "discovery.db"))
    before = rows_of(database)
    code, out, err = cli(*words)
    assert code == (1 if "--seen" in words or words[:2] == ("execute", "data_cleansing") else 2), out + err
    assert said in out + err, err
    assert rows_of(database) == before
    assert list(tmp_path.glob("**/*.csv")) == []


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Databases with one flow each, by what it waits for."""
    folder = tmp_path_factory.mktemp("waiting")
    mapping, preview = folder / "mapping.db", folder / "preview.db"
    file = write(folder / "a.csv", [{**each, "Zeta": "z"} for each in hosts(2)])
    assert main(["--database", f"sqlite:///{mapping}", "discovery", "run", str(file), *WHO]) == 0
    shutil.copy(mapping, preview)
    assert main(["--database", f"sqlite:///{preview}", "discovery", "approve", "--keep-rest", *WHO]) == 0
    return {"field_mapping": mapping, "asset_preview": preview}


def rows_of(database: Path) -> dict[str, list[Any]]:
    """Everything in a database but what was asked for."""
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: connection.execute(f'SELECT * FROM "{name}"').fetchall()
            for name in tables
            if name not in ("flow_audit", "sqlite_sequence")
        }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("approve", "nothing"), "no asset of this preview"),
        (("approve", "--edits", "{"), "not JSON"),
        (("approve", "--edits", "[1]"), "one JSON object"),
        (("approve", "--edits", "@nowhere.json"), "cannot be read"),
        (("approve", "--all", "--edits", '{"x": {"name": "y"}}'), "no asset of this preview"),
        (("approve",), "say which"),
        (("approve", "--keep-rest"), "approve --client northwind --engagement q4 --all makes all of them"),
        (("approve", "nothing", "--all"), "or say --all"),
        (("approve", "--edits", "nonsense"), "--edits is not JSON"),
        (("approve", "--edits", "nonsense"), "such as --edits '{"),
        (("approve", "--edits", '{"x": 1}'), "object of objects"),
        (("approve", "--seen", "abc"), "changed"),
        (("reject", "Name"), "all together"),
        (("edit", "Name", "hostname"), "does not wait for field_mapping"),
    ],
)
def test_what_does_not_fit_the_preview_makes_no_assets(
    cli: Call, tmp_path: Path, waiting: Mapping[str, Path], words: tuple[str, ...], said: str
) -> None:
    database = Path(shutil.copy(waiting["asset_preview"], tmp_path / "discovery.db"))
    before = rows_of(database)
    code, out, err = cli(*words)
    assert (code, said in err) == (1 if "--seen" in words else 2, True), out + err
    assert rows_of(database) == before


def test_approving_twice_is_refused_the_second_time(cli: Call, tmp_path: Path) -> None:
    assert cli("run", str(write(tmp_path / "a.csv", hosts(2))))[0] == 0
    flow = told(cli, "status")["flow"]["flow_id"]
    seen = told(cli, "status")["flow"]["phase_state"]["seen"]
    assert cli("approve", "--seen", seen)[0] == 0
    code, _, err = cli("approve", "--seen", seen)  # what was seen is not what would be approved now
    assert (code, "changed" in err) == (1, True), err
    assert cli("approve", "--all", "--flow", flow)[0] == 0
    code, _, err = cli("approve", "--flow", flow)
    assert (code, "waits neither for" in err) == (2, True), err
    assert len(told(cli, "assets")["assets"]) == 2


@pytest.mark.parametrize("words", [("status",), ("approve",), ("assets",), ("export", "--to", "x.csv"), ("flows",)])
def test_a_mistyped_database_is_refused_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    empty, text = tmp_path / "empty.db", tmp_path / "text.db"
    empty.touch()
    text.write_text("a text of somebody else, and longer than the head of a database\n" * 9)
    for name, said in (
        ("nowhere.db", "there is no database"),
        ("empty.db", "no tables of phasegate"),
        ("text.db", "text.db"),
    ):
        code = main(["--database", f"sqlite:///{tmp_path}/{name}", "discovery", *words, *WHO])
        out, err = capsys.readouterr()
        assert (code in (1, 2), said in err, "Traceback" in out + err) == (True, True, False), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.db", "text.db"]
    assert (empty.stat().st_size, text.read_text().startswith("a text")) == (0, True)


# --- what is in the data ----------------------------------------------------------------------------------------------


def test_data_neither_controls_the_terminal_nor_a_spreadsheet(cli: Call, tmp_path: Path) -> None:
    """That no command writes a control character is seen to by the fixture."""
    red, title = "\x1b[31mred\x1b[0m", "\x1b]0;owned\x07"
    row = {
        "Name": f"=cmd|' /C calc'!A0 {red}",
        "Zeta\x1b[2J": title,
        "Owner": f"+1+1\u202e{red}",
        "Notes": "[bold]x[/bold]",
    }
    code, out, _ = cli("run", str(write(tmp_path / "a.csv", [row, dict.fromkeys(row, "")])), "--name", f"n {red}")
    assert (code, r"Zeta\x1b[2J" in out) == (0, True)
    for words in (
        ("mappings",),
        ("profile",),
        ("skipped",),
        ("approve", "--keep-rest"),
        ("preview",),
        ("approve", "--all"),
    ):
        assert cli(*words)[0] == 0, words
    assert "[bold]" in json.dumps(told(cli, "assets"))
    for words in (("assets",), ("flows",), ("audit",), ("status",), ("conflicts",)):
        assert cli(*words)[0] == 0, words
    assert cli("export", "--to", "out.csv")[0] == 0
    (row,) = exported(tmp_path / "out.csv")
    assert row["name"].startswith("'=cmd")
    assert row["business_owner"].startswith("'+1+1")
    assert not [cell for cell in (*row, *row.values()) if cell and cell[0] in "=+-@\t\r"]
