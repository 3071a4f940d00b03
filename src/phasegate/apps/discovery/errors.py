"""What can go wrong with discovery flows."""

from __future__ import annotations

from collections.abc import Iterable

from phasegate.errors import InputError, NotAllowed, UsageError, did_you_mean


class DiscoveryError(UsageError):
    """Something a discovery flow could not do. ``code`` is what programs tell errors apart by."""

    code = "DISCOVERY_ERROR"


class InventoryError(InputError):
    """A file that cannot be imported as an inventory."""

    code = "INVALID_INVENTORY"


class FlowNotFound(DiscoveryError):
    """A flow, import, mapping, asset or conflict that this tenant does not have, whoever else may have it."""

    code = "NOT_FOUND"
    status = 404


class InvalidFlowState(NotAllowed):
    """The flow is in no state in which that can be done."""

    code = "INVALID_FLOW_STATE"


class CleansingRequired(DiscoveryError):
    """There are no cleansed rows, and assets are made of nothing else."""

    code = "CLEANSING_REQUIRED"
    status = 422


class ValidationFailed(DiscoveryError):
    """What a phase is to work on is not as it must be. ``errors`` has every problem."""

    code = "VALIDATION_FAILED"
    status = 422

    def __init__(self, errors: Iterable[str], *, hint: str | None = None) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(self.errors), hint=hint)


class AgentError(DiscoveryError):
    """An agent that gave no answer, or one that cannot be used."""

    code = "AGENT_FAILED"
    status = 502


class UnknownPhase(DiscoveryError):
    """A phase that no discovery flow has."""

    code = "UNKNOWN_PHASE"
    status = 404

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = list(known)
        hint = did_you_mean(name, names) or f"there are: {', '.join(names)}"
        super().__init__(f"there is no phase {name!r}", hint=hint)
