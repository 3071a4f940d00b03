"""A run's budgets as people meet them: set when it is begun, asked about when they have no room, raised by an answer.

A phase whose call has no room parks with one question, ``LIMIT``. The answer is the new limit in the unit of the budget; the
phase raises the limit when it goes on, exactly where it stood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from phasegate import Engine, PhaseRun, Run
from phasegate.apps.documents.definition.models import Workflow
from phasegate.apps.documents.errors import ClarificationError, WorkflowError
from phasegate.apps.documents.gates.answers import validate_answers
from phasegate.apps.documents.gates.questions import ClarificationQuestion
from phasegate.apps.documents.spending.ledger import Account, Ledger, Place
from phasegate.apps.documents.states.step_state import question_from_dict, question_to_dict
from phasegate.core.run import Scope
from phasegate.errors import InputError, NotAllowed, Stale, did_you_mean
from phasegate.llm import Prices
from phasegate.llm.budget import Budgets, Estimator, amount, number, shown

#: What marks questions that are about a budget, and where they have it.
BUDGET = "budget"
#: The id of the one question.
LIMIT = "LIMIT"


class Exceeded(Exception):
    """A call that a budget has no room for; nothing was asked. ``needed`` is what the call may cost, ``for_good`` says that there
    will be no room when others have settled either."""

    def __init__(self, account: Account, needed: int) -> None:
        super().__init__(f"{account.owner} has no room for {shown(account.unit, needed)}")
        self.account, self.needed = account, needed
        self.for_good = account.spent + needed > account.allowed

    def question(self, phase: str, refused: str = "") -> dict[str, Any]:
        """What a person is asked, as a phase parks itself with it; ``refused`` says what was wrong with an answer before."""
        account, unit = self.account, self.account.unit
        enough = account.spent + account.reserved + self.needed
        said = {"limit": account.allowed, "spent": account.spent, "reserved": account.reserved, "next": self.needed}
        reserved = f"{shown(unit, account.reserved)} are reserved for calls under way, " if account.reserved else ""
        text = (
            f"{refused}{account.owner} has no room for the next call of {phase!r}: {shown(unit, account.spent)} of "
            f"{shown(unit, account.allowed)} are spent, {reserved}and the call may cost up to {shown(unit, self.needed)}. "
            f"What is the new limit in {'US dollars' if unit == 'usd' else unit}? "
            f"With {shown(unit, enough)} it can go on."
        )
        asked = ClarificationQuestion(
            LIMIT, text, intent="a call must not cost more than is allowed", answer_type="number"
        )
        where = {"per": account.per, "tenant": account.tenant, "key": account.key, "unit": unit}
        return {
            "kind": BUDGET,
            "questions": [question_to_dict(asked)],
            BUDGET: {**where, **{name: number(unit, each) for name, each in said.items()}},
        }


def of_input(given: Any) -> Budgets:
    """The budgets that a run was begun with."""
    studio = given.get("studio") if isinstance(given, Mapping) else None
    told = studio.get("budgets") if isinstance(studio, Mapping) else None
    return Budgets.from_dict(told) if told else Budgets()


# --- set --------------------------------------------------------------------------------------------------------------


def check(limits: Budgets, workflow: Workflow, models: tuple[str, ...], prices: Prices | None) -> None:
    """Raise ``WorkflowError`` when a definition cannot be made within these: for steps it has not, or in money without prices."""
    steps = {step.step_id: step for step in workflow.get_production_steps()}
    for name in limits.phases:
        if name not in steps:
            raise WorkflowError(f"a budget is for {name!r}, which is no step", hint=did_you_mean(name, steps))
    named = [step.extra["model"] for step in steps.values() if step.extra.get("model")]
    unpriced = Estimator(prices, models).unpriced(named)
    if limits.in_money and (unpriced or prices is None):
        raise WorkflowError(
            f"a budget is in US dollars, and there is no price for {', '.join(unpriced) or 'any model'}",
            hint="--prices FILE with one, or a budget in tokens",
        )


def configure(engine: Engine, run: Run, limits: Budgets, workflow: Workflow, *, by: str = "") -> Run:
    """Have a run keep to these limits, also when it has begun already; phases that wait for as much go on then."""
    ledger = Ledger(engine)
    for step in workflow.get_production_steps():
        ledger.configure(Place(run.tenant, run.id, step.step_id, ()), limits.of_phase(step.step_id))
    run = engine.get(run.id)
    for each in list(parked(run)):
        said = each.questions[BUDGET]
        limit = next(
            number(account.unit, account.allowed)
            for account in ledger.accounts(Place(run.tenant, run.id, each.phase, each.scope))
            if (account.per, account.key, account.unit) == _named(said)
        )
        if limit > said["limit"]:
            run = _answered(engine, run, each, limit, by)
    return run


# --- asked ------------------------------------------------------------------------------------------------------------


def is_about_budget(questions: Any) -> bool:
    """Whether these are questions about a budget, and not a model's."""
    return isinstance(questions, Mapping) and questions.get("kind") == BUDGET


