from __future__ import annotations

import pytest

from phasegate.apps.documents.gates.qa import QAFinding, QAResult, Severity
from phasegate.apps.documents.remediation import LONGEST_OUTPUT, MOST_FINDINGS, RemediationContext, RemediationLoop
from phasegate.apps.documents.states.step_state import StepState


def finding(severity: Severity = "error", message: str = "is missing") -> QAFinding:
    return QAFinding("$.title", message, severity, "schema_validation")


@pytest.mark.parametrize(
    ("attempt", "findings", "retry"),
    [
        (1, [finding()], True),
        (2, [finding(), finding("warning")], True),
        (3, [finding()], False),
        (4, [finding()], False),
        (1, [finding("warning")], False),
        (1, [], False),
    ],
)
def test_another_attempt_is_made_while_it_is_of_use(attempt: int, findings: list[QAFinding], retry: bool) -> None:
    state = StepState(step_id="write", attempt=attempt)
    assert RemediationLoop(3).should_retry(state, QAResult(False, findings)) is retry
    assert RemediationLoop(3).should_retry(state, QAResult(True, findings)) is False


def test_the_context_has_the_whole_prompt_and_the_answer() -> None:
    qa = QAResult(False, [finding()])
    state = StepState(step_id="write", attempt=2, raw_llm_response='{"titel": 1}')
    context = RemediationLoop(4).build_context("the whole prompt", state, qa)
    assert context == RemediationContext("the whole prompt", [finding()], 2, 4, '{"titel": 1}')
    qa.findings.clear()
    assert context.findings == [finding()]


def test_the_prompt_has_everything() -> None:
    findings = [finding("warning", "is long"), finding("error", "is missing")]
    prompt = RemediationLoop().build_remediation_prompt(
        RemediationContext("Write the plan.\nInputs: all of them", findings, 1, 3, '{"titel": 1}')
    )
    for part in (
        "Original Task", "Write the plan.\nInputs: all of them", "attempt 2 of 3", "ERROR", "WARNING", "$.title",
        "is missing", "is long", "1 error(s), 1 warning(s)", '{"titel": 1}', "whole corrected document",
    ):  # fmt: skip
        assert part in prompt
    assert prompt.index("ERROR") < prompt.index("WARNING")


def test_a_long_answer_and_many_findings_are_cut() -> None:
    loop = RemediationLoop()
    long = RemediationContext("task", [finding()] * (MOST_FINDINGS + 7), 1, 3, "x" * 3 * LONGEST_OUTPUT)
    prompt = loop.build_remediation_prompt(long)
    assert "x" * LONGEST_OUTPUT in prompt
    assert "x" * (LONGEST_OUTPUT + 1) not in prompt
    assert prompt.count("ERROR") == MOST_FINDINGS
    assert "and 7 more" in prompt
    assert "Previous Output" not in loop.build_remediation_prompt(RemediationContext("task", [finding()], 1, 3))


@pytest.mark.parametrize(
    ("severities", "summary"),
    [
        (["error", "warning", "error"], "2 error(s), 1 warning(s)"),
        (["warning"], "1 warning(s)"),
        (["error"], "1 error(s)"),
        ([], "no issues"),
    ],
)
def test_findings_are_counted(severities: list[Severity], summary: str) -> None:
    assert RemediationLoop().get_error_summary([finding(each) for each in severities]) == summary
