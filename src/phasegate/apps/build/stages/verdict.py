"""Decide what becomes of a phase: the only place that says whether it succeeded, and whether there is another attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build import statements as q
from phasegate.apps.build.context.tokens import estimate
from phasegate.apps.build.errors import ApprovalError, PhaseExecutorError
from phasegate.apps.build.flow import AGAIN, DONE, KEPT, NOOP, OWN, SKIP, UNFIT
from phasegate.apps.build.judging import STOP_THE_RUN, Past, judge
from phasegate.apps.build.prompting.feedback import CONTENTS_SHARE, Feedback
from phasegate.apps.build.results import phase_result
from phasegate.apps.build.schema import Tokens
from phasegate.apps.build.stages.common import Stage
from phasegate.apps.build.workshop import Workshop
from phasegate.llm import redact

#: What a system says when its disk takes no more: whoever goes on meets that again.
_DISK = frozenset({"ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS"})
#: Errors that are told of one earlier attempt, in one line.
_EARLIER = 300
#: Of what went wrong before so many lines are told.
_MOST_HINTS = 5


@dataclass(frozen=True)
class Verdict(Stage):
    """Gives ``result``, what the caller gets, and ``carry``, what the next phase begins with; ``past`` when it is done again."""

    def work(self, context: Context) -> Outcome:
        """``done`` or ``again``; a phase that failed is done with, too."""
        check, past, shop = self.given(context, "check"), self.past(context), self.shop(context)
        status, errors = self._ending(context)
        if status in ("skipped", "kept"):
            return self._without_attempt(context, shop, check, status)
        if status == "succeeded":
            return self._end(context, shop, check, past, "succeeded", [], used=past.used + 1)
        if status in ("rejected", "blocked"):
            return self._end(context, shop, check, past, status, errors, used=past.used + 1)
        verdict = judge(
            past, errors, max_attempts=check.get("attempts", 1), same_error_limit=shop.policy.same_error_limit,
            growth=shop.policy.growth_after_truncation, levels=max(1, len(shop.tiers)),
        )  # fmt: skip
        if verdict.again and not context.cancelled:
            return self._again(context, shop, check, past, verdict.past, errors)
        if verdict.reason == "no_progress":
            said = "the same error came back; another attempt would not help"
            errors = [*errors, PhaseExecutorError("E_NO_PROGRESS", said, category="fatal").told()]
        used = past.used if self.ended(context, "check") == UNFIT else max(1, verdict.past.used)
        return self._end(context, shop, check, past, "failed", errors, used=used)

    def _ending(self, context: Context) -> tuple[str, list[Mapping[str, Any]]]:
        """How the attempt ended, and the errors of the stage that ended it."""
        if self.ended(context, "check") in (SKIP, KEPT):
            return ("skipped" if self.ended(context, "check") == SKIP else "kept"), []
        if self.ended(context, "accept") == DONE or self.ended(context, "validate") == NOOP:
            return "succeeded", []
        approval = self.given(context, "approval")
        if approval.get("outcome") == "rejected":
            return "rejected", [_rejected(approval).told()]
        for name in OWN:
            if name != "verdict" and self.ended(context, name) == UNFIT and name != "health":
                given = self.given(context, name)
                rejected = any(each["code"] == "E_APPROVAL_REJECTED" for each in given["errors"])
                return ("blocked" if given.get("refused") else "rejected" if rejected else "failed"), list(
                    given["errors"]
                )
        return "failed", list(self.given(context, "health")["errors"])

    def _without_attempt(self, context: Context, shop: Workshop, check: Mapping[str, Any], status: str) -> Outcome:
        if status == "kept":
            return self._carry_on(context, check, check["result"])
        result = phase_result(
            phase_id=check["phase_id"], status="skipped", summary=f"Skipped: {check['reason']}.",
            stopped=check["carry"]["stop"] is not None,
        )  # fmt: skip
        return self._carry_on(context, check, result)

    def _again(
        self, context: Context, shop: Workshop, check: Mapping[str, Any], past: Past, following: Past,
        errors: list[Mapping[str, Any]],
    ) -> Outcome:  # fmt: skip
        health, answer = self.given(context, "health"), self.given(context, "parse").get("answer") or {}
        feedback = Feedback(
            attempt=following.used + 1, attempts=check["attempts"], errors=tuple(errors),
            summary=self._summary(context) or redact(str(answer.get("summary", ""))),
            earlier=past.earlier, output=health.get("output", ""),
            newly_failing=tuple(health.get("newly_failing", ())), delivered=self._delivered(context),
            contents=_contents(answer, shop),
        )  # fmt: skip
        # Lack of room is mended by room: there is nothing to tell the model.
        is_told = any(each["category"] not in ("capacity", "transient") for each in errors)
        told = feedback.told() if is_told else None
        line = f"attempt {past.index + 1}: {'; '.join(each['message'] for each in errors)}"[:_EARLIER]
        following = replace(following, feedback=told, earlier=(*past.earlier, line)[-_MOST_HINTS:])
        ended = self._ended_attempt(context, shop, "failed", errors)
        # The contents are in the answer, which the history keeps already.
        kept = None if told is None else {**told, "contents": {}}
        return Outcome(AGAIN, {"next": following.told(), "attempt": {**ended, "feedback": kept}})

    def _delivered(self, context: Context) -> dict[str, bool]:
        """Which deliverables the answer had: none when it could not be read, and nothing without an answer."""
        found = self.given(context, "validate").get("delivered")
        if found is None and "text" in self.given(context, "ask"):
            found = dict.fromkeys(self.spec(context).deliverables, False)
        return dict(found or {})

    def _end(
        self, context: Context, shop: Workshop, check: Mapping[str, Any], past: Past, status: str,
        errors: list[Mapping[str, Any]], *, used: int,
    ) -> Outcome:  # fmt: skip
        validated, accepted = self.given(context, "validate"), status == "succeeded"
        files = validated.get("files", []) if accepted else []
        summary = self._summary(context) if accepted else _failure(status, errors, used)
        result = phase_result(
            phase_id=check["phase_id"], status=status, summary=summary, error_details=list(errors),
            files_changed=[each["path"] for each in files], changes=[_change(each) for each in files],
            warnings=self._warnings(context), retry_count=max(0, used - 1), approval=self._approval(context),
            context=self.given(context, "context").get("report", {}), duration=self._duration(context, shop),
            **self._spent(context),
        )  # fmt: skip
        return self._carry_on(context, check, result, attempt=self._ended_attempt(context, shop, status, errors))

    def _carry_on(
        self,
        context: Context,
        check: Mapping[str, Any],
        result: Mapping[str, Any],
        attempt: Mapping[str, Any] | None = None,
    ) -> Outcome:
        carry, status = dict(check["carry"]), result["status"]
        # A phase that has the id of an earlier one is refused, and does not speak for that one.
        carry["statuses"] = {check["phase_id"]: status, **carry["statuses"]}
        hints = [f"{check['phase_id']}, {line}" for line in self.past(context).earlier]
        carry["hints"] = [*carry["hints"], *hints][-_MOST_HINTS:]
        carry["left"] = max(carry.get("left", 0), self.past(context).left)
        health = self.given(context, "health")
        if result["success"] and health.get("tests"):
            before = carry["baseline"] or {}
            carry["baseline"] = {**before, "tests": {**before.get("tests", {}), **health["tests"]}}
        if result["files_changed"]:
            # Nobody knows what commands that were not run now would say of the changes.
            known = (carry["baseline"] or {}).get("tests", {})
            carry["stale"] = sorted(set(known) - set(health.get("tests", {})))
        codes = {each["code"] for each in result["error_details"]}
        if carry["stop"] is None and not result["success"] and status != "skipped":
            codes |= {"E_DISK_FULL" for each in result["error_details"] if each["details"].get("errno") in _DISK}
            if codes & STOP_THE_RUN:
                carry["stop"] = f"the run was stopped by {sorted(codes & STOP_THE_RUN)[0]}"
            elif context.input["stop_on_failure"]:
                carry["stop"] = f"phase {check['phase_id']!r} did not succeed"
        result = {**result, "health": health.get("health")}
        return Outcome(DONE, {"result": result, "carry": carry, "attempt": attempt})

    def _summary(self, context: Context) -> str:
        return str(self.given(context, "validate").get("summary") or "")

    def _ended_attempt(
        self, context: Context, shop: Workshop, status: str, errors: list[Mapping[str, Any]]
    ) -> dict[str, Any]:
        lasted = shop.lasted(f"{self.phase_key(context)}/{self.past(context).index}", 0)
        return {"status": status, "errors": list(errors), "feedback": None, "duration": lasted}

    def _duration(self, context: Context, shop: Workshop) -> float:
        """Seconds the phase took in this process; when another one began it, the time since then."""
        lasted = shop.lasted(context.run.id, self.number)
        if lasted is not None:
            return lasted
        began = context.run.at(f"{self.number}.check").started_at
        return 0.0 if began is None else max(0.0, (context.now() - began).total_seconds())

    def _spent(self, context: Context) -> dict[str, Any]:
        spent = Tokens()
        for row in context.read(q.CALLS_OF_PHASE, {"phase": self.phase_key(context)}):
            spent += Tokens(
                row["prompt_tokens"], row["completion_tokens"], row["total_tokens"], 1, bool(row["estimated"])
            )
        ids = [row["attempt_id"] for row in context.read(q.ATTEMPT_IDS, {"phase": self.phase_key(context)})]
        told = {
            "prompt": spent.prompt, "completion": spent.completion, "total": spent.total, "calls": spent.calls,
            "estimated": spent.estimated,
        }  # fmt: skip
        return {"tokens": told, "token_usage": spent.total, "attempt_ids": ids}

    def _warnings(self, context: Context) -> list[str]:
        found: list[str] = []
        for name in ("check", "context", "ask", "parse", "validate", "health"):
            found += self.given(context, name).get("warnings", [])
        return list(dict.fromkeys(found))

    def _approval(self, context: Context) -> Any:
        approval = self.given(context, "approval")
        if not approval:
            return None
        return {
            "request_id": f"{self.phase_key(context)}/{self.past(context).index}/approval",
            "outcome": approval["outcome"], "by": list(approval["by"]), "comment": approval["comment"],
        }  # fmt: skip


def _contents(answer: Mapping[str, Any], shop: Workshop) -> dict[str, str]:
    """The files of an answer; none if they are more than would be repeated to the model."""
    found = {each["path"]: each["new_content"] for each in answer.get("changes", ()) if each["new_content"] is not None}
    return found if sum(map(estimate, found.values())) <= CONTENTS_SHARE * shop.max_tokens else {}


def _rejected(approval: Mapping[str, Any]) -> ApprovalError:
    by, comment = ", ".join(approval["by"]), approval.get("comment")
    if by == "deadline":
        return ApprovalError("E_APPROVAL_EXPIRED", "nobody decided in time")
    return ApprovalError("E_APPROVAL_REJECTED", f"rejected by {by}" + (f": {comment}" if comment else ""))


def _change(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: told[name] for name in ("path", "mode", "bytes_before", "bytes_after", "sha256_before", "sha256_after")
    }


def _failure(status: str, errors: list[Mapping[str, Any]], used: int) -> str:
    """One sentence: the gate that failed, after how many attempts, and that nothing is changed."""
    kept = any(each["code"].startswith("E_ROLLBACK") for each in errors)
    left = "Some files could not be put back; see the errors." if kept else "Nothing was changed."
    attempts = f"after {used} attempt{'s' if used != 1 else ''}" if used else "before its first attempt"
    first = errors[0]["message"] if errors else status
    ended = {"blocked": "was refused", "rejected": "was rejected"}.get(status, "failed")
    return f"The phase {ended} {attempts}: {first}. {left}"
