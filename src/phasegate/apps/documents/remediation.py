"""Asking again: what a model is told when its answer was not fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from phasegate.apps.documents.gates.qa import QAFinding, QAResult
from phasegate.apps.documents.states.step_state import StepState

#: As much of the previous answer as is shown again.
LONGEST_OUTPUT = 2_000
#: As many findings as are listed; the rest is counted.
MOST_FINDINGS = 50


@dataclass(frozen=True, slots=True)
class RemediationContext:
    """What the next attempt is told. ``attempt`` counts the attempts made so far."""

    original_prompt: str
    findings: list[QAFinding]
    attempt: int
    max_attempts: int
    previous_output: str | None = field(default=None, repr=False)


class RemediationLoop:
    """Decides whether to ask again, and with which words. ``max_attempts`` counts every attempt, the first one too."""

    def __init__(self, max_attempts: int = 3) -> None:
        self.max_attempts = max_attempts

    def should_retry(self, state: StepState, qa: QAResult) -> bool:
        """Whether another attempt is of use: something is an error, and there are attempts left."""
        return not qa.passed and state.attempt < self.max_attempts and qa.error_count > 0

    def build_context(self, original_prompt: str, state: StepState, qa: QAResult) -> RemediationContext:
        """What the next attempt needs. ``original_prompt`` is the whole user prompt, with inputs and answers."""
        return RemediationContext(
            original_prompt, list(qa.findings), state.attempt, self.max_attempts, state.raw_llm_response
        )

    def build_remediation_prompt(self, context: RemediationContext) -> str:
        """The user prompt of the next attempt: the whole task, what was answered, and everything that is wrong with it."""
        parts = [
            "## Original Task",
            context.original_prompt,
            "## Problems",
            f"The previous answer cannot be used ({self.get_error_summary(context.findings)}). "
            f"This is attempt {context.attempt + 1} of {context.max_attempts}.",
            "\n".join(_listed(context.findings)),
        ]
        if context.previous_output:
            parts += ["## Previous Output", _cut(context.previous_output)]
        parts += [
            "## What to Do",
            "Correct every problem and return the whole corrected document as JSON, without any text around it.",
        ]
        return "\n\n".join(part for part in parts if part)

    def get_error_summary(self, findings: Iterable[QAFinding]) -> str:
        """The findings counted: ``2 error(s), 1 warning(s)``, or ``no issues``."""
        severities = [each.severity for each in findings]
        counts = {name: severities.count(name) for name in ("error", "warning")}
        return ", ".join(f"{count} {name}(s)" for name, count in counts.items() if count) or "no issues"


def _listed(findings: list[QAFinding]) -> list[str]:
    ranked = sorted(findings, key=lambda each: each.severity != "error")
    lines = [f"- {each.severity.upper()} at {each.path}: {each.message}" for each in ranked[:MOST_FINDINGS]]
    more = len(findings) - MOST_FINDINGS
    return [*lines, f"- and {more} more"] if more > 0 else lines


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}\n... (cut)"
