"""Executors of somebody else's: whatever they return or raise is a result, and they work in the thread of who asked."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build import PhaseOrchestrator
from phasegate.apps.build.foreign import ForeignChecks
from phasegate.apps.build.results import of_foreign, phase_result
from phasegate.errors import InputError
from tests.apps.build.models import phase

KEYS = set(phase_result())
DETAIL = {"code": "X", "category": "model", "message": "said"}


class Doing:
    """An executor that does what it is told, phase by phase, the last again and again."""

    def __init__(self, *does: Callable[[], Any]) -> None:
        self.does, self.calls = does, 0

    def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
        self.calls += 1
        return self.does[min(self.calls, len(self.does)) - 1]()


def good() -> dict[str, Any]:
    return {"success": True, "files_changed": [], "summary": "s", "errors": [], "token_usage": 1}


def run(executor: Any, count: int = 1, *, retries: int = 0, **more: Any) -> dict[str, Any]:
    phases = [phase(phase_id=f"p{number}", **more) for number in range(count)]
    made = PhaseOrchestrator(executor, retries, enable_health_checks=hasattr(executor, "repo_root"))
    return made.run_phases(phases, stop_on_failure=False)


def returning(*values: Any) -> list[dict[str, Any]]:
    """The results of phases for which an executor returns these values; each has been looked at."""
    result = run(Doing(*((lambda value=value: value) for value in values)), len(values))
    assert (len(result["phase_results"]), result["skipped_phases"]) == (len(values), 0)
    json.dumps(result, allow_nan=False, ensure_ascii=False).encode()
    for told in result["phase_results"]:
        assert set(told) >= KEYS
        assert bool(told["errors"]) is not told["success"]
        assert all(each.keys() >= DETAIL.keys() | {"retryable", "path"} for each in told["error_details"])
    return list(result["phase_results"])


# --- what it returns and raises ---


class Unreadable(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("cannot be read")

    def __iter__(self) -> Any:
        raise RuntimeError("cannot be read")

    def __len__(self) -> int:
        return 1


def test_no_executed_phase_disappears_whatever_was_returned() -> None:
    deep: list[Any] = []
    deep.append(deep)
    odd = [
        {"error_details": [{"code": "X"}, 5, DETAIL]}, {"success": True, "files_changed": ["b", ["a"], 5, Path("c")]},
        {"success": True, "extra": object(), "cycle": deep, 5: b"x", "\ud800": "\udfff"}, {"summary": "half \ud800"},
        Unreadable(), {"success": True, "token_usage": 2**70, "duration": float("nan"), "tokens": {"prompt": "x"}},
        {"status": "skipped", "stopped": True}, {"status": "no such status"}, {"success": True, "changes": [5, {"path": "a"}]},
    ]  # fmt: skip
    told = returning(*odd)
    assert [each["success"] for each in told] == [False, True, True, False, False, True, False, False, True]
    assert told[0]["errors"] == ["X", "5", "said"]
    assert told[0]["error_details"] == [{
        **DETAIL, "retryable": True, "path": None, "details": {}, "signature": "X||said",
    }]  # fmt: skip
    assert told[1]["files_changed"] == ["b", "c"]
    assert "cannot be read" in told[4]["errors"][0]
    assert (told[5]["token_usage"], told[5]["tokens"]["prompt"]) == (0, 0)
    assert (told[6]["status"], told[7]["status"], told[8]["changes"]) == ("failed", "failed", [{"path": "a"}])


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (("bad",), ["bad"]), ("bad", ["bad"]), ({"bad"}, ["bad"]), ([ValueError("bad")], ["ValueError: bad"]),
        ([{"message": "bad"}, 5, ""], ["bad", "5"]), ([["bad"]], ["['bad']"]),
    ],
    ids=["tuple", "text", "set", "exception", "mixed", "nested"],
)  # fmt: skip
def test_no_error_is_lost_for_its_type(errors: Any, said: list[str]) -> None:
    assert of_foreign({"errors": errors}, "p")["errors"] == said
    well = of_foreign({"errors": errors, "success": True}, "p")
    assert (well["errors"], [each.rpartition("says: ")[2] for each in well["warnings"]]) == ([], said)


def test_errors_stand_beside_those_with_details() -> None:
    told = of_foreign({"errors": ["one", "said"], "error_details": [DETAIL]}, "p")
    assert told["errors"] == ["one", "said"]


class Silent(Exception):
    """An exception that does not say what it is about."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), Silent(), ValueError("\ud800")])
