"""Asking somebody whether a risky change set may be applied. Whatever goes wrong on the way, the answer is no."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from phasegate.apps.build.errors import one_line
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.risk import Risk, auto_approvable
from phasegate.apps.build.schema import Planned

Answer = Literal["approved", "rejected", "pending"]
ANSWERS: tuple[Answer, ...] = ("approved", "rejected", "pending")
#: Names of variables that say in which environment a program runs, and words for the one where nothing passes by itself.
_ENVIRONMENT_NAMES = ("ENVIRONMENT", "ENV", "APP_ENV", "STAGE", "DEPLOY_ENV", "PHASEGATE_ENV")
_PRODUCTION = frozenset({"prod", "production", "live"})


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A question to a person: may exactly this change set be applied? ``sha256`` is the change set's; ``created`` and ``expires``
    are aware times."""

    request_id: str
    run_id: str
    phase_id: str
    attempt: int
    sha256: str
    risk: int
    reasons: tuple[str, ...]
    diff: str
    created: datetime
    expires: datetime

    def told(self) -> dict[str, Any]:
        """The request as JSON."""
        times = {"created": self.created.isoformat(), "expires": self.expires.isoformat()}
        return {**asdict(self), "reasons": list(self.reasons), **times}


class ApprovalProvider(Protocol):
    """Somebody who decides. ``pending`` means: ask again later, with the same request."""

    def decide(self, request: ApprovalRequest) -> Answer:
        """The decision about this request, recognised by its ``request_id``."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by whom, and why if it is no."""

    answer: Answer
    decided_by: str
    comment: str = ""


def by_policy(
    planned: Sequence[Planned], risk: Risk, policy: Policy, environment: Mapping[str, str]
) -> Decision | None:
    """The approval that the policy gives without a person; None when it gives none. In production it never gives any."""
    if is_production(environment) or not auto_approvable(planned, risk, policy):
        return None
    return Decision("approved", "policy")


def is_production(environment: Mapping[str, str]) -> bool:
    """Whether the variables say that this is production."""
    return any(environment.get(name, "").strip().lower() in _PRODUCTION for name in _ENVIRONMENT_NAMES)


def ask(provider: ApprovalProvider | None, request: ApprovalRequest, now: datetime) -> Decision:
    """Ask once. Nobody to ask, a request that has expired, an exception and an answer that is none are rejections."""
    if provider is None:
        return Decision("rejected", "nobody", "there is nobody who could approve it; give an approval provider")
    if now >= request.expires:
        return Decision("rejected", "time", "nobody decided in time")
    who = type(provider).__name__
    try:
        answer: object = provider.decide(request)
    except (Exception, SystemExit) as error:  # a gate that does not work must not open
        return Decision(
            "rejected", who, f"it could not be decided: {type(error).__name__}: {one_line(str(error))[:300]}"
        )
    known = next((each for each in ANSWERS if isinstance(answer, str) and answer == each), None)
    if known is None:
        return Decision("rejected", who, f"the provider gave {one_line(repr(answer))[:80]}, which is no decision")
    return Decision(known, who)


def wait(
    provider: ApprovalProvider | None, request: ApprovalRequest, policy: Policy, *, now: Callable[[], datetime],
    sleep: Callable[[float], object],
) -> Decision:  # fmt: skip
    """Ask again and again, about this one request, until there is a decision or the request expires."""
    while True:
        decision = ask(provider, request, now())
        if decision.answer != "pending":
            return decision
        left = (request.expires - now()).total_seconds()
        sleep(max(0.0, min(policy.approval_poll, left)))
