"""What comes of decisions and answers in process, and of those that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from phasegate.apps.documents import (
    AcceptanceDecision,
    AcceptanceError,
    ClarificationError,
    InMemoryStatePersistence,
    Workflow,
    WorkflowStatus,
)
from tests.apps.documents.fake_llm import (
    CONFERENCE,
    DOCUMENTS,
    FakeLLM,
    conference,
    decision,
    documents,
    executor,
    item,
    questions,
    refused,
    run,
    to_the_end,
)

WORKFLOW = conference()
COMPLETED, FAILED = WorkflowStatus.COMPLETED, WorkflowStatus.FAILED


def revising() -> Workflow:
    workflow = conference()
    for name in ("track_plan", "talk_list"):
        workflow.document_types[name].extra["on_reject"] = "revise"
    return workflow


def test_a_rejection_fails_the_execution() -> None:
    async def scenario() -> None:
        llm = FakeLLM(CONFERENCE)
        ready = executor(llm)
        result = await ready.start(WORKFLOW, "p1")
        result = await ready.process_acceptance(WORKFLOW, result.state, result.context, decision(result, False))
        assert (result.state.status, result.paused) == (FAILED, False)
        assert result.state.error == "Document 'track_plan' was rejected by chair@example.org: too thin"
        info = result.context.document_info("track_plan", "event")
        assert info is not None
        assert (info.accepted, info.decided_by) == (False, "chair@example.org")
        assert len(llm.asked) == 2
        again = await ready.resume(WORKFLOW, result.state, result.context)
        assert (again.state.status, len(llm.asked)) == (FAILED, 2)

    run(scenario)


def test_a_revision_is_made_with_the_reviewers_words_and_needs_its_own_decision() -> None:
    async def scenario() -> None:
        llm, workflow = FakeLLM(CONFERENCE), revising()
        ready = executor(llm)
        result = await ready.start(workflow, "p1")
        first = decision(result, False, comment="more tracks, please")
        result = await ready.process_acceptance(workflow, result.state, result.context, first)
        assert (result.state.status, result.state.pending_acceptance) == (
            WorkflowStatus.WAITING_ACCEPTANCE,
            "track_plan",
        )
        assert "more tracks, please" in llm.asked[-1].user
        assert '"title": "Data"' in llm.asked[-1].user
        assert [each.version for each in result.context.document_versions("track_plan", "event")] == [1, 2]
        again = await ready.process_acceptance(workflow, result.state, result.context, first)
        assert (again.paused, len(llm.asked)) == (True, 3), "the decision on the first version is not one on the second"
        result, waited = await to_the_end(ready, workflow, result)
        assert (result.state.status, len(llm.asked), len(waited)) == (COMPLETED, 11, 3)
        assert len(result.state.decision_history) == 4

    run(scenario)


def test_after_three_revisions_a_rejection_fails_it() -> None:
    async def scenario() -> None:
        llm, workflow, kept = FakeLLM(CONFERENCE), revising(), InMemoryStatePersistence()
        result = await executor(llm, persistence=kept).start(workflow, "p1")
        result = await executor(llm, persistence=kept).process_acceptance(
            workflow, result.state, result.context, decision(result)
        )
        for _ in range(4):
            assert result.state.pending_acceptance_scope_id == "t1"
            found = await kept.load(workflow.workflow_id, "p1", workflow)
            assert found is not None
            no = decision(result, False)
            result = await executor(llm, persistence=kept).process_acceptance(workflow, *found, no)
        assert result.state.status is FAILED
        said = "Document 'talk_list' was rejected by chair@example.org: too thin (after 3 revisions) (in track=t1)"
        assert result.state.error == said
        assert llm.order == [*DOCUMENTS[:4], *["talk_list:t1"] * 3]
        assert len(result.context.document_versions("talk_list", "track", "t1")) == 4

    run(scenario)


def test_each_revision_has_its_own_attempts() -> None:
    async def scenario() -> None:
        plan = CONFERENCE["track_plan"]
        llm, workflow = (
            FakeLLM(CONFERENCE, track_plan=["no", "no", plan, "no", "no", plan, "no", "no", "no"]),
            revising(),
        )
        ready = executor(llm)
        result = await ready.start(workflow, "p1")
        for _ in range(2):
            result = await ready.process_acceptance(workflow, result.state, result.context, decision(result, False))
        assert result.state.status is FAILED
        assert "Step plan_tracks failed: QA failed after max attempts (3)" in str(result.state.error)
        state = result.state.step_states["plan_tracks"]
        assert (state.attempt, len(state.llm_calls), result.state.llm_usage["calls"]) == (3, 9, 10)

    run(scenario)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"doc_type": "event_brief"}, "about document 'event_brief', but document 'track_plan' waits"),
        ({"scope_id": "t1"}, "of 't1'"),
        ({"decided_by_role": "track_lead"}, "as track_lead may not decide on 'track_plan': it is for chair"),
        ({"decided_by_role": ""}, "may not decide"),
        ({"sha256": "0" * 64}, "has changed"),
    ],
)
def test_a_decision_that_does_not_fit_changes_nothing(change: dict[str, Any], match: str) -> None:
    async def scenario() -> None:
        ready = executor(FakeLLM(CONFERENCE))
        result = await ready.start(WORKFLOW, "p1")
        wrong = replace(decision(result), **change)
        await refused(
            ready.process_acceptance(WORKFLOW, result.state, result.context, wrong), result, AcceptanceError, match
        )

    run(scenario)


def test_the_role_is_demanded_where_acceptors_are_enforced() -> None:
    async def scenario() -> None:
        ready = executor(FakeLLM(CONFERENCE), enforce_acceptors=True)
        result = await ready.start(WORKFLOW, "p1")
        call = ready.process_acceptance(WORKFLOW, result.state, result.context, decision(result))
        await refused(call, result, AcceptanceError, "whose role is not told, may not decide")
        yes = decision(result, decided_by_role="chair")
        result = await ready.process_acceptance(WORKFLOW, result.state, result.context, yes)
        assert result.state.pending_acceptance == "talk_list"
        info = result.context.document_info("track_plan", "event")
        assert info is not None
        assert result.state.acceptance_decisions["track_plan:root"] == replace(yes, sha256=info.sha256)

    run(scenario)


def test_the_same_decision_once_more_gives_the_present_result() -> None:
    async def scenario() -> None:
        llm = FakeLLM(CONFERENCE)
        ready = executor(llm)
        result = await ready.start(WORKFLOW, "p1")
        yes = decision(result)
        result = await ready.process_acceptance(WORKFLOW, result.state, result.context, yes)
        before = result.state.to_dict()
        again = await ready.process_acceptance(WORKFLOW, result.state, result.context, yes)
        later = replace(yes, decided_at=decision(result).decided_at)
        once_more = await ready.process_acceptance(WORKFLOW, again.state, again.context, later)
        assert (once_more.paused, once_more.pause_reason, once_more.state.to_dict()) == (
            True,
            result.pause_reason,
            before,
        )
        other = replace(yes, comment="Better")
        await refused(
            ready.process_acceptance(WORKFLOW, result.state, result.context, other), result, AcceptanceError, "waits"
        )
        result, _ = await to_the_end(ready, WORKFLOW, result)
        assert (await ready.process_acceptance(WORKFLOW, result.state, result.context, yes)).state.status is COMPLETED
        assert len(llm.asked) == 10
        call = ready.process_acceptance(WORKFLOW, result.state, result.context, other)
        await refused(call, result, AcceptanceError, "no document waits for a decision")

    run(scenario)


def test_questions_may_come_at_the_root_in_an_item_and_in_the_last_one() -> None:
    async def scenario() -> None:
        def asks(prompt: str) -> Any:
            if "# Clarification Answers" in prompt or "k2" not in item(prompt):
                return {"abstract": item(prompt), "long": "sixty" in prompt}
            return questions("How long is it?")

        answers = {**CONFERENCE, "talk_abstract": asks}
        llm, kept = FakeLLM(answers, event_brief=[questions("Where is it?")]), InMemoryStatePersistence()
        result = await executor(llm, persistence=kept).start(WORKFLOW, "p1")
        asked = []
        while result.paused:
            found = await kept.load(WORKFLOW.workflow_id, "p1", WORKFLOW)
            assert found is not None
            assert found[0].to_dict() == result.state.to_dict()
            ready = executor(llm, persistence=kept)
            result = await ready.resume(WORKFLOW, *found)
            if result.state.status is WorkflowStatus.WAITING_ACCEPTANCE:
                result = await ready.process_acceptance(WORKFLOW, *found, decision(result))
                continue
            asked.append((found[0].pending_clarification_step_id, found[0].pending_clarification_scope))
            for wrong in ({}, {"Q_01": "x", "Q_99": "y"}):
                await refused(ready.process_clarification(WORKFLOW, *found, wrong), result, ClarificationError, "Q_")
            no = AcceptanceDecision(doc_type="talk_abstract", accepted=True, decided_by="x")
            await refused(ready.process_acceptance(WORKFLOW, *found, no), result, AcceptanceError, "waiting_clarif")
            result = await ready.process_clarification(WORKFLOW, *found, {"Q_01": "sixty minutes"})
        assert result.state.status is COMPLETED
        assert asked == [
            ("brief", None), ("write_abstract", "track=t1/talk=k2"), ("write_abstract", "track=t2/talk=k2")
        ]  # fmt: skip
        assert len(llm.asked) == 13
        assert [each[3]["long"] for each in documents(result) if each[0] == "talk_abstract"] == [
            False,
            True,
            False,
            True,
        ]

    run(scenario)


def test_an_answered_step_still_needs_its_acceptance() -> None:
    async def scenario() -> None:
        llm = FakeLLM(CONFERENCE, track_plan=[questions("How many rooms?")])
        ready = executor(llm)
        result = await ready.start(WORKFLOW, "p1")
        assert result.state.status is WorkflowStatus.WAITING_CLARIFICATION
        assert "clarification" in str(result.pause_reason)
        result = await ready.process_clarification(WORKFLOW, result.state, result.context, {"Q_01": "Two"})
        assert result.state.pending_acceptance == "track_plan"
        call = ready.process_clarification(WORKFLOW, result.state, result.context, {"Q_01": "Two"})
        await refused(call, result, ClarificationError, "waiting_acceptance: no step waits for answers")
        result, waited = await to_the_end(ready, WORKFLOW, result)
        assert (result.state.status, len(waited), len(llm.asked)) == (COMPLETED, 3, 11)

    run(scenario)


def test_a_revision_knows_the_answers_given_before() -> None:
    async def scenario() -> None:
        llm, workflow = FakeLLM(CONFERENCE, track_plan=[questions("How many rooms?")]), revising()
        ready = executor(llm)
        result = await ready.start(workflow, "p1")
        result = await ready.process_clarification(workflow, result.state, result.context, {"Q_01": "Two halls"})
        result = await ready.process_acceptance(workflow, result.state, result.context, decision(result, False))
        assert result.state.pending_acceptance == "track_plan"
        assert "Two halls" in llm.asked[-1].user
        assert "too thin" in llm.asked[-1].user

    run(scenario)
