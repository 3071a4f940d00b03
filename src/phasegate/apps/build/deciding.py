"""Changes that wait for approval: who is asked, and how an answer reaches the gate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from phasegate import Engine
from phasegate.apps.build import approval
from phasegate.apps.build import statements as q
from phasegate.apps.build.approval import ApprovalRequest, Decision
from phasegate.apps.build.columns import load
from phasegate.apps.build.errors import ApprovalError
from phasegate.apps.build.flow import stage
from phasegate.apps.build.risk import Risk
from phasegate.apps.build.stages.validating import replanned
from phasegate.apps.build.workshop import Workshop
from phasegate.errors import AlreadyDecided


class Approvals:
    """The approvals of one repository's runs."""

    def __init__(self, engine: Engine, shop: Workshop, sleep: Callable[[float], object] = time.sleep) -> None:
        """``sleep`` is how the time between two questions is spent, where the policy says to wait."""
        self._engine, self._shop, self._sleep = engine, shop, sleep

    def ask(self, run_id: str) -> bool:
        """Have what waits in a run decided, by the policy or by the provider; whether anything was. Nobody to ask means no."""
        found = self.pending(run_id)
        if found is None:
            return False
        row, request = found
        # Somebody else, or the deadline, may be first: then that counts.
        with suppress(AlreadyDecided):
            decision = self._by_policy(row) or self._by_provider(request)
            if decision.answer == "pending":
                return False
            self.decide(request.request_id, decision.answer, by=decision.decided_by, comment=decision.comment)
        return True

    def decide(self, request_id: str, outcome: str, *, by: str, comment: str = "") -> None:
        """Answer a request. Raises ``ApprovalError`` when there is none of this id, and ``AlreadyDecided`` when it does not
        wait any more."""
        row = self._waiting_row(request_id)
        gate = stage(row["phase_index"], "approval")
        shown = self._engine.get(row["run_id"]).at(gate).shown
        self._engine.decide(row["run_id"], gate, outcome, by=by, seen=shown, comment=comment)

    def _waiting_row(self, request_id: str) -> Mapping[str, Any]:
        row = next(iter(self._engine.read(q.APPROVAL, {"request": request_id})), None)
        if row is None:
            raise ApprovalError("E_APPROVAL_UNKNOWN", f"there is no request {request_id!r}")
        if row["status"] != "pending":
            by = f" by {row['decided_by']}" if row["decided_by"] else ""
            raise AlreadyDecided(f"the request was decided{by} and is {row['status']}")
        return row

    def waiting(self, run_id: str) -> dict[str, Any] | None:
        """What waits in a run, as a result shows it."""
        found = self.pending(run_id)
        return None if found is None else {**found[1].told(), "outcome": "pending"}

    def pending(self, run_id: str) -> tuple[Mapping[str, Any], ApprovalRequest] | None:
        """The row and the request of what waits in a run."""
        row = next(iter(self._engine.read(q.WAITING_OF_RUN, {"run": run_id})), None)
        return None if row is None else (row, self._request(row))

    def validated(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was validated, and is to be approved."""
        found: Mapping[str, Any] = self._engine.output(row["run_id"], stage(row["phase_index"], "validate"))
        return found

    def _request(self, row: Mapping[str, Any]) -> ApprovalRequest:
        return ApprovalRequest(
            row["request_id"], row["run_id"], row["phase_id"], row["attempt_index"], row["change_sha256"], row["risk_score"],
            tuple(load(row["reasons_json"])), self.validated(row)["shown"], row["requested_at"], row["expires_at"],
        )  # fmt: skip

    def _by_policy(self, row: Mapping[str, Any]) -> Decision | None:
        found = self.validated(row)
        risk = Risk(found["risk"]["score"], tuple(found["risk"]["reasons"]), found["risk"]["level"])
        return approval.by_policy(replanned(found, self._shop), risk, self._shop.policy, os.environ)

    def _by_provider(self, request: ApprovalRequest) -> Decision:
        shop = self._shop
        if shop.policy.approval_blocks:

            def nap(seconds: float) -> None:
                self._sleep(seconds)
                self._waiting_row(request.request_id)  # raises when somebody has decided elsewhere

            return approval.wait(shop.approval_provider, request, shop.policy, now=self._now, sleep=nap)
        return approval.ask(shop.approval_provider, request, self._now())

    def _now(self) -> datetime:
        return self._engine.store.now()
