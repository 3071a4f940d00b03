"""``phasegate purge``: what it says, what it refuses, and what is said of a run that is gone."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate import Engine, InputError, Run, Subject
from phasegate.cli import purging
from phasegate.cli.purging import parse_age
from tests.cli.conftest import Call, Shop
from tests.cli.shop import registry


@pytest.fixture
def ended(shop: Shop) -> list[Run]:
    """Two runs that ended 100 days ago, beside those of the shop, which wait."""
    runs = [shop.engine.start("survey", Subject("person", name)) for name in ("p:2", "p:3")]
    for run in runs:
        shop.engine.cancel(run.id)
    long_ago = (shop.engine.store.now() - timedelta(days=100)).isoformat(timespec="microseconds")
    text = f"UPDATE phasegate_runs SET updated_at = '{long_ago}' WHERE status = 'cancelled'"
    shop.engine.write([(text, {})])
    return runs


def runs(shop: Shop) -> set[str]:
    return {run.id for run in shop.engine.find()}


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    cli: Call, shop: Shop, ended: list[Run], file: Path, tmp_path: Path
) -> None:
    before = runs(shop)
    told = cli("purge", "--older-than", "90d", "--dry-run", "--archive", str(tmp_path / "gone.jsonl"))
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0].split() == ["flow", "status", "runs", "oldest", "newest"]
    assert lines[2].split()[:3] == ["survey", "cancelled", "2"]
    assert lines[-1].startswith("would purge 2 runs with ")
    assert lines[-1].endswith(" of facts and outputs")
    assert runs(shop) == before
    assert not (tmp_path / "gone.jsonl").exists()
    data = cli("purge", "--older-than", "90d", "--dry-run", "--json").data
    assert (data["runs"], data["purged"]["dry_run"], data["purged"]["rows"]["runs"]) == (2, True, 2)


def test_purging_says_what_went_and_where_it_is_now(
    cli: Call, shop: Shop, ended: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "EVERY", 0.0)
    before, archive = runs(shop), tmp_path / "gone.jsonl"
    told = cli("purge", "--older-than", "90d", "--batch", "1", "--archive", str(archive))
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[:2] == ["1 runs purged so far", "2 runs purged so far"]
    assert told.out.splitlines()[-1].startswith("purged 2 runs with ")
    assert told.out.splitlines()[-1].endswith(f"; 2 archived in {archive}")
    assert runs(shop) == before - {run.id for run in ended}
    archived = [json.loads(line)["run"]["id"] for line in archive.read_text().splitlines()]
    assert archived == [run.id for run in ended]
    assert cli("purge", "--older-than", "90d").out == "No runs are old enough.\n"


def test_json_is_one_document(cli: Call, shop: Shop, ended: list[Run], tmp_path: Path) -> None:
    data = cli("purge", "--older-than", "90d", "--json", "--limit", "1", "--archive", str(tmp_path / "a")).data
    assert (data["runs"], data["purged"]["archived"], data["archive"]) == (1, 1, str(tmp_path / "a"))
    assert data["purged"]["groups"][0]["status"] == "cancelled"


def test_flow_status_and_tenant_narrow_it_down(cli: Call, shop: Shop, ended: list[Run]) -> None:
    before = runs(shop)
    for words in (["--flow", "offer"], ["--status", "failed"], ["--tenant", "other"]):
        assert cli("purge", "--older-than", "90d", *words).out == "No runs are old enough.\n"
    assert runs(shop) == before
    words = ["--flow", "survey", "--status", "failed", "--status", "cancelled"]
    assert "purged 2 runs" in cli("purge", "--older-than", "90d", *words).out


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ([], "Missing option '--older-than'", "phasegate purge --help"),
        (["--older-than", "90"], "'90' is not an age", "such as 90d, 12h, 30m, 45s or 2w"),
        (["--older-than", "soon"], "'soon' is not an age", "such as 90d"),
        (["--older-than", "-5d"], "'-5d' is not an age", "such as 90d"),
        (["--older-than", "5 d"], "'5 d' is not an age", "such as 90d"),
        (["--older-than", "٣d"], "is not an age", "such as 90d"),
        (["--older-than", "9" * 400 + "w"], "is not an age", "such as 90d"),
        (["--older-than", "9999999d"], "is too long ago", "number of seconds"),
        (["--older-than", "1d", "--status", "waiting"], "waiting has not ended", "succeeded, failed, cancelled"),
        (["--older-than", "1d", "--status", "done"], "'done' is not one of", "phasegate purge --help"),
        (["--older-than", "1d", "--flow", "survy"], "unknown flow 'survy'", "did you mean 'survey'?"),
        (["--older-than", "1d", "--flow", "survey@1"], "unknown flow 'survey@1'", "did you mean 'survey'?"),
        (["--older-than", "1d", "--archive", "."], "cannot be written: Is a directory", "nothing was deleted"),
        (["--older-than", "1d", "--archive", "no/where"], "cannot be written: No such file", "nothing was deleted"),
        (["--older-than", "1d", "--limit", "0"], "Invalid value for '--limit'", "phasegate purge --help"),
    ],
)
def test_what_cannot_be_purged(
    cli: Call, shop: Shop, ended: list[Run], words: list[str], error: str, hint: str
) -> None:
    before = runs(shop)
    told = cli("purge", *words)
    assert (told.code, told.out) == (2, "")
    first, second = told.err.splitlines()
    assert first.startswith("error: ")
    assert error in first
    assert hint in second
    assert runs(shop) == before


def test_a_database_is_no_archive(cli: Call, shop: Shop, ended: list[Run], file: Path) -> None:
    told = cli("purge", "--older-than", "1d", "--archive", str(file))
    assert (told.code, told.err.splitlines()[0]) == (2, f"error: {file} is not an archive of runs")
    assert {run.id for run in ended} <= runs(shop)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("12h", 43_200), ("90d", 7_776_000), ("2w", 1_209_600), ("1.5h", 5400), ("0d", 0)],
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "d", "1", "1y", "1D", "1d2h", "1e3d", ".5d", "--", "inf", "nan d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(InputError, match="is not an age"):
        parse_age(text)


def test_a_run_that_was_purged_is_not_just_unknown(cli: Call, shop: Shop, ended: list[Run]) -> None:
    cli("purge", "--older-than", "90d")
    for words in (["why", "person:p:2"], ["show", "person:p:2"], ["why", ended[0].id], ["history", ended[0].id[:20]]):
        told = cli(*words)
        assert told.code == 2
        error, hint = told.err.splitlines()
        assert error.startswith("error: unknown ")
        assert "person:p:2 was cancelled in flow 'survey' at " in hint
        assert " and was purged at 20" in hint
        assert f"(run {ended[0].id})" in hint
    assert "again=True" in cli("why", "person:p:2").err
    assert "No runs: person:p:2 was cancelled in flow 'survey'" in cli("runs", "--subject", "person:p:2").out
    assert cli("runs", "--subject", "person:p:2", "--tenant", "other").out == "No runs.\n"
    assert cli("runs", "--subject", "person:p:1", "--status", "failed").out == "No runs.\n"
    with Engine(shop.engine.store.path, registry()) as engine:  # type: ignore[attr-defined]
        assert [stone.run_id for stone in engine.purged(ended[0].subject)] == [ended[0].id]