def test_what_an_executor_raises_is_a_result(error: BaseException) -> None:
    def fail() -> Any:
        raise error

    (told,) = run(Doing(fail))["phase_results"]
    assert (told["success"], type(error).__name__ in told["errors"][0]) == (False, True)
    json.dumps(told, ensure_ascii=False).encode()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=3)
    | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.sampled_from(sorted(DETAIL)), inner, max_size=4)
    ),
    max_leaves=6,
)
RETURNED = VALUES | st.dictionaries(st.sampled_from([*sorted(KEYS), "more"]), VALUES, max_size=8)


@settings(max_examples=8)
@given(st.lists(RETURNED | st.builds(lambda value: {**value, "success": True}, st.dictionaries(
    st.sampled_from(sorted(KEYS)), VALUES, max_size=8)), min_size=1, max_size=8))  # fmt: skip
def test_every_executed_phase_has_one_result(values: list[Any]) -> None:
    told = returning(*values)
    expected = [isinstance(each, dict) and each.get("success") is True for each in values]
    assert [each["success"] for each in told] == expected


@settings(max_examples=300)
@given(RETURNED)
def test_a_result_is_always_complete_and_json(value: Any) -> None:
    told = of_foreign(value, "p")
    json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
    assert (set(told) >= KEYS, bool(told["errors"])) == (True, not told["success"])
    assert of_foreign(told, "p") == told


@pytest.mark.parametrize("wanted", [5.5, {"a": "b"}, [["a"]], True])
def test_what_a_phase_depends_on_is_a_list(wanted: Any) -> None:
    executor = Doing(good)
    result = run(executor, 2, depends_on=wanted)
    assert [each["error_details"][0]["code"] for each in result["phase_results"]] == ["E_SPEC_TYPE"] * 2
    assert executor.calls == 0


def test_a_phase_that_cannot_even_be_checked_has_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasegate.apps.build.stages.foreign.id_of", lambda raw, number: 1 / 0)
    result = run(Doing(good), 2)
    assert result["phase_results"]
    assert all(each["errors"] and each["status"] == "failed" for each in result["phase_results"])


def test_phases_may_be_called_by_numbers() -> None:
    result = PhaseOrchestrator(Doing(good), 0, False).run_phases([phase(phase_id=1), phase(phase_id=2, depends_on=[1])])
    assert [(each["phase_id"], each["success"]) for each in result["phase_results"]] == [("1", True), ("2", True)]


def test_there_are_no_earlier_runs_of_another_executor() -> None:
    with pytest.raises(InputError, match="no run of this executor"):
        PhaseOrchestrator(Doing(good)).run_phases([phase()], run_id="r1")


# --- where and when it works ---


def test_an_executor_works_in_the_thread_of_who_asked() -> None:
    connection, mine = sqlite3.connect(":memory:"), threading.local()
    mine.value = 7

    def work() -> dict[str, Any]:
        before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, before)
        asyncio.run(asyncio.sleep(0))
        (number,) = connection.execute("SELECT 1").fetchone()
        return good() | {"summary": f"{number} {mine.value} {threading.current_thread().name}"}

    (told,) = run(Doing(work))["phase_results"]
    connection.close()
    assert told["summary"] == f"1 7 {threading.current_thread().name}", told["errors"]


def test_an_executor_may_be_asked_by_whoever_runs_an_event_loop() -> None:
    async def ask() -> Any:
        return run(Doing(lambda: good() | {"summary": str(asyncio.get_running_loop() is loop)}))

    loop = asyncio.new_event_loop()
    (told,) = loop.run_until_complete(ask())["phase_results"]
    loop.close()
    assert told["summary"] == "True"


def test_an_executor_may_promise_its_result() -> None:
    class Later(Doing):
        async def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
            await asyncio.sleep(0)
            return super().execute_phase(phase_spec, context_files, protected_paths)

    def broken() -> Any:
        raise ValueError("went wrong")

    async def ask() -> Any:
        return run(Later(good))

    results = run(Later(good, broken), 2)["phase_results"] + asyncio.run(ask())["phase_results"]
    assert [each["errors"] for each in results] == [[], ["The executor raised ValueError: went wrong"], []]


def test_a_call_may_take_longer_than_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEGATE_LEASE", "0.1")

    def slow() -> dict[str, Any]:
        time.sleep(0.5)  # what takes time, and lets nobody else work on the run
        return good()

    executor = Doing(slow, good)
    assert (run(executor, 2)["successful_phases"], executor.calls) == (2, 2)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError])
