"""The model as one attempt may use it: paid for before it is asked, settled when it has answered."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import timedelta

from phasegate import Context, Fatal, Snooze
from phasegate.apps.documents.spending import budgets
from phasegate.apps.documents.spending.budgets import Exceeded
from phasegate.apps.documents.spending.ledger import Account, Ledger, Place, settling
from phasegate.apps.documents.step_executor import StepExecutor
from phasegate.errors import StoreError
from phasegate.llm import Client, LLMError, Request, Response
from phasegate.llm.budget import Budget, Cost, Estimator, after_failure

#: Seconds between two looks whether others have settled.
LOOK = 0.2
#: The part of its own timeout that a request may spend on waiting for others.
OF_TIMEOUT = 0.25
#: Seconds until an attempt that could not reserve, because of the database, is made again.
AGAIN = 5.0


def client_of(context: Context, executor: StepExecutor) -> Client | None:
    """The model for one attempt; None when nobody keeps accounts, and the executor's own will do.

    Raises ``Fatal`` when there are limits that could not be kept to.
    """
    limits = budgets.of_input(context.input)
    if isinstance(context.deps, Ledger) and not context.dry_run:
        estimator = Estimator(executor.prices, executor.models, limits.output_tokens)
        return Spending(context, context.deps, executor.client, estimator, limits.of_phase(context.phase))
    if limits.limits:
        said = "in a dry-run nothing can be reserved" if context.dry_run else "the engine has no ledger"
        raise Fatal(f"the run has budgets that cannot be kept to: {said}")
    return None


class Spending(Client):
    """The model of one attempt, which may be asked once. ``limits`` are those that the run was begun with.

    ``generate`` raises ``Exceeded``, and asks nothing, when a budget has no room for what the request may cost. Room that others
    only have reserved is waited for, as long as the ledger has patience. A call that is given up half-way counts as much as was
    reserved for it; of a call that was repeated by the client inside, only the answer counts.
    """

    def __init__(
        self, context: Context, ledger: Ledger, inner: Client, estimator: Estimator, limits: Sequence[Budget]
    ) -> None:
        self._context, self._ledger, self._inner = context, ledger, inner
        self._estimator, self._limits = estimator, limits
        self._place = Place(context.tenant, context.run.id, context.phase, context.scope)
        self._id = uuid.uuid4().hex

    async def generate(self, request: Request) -> Response:
        """The model's answer. Raises what the model raises, ``Exceeded``, ``Snooze`` when the database cannot be reached, and
        ``Fatal`` when a budget is in money and nobody has named a price."""
        cost = self._estimator.at_most(request)
        try:
            accounts = await self._reserve(cost, request)
        except StoreError as error:
            raise Snooze(
                self._context.now() + timedelta(seconds=AGAIN), f"nothing could be reserved: {error}"
            ) from None
        try:
            response = await self._inner.generate(request)
        except LLMError as error:
            await self._settle(accounts, after_failure(error, cost))
            raise
        except BaseException:  # given up, and perhaps paid for
            await self._settle(accounts, cost)
            raise
        await self._settle(accounts, self._estimator.of(response, cost))
        return response

    async def _reserve(self, cost: Cost, request: Request) -> Sequence[Account]:
        # Most calls have no budget. This one read is quicker than a thread that would do it.
        accounts = self._ledger.accounts(self._place)
        if not accounts and not self._limits:
            return accounts
        accounts = await asyncio.to_thread(self._begin)
        now = asyncio.get_running_loop().time
        patience = self._ledger.patience
        end = now() + (patience if request.timeout is None else min(patience, request.timeout * OF_TIMEOUT))
        while True:
            short = self._short(accounts, cost, request)
            if short is None:
                if not accounts or await asyncio.to_thread(self._ledger.reserve, self._id, self._place, accounts, cost):
                    return accounts
            elif short.for_good or now() >= end:
                raise short
            else:
                await asyncio.sleep(LOOK)
            accounts = await asyncio.to_thread(self._ledger.accounts, self._place)

    def _begin(self) -> list[Account]:
        """Put on record what has to be before anything is reserved: limits, what earlier attempts left behind, a raise. The
        budgets as they stand then."""
        self._ledger.open(self._place, self._limits)
        self._ledger.bury(self._place)
        raised = budgets.raised(self._context.questions, self._context.answers)
        if raised is not None:
            self._ledger.allow(*raised)
        return self._ledger.accounts(self._place)

    def _short(self, accounts: Sequence[Account], cost: Cost, request: Request) -> Exceeded | None:
        """The budget that has no room, if one has none: rather one that will not have any either when others have settled."""
        short: list[Exceeded] = []
        for each in accounts:
            needed = cost.amount(each.unit)
            if needed is None:
                names = self._estimator.unpriced([request.model] if request.model else [])
                raise Fatal(
                    f"{each.owner} is in US dollars, and nobody has named a price for {', '.join(names) or 'the model'}: "
                    "name one, or set the budget in tokens"
                )
            if not each.has_room(needed):
                short.append(Exceeded(each, needed))
        return next((each for each in short if each.for_good), short[0] if short else None)

    async def _settle(self, accounts: Sequence[Account], cost: Cost) -> None:
        if not accounts:
            return
        try:
            # Whoever gives the attempt up, or ends the loop, does not keep it from being settled: a task that had not begun
            # would be cancelled with all others.
            settled = asyncio.get_running_loop().run_in_executor(None, self._ledger.settle, self._id, accounts, cost)
            await asyncio.shield(settled)
        except StoreError:  # the answer is worth more: it is settled in the commit that records it
            for statement, values in settling(self._id, accounts, cost):
                self._context.write(statement, values)
