"""What is secret stays so: in the database, in logs, in events, in results, in stored prompts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator, Policy
from phasegate.llm import LLMError, Request
from tests.apps.build.ledger import rows
from tests.apps.build.models import Scripted, files, phase

Make = Callable[..., PhaseExecutor]
KEY = "sk-test-0123456789abcdefghij"
OWN = "zeta-of-the-environment-4711"
PASSWORD = "tr0ub4dor-and-3"
BEARER = "bearer-of-good-news-0815"
SECRETS = (KEY, OWN, PASSWORD, BEARER)
SETTINGS = f"[db]\nuser = app\npassword = {PASSWORD}\nold_key = {KEY}\nheader = Authorization: Bearer {BEARER}\n"


@pytest.fixture
def secret(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository with secrets in a file and in the environment; a test prints both."""
    monkeypatch.setenv("ACME_API_KEY", OWN)
    (repo / "settings.ini").write_text(f"{SETTINGS}own = {OWN}\n")
    (repo / "test_it.py").write_text(
        "from pathlib import Path\n\n\ndef test_it():\n    print(Path('settings.ini').read_text())\n"
        "    assert not Path('x.txt').exists(), Path('settings.ini').read_text()\n"
    )
    return repo


def kept(tmp_path: Path) -> bytes:
    """All that the database and the files beside it contain."""
    return b"".join(each.read_bytes() for each in sorted(tmp_path.rglob("build.db*")) if each.is_file())


def check(told: Any, tmp_path: Path, output: str) -> None:
    """No secret in any of it."""
    everything = {
        "database": kept(tmp_path).decode("utf-8", "replace"),
        "told": json.dumps(told, default=str),
        "log": output,
    }
    for where, text in everything.items():
        for each in SECRETS:
            assert each not in text, f"{each} is in the {where}"


def test_no_secret_is_kept_of_a_failed_phase_whose_prompts_are(
    executor: Make, secret: Path, tmp_path: Path, capfd: Any
) -> None:
    told: list[Any] = []
    model = Scripted(files(("create", "x.txt", "x\n")), "no json", files(("create", "../x.txt", "x\n")))
    made = executor(model, policy=Policy(keep_prompts=True), event_sink=told.append)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    given = phase(deliverables=["x.txt"], context_files=["settings.ini"], test_cmd=command)
    result = PhaseOrchestrator(made, 2).run_phases([given])
    assert result["phase_results"][0]["success"] is False
    # The model is shown the file as it is: nothing is tested unless that was so.
    assert all(each in model.requests[0].user for each in SECRETS)
    assert "test_it" in model.requests[1].user.partition("# Your last attempt failed")[2].partition("\n# ")[0]
    feedback = model.requests[1].user.partition("# Your last attempt failed")[2].partition("\n# ")[0]
    assert not any(each in feedback for each in SECRETS)
    prompts = [each["prompt_text"] for each in rows(made, "attempts")]
    assert all("[redacted]" in each and "settings.ini" in each for each in prompts)
    captured = capfd.readouterr()
    check([told, result], tmp_path, captured.out + captured.err)
    assert b"settings.ini" in kept(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        LLMError("auth", f"refused: Authorization: Bearer {BEARER}, key {KEY}"),
        RuntimeError(
            f"POST https://app:{PASSWORD}@api.example.com x-api-key: {KEY} {OWN} Authorization: Bearer {BEARER}"
        ),
        ConnectionError(f"password={PASSWORD} api_key='{KEY}' {OWN} Bearer {BEARER}"),
    ],
    ids=["provider", "client", "network"],
)
def test_no_secret_of_an_error_is_kept_or_told(
    error: Exception, executor: Make, secret: Path, tmp_path: Path, capfd: Any
) -> None:
    told: list[Any] = []
    made = executor(Scripted(error), event_sink=told.append, sleep=lambda seconds: None)
    result = made.execute_phase(phase(deliverables=["x.txt"]), [])
    assert result["success"] is False
    captured = capfd.readouterr()
    check([told, result], tmp_path, captured.out + captured.err)
    assert "[redacted]" in json.dumps(result)


def test_the_difference_that_is_shown_has_no_secrets_of_the_lines_around(executor: Make, secret: Path) -> None:
    told: list[Any] = []
    text = (secret / "settings.ini").read_text().replace("user = app", "user = other")
    made = executor(Scripted(files(("modify", "settings.ini", text))), event_sink=told.append)
    result = made.execute_phase(phase(deliverables=["settings.ini"]), [])
    assert result["errors"] == []
    assert (secret / "settings.ini").read_text() == text
    diff = next(each["diff"] for each in told if each["type"] == "validated")
    assert "+user = other" in diff
    assert not any(each in json.dumps([told, result]) for each in SECRETS)


def test_no_secret_is_in_what_a_refusal_or_a_broken_answer_is_told_as(
    executor: Make, secret: Path, tmp_path: Path
) -> None:
    refusal = {"summary": "No.", "files": [], "refusal": {"reason": f"password={PASSWORD}", "needs": KEY}}
    broken = '{"summary": "password=' + PASSWORD + '", "files": [}'
    for answer in (refusal, broken, json.dumps(files(("create", "x.txt", "x\n"), summary=f"Used {KEY}."))):
        result = executor(Scripted(answer)).execute_phase(phase(deliverables=["x.txt"]), ["settings.ini"])
        assert not any(each in json.dumps(result) for each in SECRETS)
    made = executor(Scripted("x"))
    for table in ("runs", "phases", "attempts", "llm_calls", "events"):
        for row in rows(made, table):
            assert not any(each in json.dumps(dict(row)) for each in SECRETS)


def test_nothing_is_kept_of_a_prompt_unless_wanted(executor: Make, secret: Path, tmp_path: Path) -> None:
    seen = []

    def answer(request: Request) -> Any:
        seen.append(request.user)
        return files(("create", "x.txt", "x\n"))

    made = executor(Scripted(answer))
    assert made.execute_phase(phase("Do the thing.", ["x.txt"]), ["README.md"])["success"]
    assert "# App" in seen[0]
    assert b"# App" not in kept(tmp_path)
    assert rows(made, "attempts")[0]["prompt_text"] is None