def test_what_interrupts_an_executor_is_raised_and_nothing_follows(interrupt: type[BaseException]) -> None:
    def fail() -> Any:
        raise interrupt

    executor, before = Doing(fail), set(threading.enumerate())
    with pytest.raises(interrupt):
        run(executor, 3, retries=2)
    assert executor.calls == 1
    assert not [each for each in set(threading.enumerate()) - before if each.name.startswith("phasegate")]


def test_an_interrupt_by_its_signal_reaches_the_executor_at_once() -> None:
    reached: list[str] = []

    def work() -> dict[str, Any]:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            reached.append("in the call")
            raise
        return good()

    with pytest.raises(KeyboardInterrupt):
        run(Doing(work))
    assert reached == ["in the call"]


def test_what_an_executor_does_to_a_specification_is_its_own_matter() -> None:
    class Changing(Doing):
        def execute_phase(self, phase_spec: Any, context_files: Any, protected_paths: Any = None) -> Any:
            assert phase_spec["deliverables"] == ["a"]
            phase_spec["deliverables"].append("b")
            return super().execute_phase(phase_spec, context_files)

    (told,) = run(Changing(dict, good), retries=1, deliverables=["a"])["phase_results"]
    assert (told["errors"], told["retry_count"]) == ([], 1)


def test_tokens_of_all_attempts_count() -> None:
    executor = Doing(lambda: {"token_usage": 5}, lambda: {"token_usage": 7}, good)
    (told,) = run(executor, retries=2)["phase_results"]
    assert (told["success"], told["token_usage"], told["retry_count"]) == (True, 13, 2)


# --- the health of what it works on ---


class Somewhere(Doing):
    """An executor that says where it works."""

    def __init__(self, root: Any) -> None:
        super().__init__(good)
        self.repo_root = root


def test_a_test_command_is_run_once_before_the_first_phase(repo: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", f"open({str(log)!r}, 'a').write('x')"]
    phases = [phase(test_cmd=command), 5, phase(scope={"test_cmd": command}), phase(test_cmd=command, complexity=5)]
    result = PhaseOrchestrator(Somewhere(repo), 0).run_phases(phases, stop_on_failure=False)
    assert [each["success"] for each in result["phase_results"]] == [True, False, True, True]
    assert len(log.read_text()) == 1 + 3


def test_a_test_command_that_is_none_is_told_before_the_executor_is_asked(repo: Path) -> None:
    executor = Somewhere(repo)
    phases = [phase(test_cmd="true && false"), phase(test_cmd=["true", 5]), phase()]
    result = PhaseOrchestrator(executor, 0).run_phases(phases, stop_on_failure=False)
    assert [each["success"] for each in result["phase_results"]] == [False, False, True]
    assert all(each["error_details"][0]["code"].startswith("E_SPEC") for each in result["phase_results"][:2])
    assert executor.calls == 1


def test_what_failed_before_is_known_after_a_phase_with_another_command(repo: Path) -> None:
    fine, broken = ([sys.executable, "-c", f"raise SystemExit({code})"] for code in (0, 1))
    phases = [phase(test_cmd=fine), phase(test_cmd=broken)]
    result = PhaseOrchestrator(Somewhere(repo), 0).run_phases(phases)
    assert [each["errors"] for each in result["phase_results"]] == [[], []]


@pytest.mark.parametrize("root", ["", "no/such", 5, "a\x00b"])
def test_where_an_executor_works_is_not_guessed(root: Any) -> None:
    (told,) = run(Somewhere(root))["phase_results"]
    assert (told["success"], told["health"], len(told["warnings"])) == (True, None, 1)


def test_a_root_that_cannot_be_read_is_unknown() -> None:
    class Hidden(Doing):
        @property
        def repo_root(self) -> Any:
            raise RuntimeError("not yet")

    result = PhaseOrchestrator(Hidden(good), 0).run_phases([phase()])
    assert (result["successful_phases"], result["health_check_results"]) == (1, [])


def test_a_gate_that_breaks_is_closed(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no gate")

    monkeypatch.setattr(ForeignChecks, "check", broken)
    (told,) = run(Somewhere(repo))["phase_results"]
    assert (told["success"], told["error_details"][0]["code"]) == (False, "E_INTERNAL")
    assert "no gate" in told["errors"][0]
