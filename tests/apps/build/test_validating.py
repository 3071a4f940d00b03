"""What validating gives: the diff people read, however long or awkward the texts, and what of the deliverables is there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from phasegate.apps.build import statements as q
from phasegate.apps.build.applying import staging
from phasegate.apps.build.differences import Piece, shown, unified
from phasegate.apps.build.health.context import CheckResult
from phasegate.apps.build.opening import history_problem
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, FileFacts
from phasegate.apps.build.stages import validating
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]


def patched(before: str, diff: list[str]) -> str:
    """The text that a diff of it leads to; every line the diff claims to be there is."""
    old, new, at = before.split("\n"), list[str](), 0
    for line in diff[2:]:
        if line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            place = int(start) - (count != "0")
            new, at = new + old[at:place], place
        elif line[0] in " -":
            assert old[at] == line[1:-1]
            at += 1
        new += [line[1:-1]] if line[0] in " +" else []
    return "\n".join(new + old[at:])


LINES = st.lists(st.sampled_from(["a", "b", "c", "", "one", "two", "three", "four"]), max_size=40).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@given(LINES, LINES)
@settings(max_examples=300)
def test_a_diff_leads_from_one_text_to_the_other(before: str, after: str) -> None:
    diff = list(unified(before, after, "a/x", "b/x"))
    assert patched(before, diff) == after
    assert bool(diff) == (before != after)


def test_a_text_that_repeats_itself_is_shown_as_one_block_removed_and_one_added() -> None:
    """Comparing these line by line took half a minute."""
    before = "".join(f"line {number % 200}\n" for number in range(8_000))
    after = "first\n" + "".join(f"line {number * 7 % 200}\n" for number in range(8_000))
    head, _, range_, *lines = unified(f"top\n{before}", f"top\n{after}", "a/x", "b/x")
    assert (head, range_) == ("--- a/x\n", "@@ -1,8001 +1,8002 @@\n")
    assert [line[0] for line in lines] == [" "] + ["-"] * 8_000 + ["+"] * 8_001
    assert patched(f"top\n{before}", [head, "", range_, *lines]) == f"top\n{after}"


def test_a_long_text_with_many_small_changes_is_compared_piece_by_piece() -> None:
    """Lines that are the same stand alone, so that a comparison of everything with everything would take half a minute."""
    before = "".join(f"same {number}\nold {number}\n" for number in range(10_000))
    diff = list(unified(before, before.replace("old", "new"), "a/x", "b/x"))
    assert sum(line.startswith(" ") for line in diff) == 10_000


def test_changes_far_apart_in_a_file_with_many_blank_lines_stay_small() -> None:
    before = "".join(f"def f{number}():\n    return None\n\n\n" for number in range(1_000))
    after = before.replace("def f2()", "def g2()").replace("def f990()", "def g990()")
    diff = list(unified(before, after, "a/x", "b/x"))
    assert [line for line in diff[2:] if line[0] in "+-"] == [
        "-def f2():\n", "+def g2():\n", "-def f990():\n", "+def g990():\n",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")
def test_the_diff_is_one_that_patch_understands(tmp_path: Path) -> None:
    before, after = "one\ntwo\x0cstill two\nthree\nfour\nfive", "zero\none\ntwo\x0cstill 2\nthree\nfour\nfive\nsix"
    (tmp_path / "x").write_text(before)
    done = subprocess.run(
        ["patch", "-p1"],
        input="".join(unified(before, after, "a/x", "b/x")),
        text=True,
        capture_output=True,
        cwd=tmp_path,
    )
    assert (done.returncode, (tmp_path / "x").read_text()) == (0, after), done


def test_a_file_with_carriage_returns_is_compared_by_its_lines() -> None:
    facts = FileFacts("x.txt", "0" * 64, newline="\r\n")
    planned = staging.plan([Change("x.txt", "modify", "one\n2\nthree\n")], {"x.txt": facts}, Policy())
    assert planned[0].data == b"one\r\n2\r\nthree\r\n"
    (found,) = validating.difference(planned, {"x.txt": "one\ntwo\nthree\n"})
    assert found.text.splitlines()[3:] == [" one", "-two", "+2", " three"]


def test_what_is_cut_says_what_is_missing_and_shows_short_files_first() -> None:
    pieces = [
        Piece("long.py", "+long\n" * 50, 1_300),
        Piece("short.py", "+short\n", 7),
        Piece("next.py", "+n" * 400, 800),
    ]
    text = shown("modify long.py (+50 -0)", pieces, 132, more="; more elsewhere")
    assert text == (
        "modify long.py (+50 -0)\n+short\n" + "+n" * 50 + "+"
        "\n... not shown: 699 characters of next.py, 1,300 characters of long.py; more elsewhere\n"
    )  # fmt: skip
    assert shown("modify short.py (+1 -0)", pieces[1:2], 132, more="x") == "modify short.py (+1 -0)\n+short\n"


def test_no_part_of_a_secret_is_left_where_a_diff_is_cut() -> None:
    line = "+password: correct-horse-battery\n"
    for most in range(1, 42):
        assert "corr" not in shown("", [Piece("a.py", line, len(line))], most)


def test_of_many_files_that_are_not_shown_only_some_are_named() -> None:
    text = shown("", [Piece(f"{number}.py", "+x\n", 3) for number in range(100)], 0)
    assert text.endswith("3 characters of 9.py, 270 characters of 90 more files\n")


def test_a_diff_that_is_not_kept_whole_says_so(executor: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validating, "MOST_DIFF", 100)
    told: list[Any] = []
    made = executor(Scripted(files(("create", "new.txt", "line\n" * 100))), event_sink=told.append)
    assert made.execute_phase(phase(deliverables=["new.txt"]))["status"] == "succeeded"
    (diff,) = (each["diff"] for each in told if each["type"] == "validated")
    assert diff.startswith("create new.txt (+100 -0)\n--- /dev/null\n+++ b/new.txt\n")
    assert diff.splitlines()[-1] == "... not shown: 571 characters of new.txt"


# --- deliverables -----------------------------------------------------------------------------------------------------


def second_prompt(model: Scripted) -> str:
    assert model.calls >= 2
    return model.requests[1].user


def test_a_deliverable_given_as_it_is_on_disk_is_not_told_as_missing(executor: Make) -> None:
    wanted = ["README.md", "docs/", "NEW.txt"]
    incomplete = files(("modify", "README.md", "# App\n"), ("create", "docs/a.md", "A.\n"))
    model = Scripted(incomplete, files(("create", "docs/a.md", "A.\n"), ("create", "NEW.txt", "x\n")))
    PhaseOrchestrator(executor(model), max_retries=1, enable_health_checks=False).run_phases(
        [phase(deliverables=wanted, context_files=["README.md"])]
    )
    assert "Deliverables in the last answer:\n✗ NEW.txt\n✓ README.md\n✓ docs/\n" in second_prompt(model)


def test_after_a_failing_check_the_deliverables_are_told(executor: Make) -> None:
    def never(context: Any) -> CheckResult:
        there = (context.root.path / "NEW.txt").exists()
        return CheckResult("mine", "fail" if there else "pass", "NEW.txt is there" if there else "")

    model = Scripted(files(("create", "NEW.txt", "x\n")))
    made = executor(model, checks=[never])
    PhaseOrchestrator(made, max_retries=1).run_phases([phase(deliverables=["NEW.txt"])])
    assert "NEW.txt is there" in second_prompt(model)
    assert "Deliverables in the last answer:\n✓ NEW.txt\n" in second_prompt(model)


# --- the database of the history --------------------------------------------------------------------------------------


def test_only_a_whole_look_at_the_history_reads_all_of_it(
    executor: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, database = executor(Scripted("nothing")).engine, tmp_path / "build.db"
    read, asked = engine.read, list[Any]()

    def reading(statement: Any) -> Any:
        asked.append(statement)
        return read(statement)

    monkeypatch.setattr(engine, "read", reading)
    assert history_problem(engine, database, whole=False) is None
    assert asked == [q.META]
    assert history_problem(engine, database, whole=True) is None
    assert "PRAGMA quick_check(1)" in asked