def parked(run: Run) -> Iterator[PhaseRun]:
    """The phases of a run that wait for a limit to be raised."""
    return (each for each in run.phases.values() if each.asked and is_about_budget(each.questions))


def answer(engine: Engine, run: Run, phase: str, scope: Scope, answers: Mapping[str, Any], *, by: str) -> Run:
    """Raise the limit that a phase waits for; others of the run that wait for the same go on with it.

    Raises ``ClarificationError``, and changes nothing, when the answer is no number above what is spent.
    """
    asked = run.at(phase, scope).questions
    limit = new_limit(asked, answers)
    run = engine.answer(run.id, phase, {LIMIT: limit}, by=by, scope=scope)
    for each in list(parked(run)):
        if _named(each.questions[BUDGET]) == _named(asked[BUDGET]):
            run = _answered(engine, run, each, limit, by)
    return run


def _answered(engine: Engine, run: Run, parked: PhaseRun, limit: float, by: str) -> Run:
    with suppress(Stale, NotAllowed):  # somebody was faster
        return engine.answer(run.id, parked.phase, {LIMIT: limit}, by=by, scope=parked.scope)
    return engine.get(run.id)


def new_limit(asked: Mapping[str, Any], answers: Any) -> int | float:
    """The limit that an answer names. Raises ``ClarificationError`` when it names none above what is spent."""
    question = question_from_dict(asked["questions"][0])
    assert isinstance(question, ClarificationQuestion)
    said, unit = asked[BUDGET], asked[BUDGET]["unit"]
    limit: int | float = validate_answers([question], answers)[LIMIT]
    try:
        found = number(unit, amount(unit, limit))
    except InputError as error:
        raise ClarificationError(f"the answer to {LIMIT} does not fit: {error}") from None
    if found <= said["spent"]:
        raise ClarificationError(
            f"the answer to {LIMIT} is {limit}; it must be more than the {said['spent']} that are spent"
        )
    return found


def raised(questions: Any, answers: Any) -> tuple[Account, int] | None:
    """The budget that was raised by the answer an attempt goes on with, and its new limit; None when none was."""
    if answers is None or not is_about_budget(questions):
        return None
    said = questions[BUDGET]
    try:
        limit = amount(said["unit"], new_limit(questions, answers))
    except ClarificationError:
        return None
    return Account(said["tenant"], said["per"], said["key"], said["unit"], limit, 0), limit


def refusal(questions: Any, answers: Any) -> str:
    """Why the answer an attempt goes on with raised nothing, as the beginning of the next question; empty when it did."""
    if answers is None or not is_about_budget(questions):
        return ""
    try:
        new_limit(questions, answers)
    except ClarificationError as error:
        return f"{error}. "
    return ""


def _named(said: Mapping[str, Any]) -> tuple[str, str, str]:
    return said["per"], said["key"], said["unit"]
