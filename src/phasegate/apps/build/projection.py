"""Keeps the history in step with what the engine records, in the same commit."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

from phasegate.apps.build import statements as q
from phasegate.apps.build.columns import dump
from phasegate.apps.build.errors import one_line
from phasegate.apps.build.flow import AGAIN, BASELINE, NAME, RISKY, UNFIT, place_of
from phasegate.apps.build.tables import OPEN
from phasegate.core import facts as f

_OURS = frozenset({NAME, f"{NAME}-foreign"})
#: What a phase is until it has ended, as long as the run is this.
_ENDED: Mapping[type[Any], str] = {f.RunSucceeded: "succeeded", f.RunFailed: "failed", f.RunCancelled: "cancelled"}
#: The name in the log of what a stage has done, unless it found something unfit. Calls of the model are logged as they are made.
_EVENTS = {
    "check": "phase_started", "context": "context_built", "parse": "response_parsed", "apply": "applied",
    "restore": "rolled_back", "health": "health_checked",
}  # fmt: skip


def project(connection: Any, recorded: Sequence[f.RecordedFact]) -> None:
    """Write down what became of the runs, phases and attempts of these facts."""
    for each in recorded:
        if each.run.flow in _OURS:
            _Projection(connection, each).write()


class _Projection:
    """One fact, on its way into the tables."""

    def __init__(self, connection: Any, recorded: f.RecordedFact) -> None:
        self.connection, self.run, self.fact = connection, recorded.run, recorded.fact
        self.at: datetime = recorded.fact.at
        #: The phase and the attempt of an event, where it is of one.
        self.phase_key = ""
        self.logged_attempt: str | None = None
        self.output: Mapping[str, Any] = recorded.output if isinstance(recorded.output, Mapping) else {}

    def write(self) -> None:
        fact = self.fact
        if isinstance(fact, f.RunStarted):
            self._begin()
        elif isinstance(fact, f.RunPaused | f.RunResumed):
            self._stand("interrupted" if isinstance(fact, f.RunPaused) else "running")
        elif type(fact) in _ENDED:
            self._end(_ENDED[type(fact)])
        elif isinstance(fact, f.AttemptSucceeded):
            self._stage(fact)
        elif isinstance(fact, f.GateSettled):
            self._decided(fact)

    # --- runs ---

    def _begin(self) -> None:
        given: Mapping[str, Any] = self.run.input
        self._do(
            q.ADD_RUN, run_id=self.run.id, started_at=self.at, status="running", repo_root=given["repo_root"],
            stop_on_failure=given["stop_on_failure"], max_retries=given["max_retries"],
            health_checks=given["health_checks"], total_phases=len(given["plan"]), engine_version=version("phasegate"),
            policy_json=dump(given["policy"]), pid=os.getpid(), host=socket.gethostname(), heartbeat_at=self.at,
        )  # fmt: skip
        self._event("run_started", phases=len(given["plan"]))

    def _stand(self, status: str) -> None:
        """The run stops for now, or goes on in this process."""
        self._set(
            q.RUN_TAKEN, self.run.id, status=status, pid=os.getpid(), host=socket.gethostname(), heartbeat_at=self.at
        )
        for statement in (q.OPEN_ATTEMPTS_STAND, q.OPEN_PHASES_STAND):
            self._do(statement, its_run=self.run.id, new_status=status)
        if status == "running":  # what a person was asked about is still asked
            for row in self.connection.execute(q.WAITING_IN, {"run": self.run.id}):
                self._set(q.PHASE_STANDS, row.phase_fk, status="awaiting_approval")
                self._set(q.ATTEMPT_STANDS, row.attempt_fk, status="awaiting_approval")
                self._set(q.RUN_STANDS, self.run.id, status="awaiting_approval")

    def _end(self, status: str) -> None:
        counts = self._count(open_ones=True)
        if status == "succeeded" and counts["successful_phases"] < len(self.run.input["plan"]):
            status = "failed"
        begun = self.run.created_at or self.at
        self._set(
            q.RUN_ENDS, self.run.id, status=status, finished_at=self.at, duration_s=(self.at - begun).total_seconds(),
            failure_reason=None if self.run.reason is None else one_line(self.run.reason),
        )  # fmt: skip
        if status != "succeeded":
            for statement in (q.OPEN_ATTEMPTS_STAND, q.OPEN_PHASES_STAND):
                self._do(statement, its_run=self.run.id, new_status=status)
            self._do(q.APPROVALS_END, its_run=self.run.id, new_responded_at=self.at)
        self._event("run_finished", status=status, **counts)

    def _count(self, *, open_ones: bool) -> dict[str, int]:
        """Write down how the phases have ended. With ``open_ones`` those that have not, count as failed."""
        found = {row.status: row.n for row in self.connection.execute(q.PHASE_COUNTS, {"run": self.run.id})}
        other = {"succeeded", "skipped"} if open_ones else {"succeeded", "skipped", *OPEN}
        counts = {
            "successful_phases": found.get("succeeded", 0), "skipped_phases": found.get("skipped", 0),
            "failed_phases": sum(n for status, n in found.items() if status not in other),
        }  # fmt: skip
        self._set(q.RUN_COUNTS, self.run.id, **counts)
        return counts

    # --- stages ---

    def _stage(self, fact: f.AttemptSucceeded) -> None:
        if fact.phase == BASELINE:
            self._checks("baseline", None, None, self.output.get("checks", ()))
            return
        place = place_of(fact.phase)
        if place is None:
            return
        number, name = place
        self.number, self.phase_key = number, f"{self.run.id}/{number}"
        self.attempt_key = f"{self.phase_key}/{self.output.get('index', 0)}"
        self.logged_attempt = None if name == "check" else self.attempt_key
        self._set(q.RUN_BEATS, self.run.id, heartbeat_at=self.at)
        handlers: Mapping[str, Callable[[str], None]] = {
            "check": self._check, "context": self._context, "ask": self._ask, "parse": self._parse,
            "validate": self._validate, "apply": self._apply, "health": self._health, "restore": self._restore,
            "verdict": self._verdict, "work": self._work,
        }  # fmt: skip
        if name in handlers:
            handlers[name](fact.outcome)
        if fact.outcome == UNFIT and name != "health":
            codes = [each["code"] for each in self.output.get("errors", ())]
            self._event("validation_failed", stage=name, codes=codes)
        elif name in _EVENTS:
            self._event(_EVENTS[name], outcome=fact.outcome)

    def _check(self, outcome: str) -> None:
        spec = self.output.get("spec") or {}
        raw = self.run.input["plan"][self.number - 1]
        if self._set(q.PHASE_STANDS, self.phase_key, status="running"):
            return
        self._do(
            q.ADD_PHASE, id=self.phase_key, run_id=self.run.id, phase_index=self.number, phase_id=self.output["phase_id"],
            name=self.output["name"], description=str(spec.get("description") or ""),
            category=str(spec.get("category") or ""), complexity=str(spec.get("complexity") or ""), spec_json=dump(raw),
            spec_sha256=self.output.get("sha256", ""), status="running", started_at=self.at,
        )  # fmt: skip

    def _context(self, outcome: str) -> None:
        self._attempt_begins((self.output.get("past") or {}).get("feedback"))

    def _work(self, outcome: str) -> None:
        self._attempt_begins(None)

    def _attempt_begins(self, feedback: Any) -> None:
        if not self._set(q.ATTEMPT_STANDS, self.attempt_key, status="running"):
            self._do(
                q.ADD_ATTEMPT, attempt_id=self.attempt_key, phase_fk=self.phase_key, attempt_index=self.output["index"],
                status="running", started_at=self.at,
            )  # fmt: skip
        self._set(q.PHASE_TRIED, self.phase_key, attempts=self.output["index"] + 1)
        self._event("attempt_started", index=self.output["index"], with_feedback=feedback is not None)

    def _ask(self, outcome: str) -> None:
        asked = self.output
        if "prompt_sha256" not in asked:  # it never came to asking
            return
        self._set(
            q.ATTEMPT_ASKED, self.attempt_key, model=asked["model"], escalation_level=asked["level"],
            prompt_sha256=asked["prompt_sha256"], prompt_text=asked["prompt"], response_text=asked.get("kept_text"),
        )  # fmt: skip
        if asked.get("stop_reason") == "max_tokens":
            self._set(q.ATTEMPT_CUT, self.attempt_key, truncated=True)

    def _parse(self, outcome: str) -> None:
        self._set(q.ATTEMPT_PARSED, self.attempt_key, parse_method=self.output.get("parse_method"))
        cut = any(each["code"] == "E_TRUNCATED" for each in self.output.get("errors", ()))
        if cut or self.output.get("rest", {}).get("continuations"):
            self._set(q.ATTEMPT_CUT, self.attempt_key, truncated=True)

    def _validate(self, outcome: str) -> None:
        self._do(q.DROP_CHANGES, its_key=self.attempt_key)
        declared = self.output.get("declared", {})
        rows = [
            {
                "id": f"{self.attempt_key}/{place}", "attempt_fk": self.attempt_key, "path": each["path"],
                "mode": declared.get(each["path"], each["mode"]), "effective_mode": each["mode"],
                "sha_before": each["sha256_before"], "sha_after": each["sha256_after"], "bytes_before": each["bytes_before"],
                "bytes_after": each["bytes_after"], "lines_added": each["lines_added"],
                "lines_removed": each["lines_removed"], "state": "planned",
            }
            for place, each in enumerate(self.output.get("files", ()), 1)
        ]  # fmt: skip
        if rows:
            self.connection.execute(q.ADD_CHANGES, rows)
        if outcome == RISKY:
            self._ask_for_approval()

    def _ask_for_approval(self) -> None:
        risk, timeout = self.output["risk"], self.run.input["policy"]["approval_timeout"]
        self._do(
            q.ADD_APPROVAL, request_id=f"{self.attempt_key}/approval", attempt_fk=self.attempt_key,
            change_sha256=self.output["sha256"], risk_score=risk["score"], reasons_json=dump(risk["reasons"]),
            status="pending", requested_at=self.at, expires_at=self.at + timedelta(seconds=timeout),
        )  # fmt: skip
        self._set(q.PHASE_STANDS, self.phase_key, status="awaiting_approval")
        self._set(q.ATTEMPT_STANDS, self.attempt_key, status="awaiting_approval")
        self._set(q.RUN_STANDS, self.run.id, status="awaiting_approval")
        self._event("approval_requested", risk=risk["score"], sha256=self.output["sha256"])

    def _decided(self, fact: f.GateSettled) -> None:
        place = place_of(fact.phase)
        if place is None:
            return
        self.phase_key = f"{self.run.id}/{place[0]}"
        waiting = self.connection.execute(q.WAITING_ATTEMPT, {"its_phase": self.phase_key}).first()
        self.logged_attempt = None if waiting is None else waiting.attempt_fk
        answer = fact.answer if isinstance(fact.answer, Mapping) else {}
        by = ", ".join(answer.get("by") or [fact.by])
        status = "expired" if fact.by == "deadline" else "approved" if fact.outcome == "approved" else "rejected"
        self._do(
            q.APPROVAL_ANSWERED, its_phase=self.phase_key, new_status=status, new_responded_at=self.at, new_decided_by=by,
            new_comment=answer.get("comment") or None,
        )  # fmt: skip
        self._set(q.PHASE_STANDS, self.phase_key, status="running")
        if self.logged_attempt is not None:
            self._set(q.ATTEMPT_STANDS, self.logged_attempt, status="running")
        self._set(q.RUN_STANDS, self.run.id, status="running")
        self._event("approval_decided", outcome=status, by=by)

    def _apply(self, outcome: str) -> None:
        self._do(q.APPROVAL_CONSUMED, its_key=self.attempt_key)
        if outcome != UNFIT:
            self._do(q.CHANGES_STAND, its_key=self.attempt_key, new_state="applied")

    def _restore(self, outcome: str) -> None:
        if outcome != UNFIT:
            self._do(q.CHANGES_STAND, its_key=self.attempt_key, new_state="rolled_back")

    def _health(self, outcome: str) -> None:
        health = self.output.get("health") or {}
        self._checks("after", self.phase_key, self.attempt_key, health.get("checks", ()))

    def _checks(self, moment: str, phase: str | None, attempt: str | None, checks: Sequence[Mapping[str, Any]]) -> None:
        self._do(q.DROP_CHECKS, its_run=self.run.id, its_attempt=attempt)
        rows = [
            {
                "id": f"{attempt or self.run.id}/{moment}/{place}", "run_fk": self.run.id, "phase_fk": phase,
                "attempt_fk": attempt, "moment": moment, "name": each["name"], "status": each["status"],
                "critical": each["critical"], "message": each["message"], "duration_ms": each["duration_ms"],
                "details_json": dump(each["details"]) if each["details"] else None,
            }
            for place, each in enumerate(checks, 1)
        ]  # fmt: skip
        if rows:
            self.connection.execute(q.ADD_CHECKS, rows)

    def _verdict(self, outcome: str) -> None:
        attempt, ended = self.output.get("attempt"), 0
        if attempt is not None:
            first = attempt["errors"][0] if attempt["errors"] else {"code": None, "category": None}
            ended = self._set(
                q.ATTEMPT_ENDS, self.attempt_key, status=attempt["status"], error_code=first["code"],
                error_category=first["category"], errors_json=dump(attempt["errors"]),
                feedback_json=dump(attempt["feedback"]) if attempt["feedback"] else None, finished_at=self.at,
                duration_s=attempt["duration"],
            )  # fmt: skip
        if not ended:  # the phase ended before its first attempt
            self.logged_attempt = None
        if outcome == AGAIN:
            self._event("retry_scheduled", used=self.output["next"]["used"])
            return
        result = self.output["result"]
        self._set(
            q.PHASE_ENDS, self.phase_key, status=result["status"], attempts=len(result["attempt_ids"]),
            summary=result["summary"], errors_json=dump(result["error_details"]), result_json=dump(result),
            finished_at=self.at, duration_s=result["duration"],
        )  # fmt: skip
        self._count(open_ones=False)
        self._event("phase_finished", status=result["status"])

    # --- writing ---

    def _do(self, statement: Any, **values: Any) -> None:
        self.connection.execute(statement, values)

    def _set(self, statement: Any, key: str, **values: Any) -> int:
        """Set columns of a row; how many rows there were."""
        return int(self.connection.execute(statement, q.setting(key, **values)).rowcount)

    def _event(self, type_: str, **payload: Any) -> None:
        self._do(
            q.ADD_EVENT, run_fk=self.run.id, phase_fk=self.phase_key or None, attempt_fk=self.logged_attempt, type=type_,
            payload_json=dump(payload), created_at=self.at,
        )  # fmt: skip
