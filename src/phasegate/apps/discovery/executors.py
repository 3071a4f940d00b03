"""Phases executed inside a caller's own transaction, for programs that have one and drive a flow themselves.

The functions are those of the engine's phases. They read and write through the session they are given; whoever gave it commits,
or undoes everything. A session may be SQLAlchemy's ``Session`` or its ``AsyncSession``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from phasegate import Fatal, Outcome
from phasegate.apps.discovery.errors import DiscoveryError, FlowNotFound, UnknownPhase
from phasegate.apps.discovery.identifiers import as_id
from phasegate.apps.discovery.phase_names import canonical
from phasegate.apps.discovery.phases import cleansing, inventory, previewing, validating
from phasegate.apps.discovery.phases.common import MORE, Place
from phasegate.apps.discovery.statements.imports import IMPORT, PROFILES
from phasegate.apps.discovery.tenancy import Tenant
from phasegate.apps.discovery.workshop import Workshop
from phasegate.errors import InputError, PhasegateError

#: What can be done in somebody else's transaction: nothing that waits for files, models or people.
_DIRECT: Mapping[str, Callable[..., Any]] = {
    "data_validation": validating.validate,
    "data_cleansing": cleansing.cleanse_rows,
}


@dataclass
class UnifiedDiscoveryFlowState:
    """Where a flow stands, for executors that were written to be given it; what they work on comes with ``flow_context``."""

    flow_id: str | None = None
    client_account_id: str | None = None
    engagement_id: str | None = None
    user_id: str | None = None
    master_flow_id: str | None = None
    data_import_id: str | None = None
    current_phase: str | None = None
    status: str = "initialized"
    progress_percentage: float = 0.0
    phase_completion: dict[str, bool] = field(default_factory=dict)
    phase_data: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    awaiting_user_approval: bool = False


class PhaseExecutor:
    """Executes one phase in the transaction of ``flow_context["db_session"]``.

    ``flow_context`` has flow_id, data_import_id, client_account_id, engagement_id, db_session, and may have user_id,
    master_flow_id, ``phase`` (else the state's current phase) and ``inputs``, outputs of earlier phases by name. Nobody is asked
    for a crew: direct execution needs none.
    """

    phase_name: str | None = None

    def __init__(self, state: Any, crew_manager: Any = None, flow_bridge: Any = None) -> None:
        self.state, self.crew_manager, self.flow_bridge = state, crew_manager, flow_bridge

    async def execute_phase(self, flow_context: Mapping[str, Any]) -> dict[str, Any]:
        """What came of the phase: ``status`` (success, paused or failed), ``phase``, ``mode``, ``execution_time`` in seconds,
        and ``data`` or ``error`` with ``error_code``. Flushes and never commits. Raises only what the database raises."""
        began = perf_counter()
        phase = str(flow_context.get("phase") or self.phase_name or getattr(self.state, "current_phase", "") or "")
        try:
            phase = canonical(phase)
            told = await self._execute(phase, flow_context)
        except (PhasegateError, Fatal) as error:
            told = {
                "status": "failed", "error": str(error), "error_type": type(error).__name__, "error_code": _code(error),
            }  # fmt: skip
            if isinstance(self.state, UnifiedDiscoveryFlowState):
                self.state.errors.append({"phase": phase, "error": str(error), "time": datetime.now(UTC).isoformat()})
        return {"phase": phase, "mode": "direct", **told, "execution_time": perf_counter() - began}

    async def _execute(self, phase: str, flow_context: Mapping[str, Any]) -> dict[str, Any]:
        if phase == "asset_inventory":
            return await self._create_assets(flow_context)
        if phase not in _DIRECT:
            raise UnknownPhase(phase, [*_DIRECT, "asset_inventory"])
        result = await _in_session(flow_context, lambda context: _all_pieces(_DIRECT[phase], context))
        if isinstance(result, Outcome):
            return {"status": "paused", "data": result.value}
        return {"status": "success", "data": result}

    async def _create_assets(self, flow_context: Mapping[str, Any]) -> dict[str, Any]:
        approval = _approval(flow_context)
        counts: Counter[str] = await _in_session(flow_context, lambda context: _create(context, approval))
        created, duplicates, failed = counts["created"], counts["duplicates"], counts["failed"]
        if not created and not duplicates:
            raise DiscoveryError("no row became an asset: nothing was approved, or every row failed")
        return {
            "status": "paused" if duplicates else "success", "assets_created": created,
            "assets_duplicates": duplicates, "assets_failed": failed, "conflict_count": duplicates,
            "message": f"{created} assets created, {duplicates} met assets that are there, {failed} failed",
        }  # fmt: skip


class AssetInventoryExecutor(PhaseExecutor):
    """Makes the assets of an import, by ``AssetService`` alone."""

    phase_name = "asset_inventory"

    async def execute_asset_creation(self, flow_context: Mapping[str, Any]) -> dict[str, Any]:
        """As ``execute_phase``, with the status ``completed`` for success. ``flow_context`` may have ``approved`` (ids of rows,
        or ``"all"``, which it is when nothing is said) and ``edits`` (changes to fields, by the id of the row)."""
        told = await self.execute_phase({**flow_context, "phase": self.phase_name})
        completed = told["status"] == "success"
        return {**told, "status": "completed" if completed else told["status"], "success": completed}


class DataCleansingExecutor(PhaseExecutor):
    """Cleanses the rows of an import by its approved mappings."""

    phase_name = "data_cleansing"


# --- a phase's context in somebody else's transaction -----------------------------------------------------------------


@dataclass
class _CallersContext:
    """What a phase's function needs of its context, in a session."""

    session: Any
    input: Mapping[str, Any]
    inputs: Mapping[str, Any]
    feedback: Any = None
    answers: Any = None
    deps: Workshop = field(default_factory=Workshop)

    def read(self, statement: Any, params: Mapping[str, Any] | None = None) -> Any:
        return self.session.execute(statement, params or {}).mappings().all()

    def write(self, statement: Any, params: Mapping[str, Any]) -> None:
        self.session.execute(statement, params)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def progress(self, _done: int, _total: int | None = None) -> None:
        """Nobody listens."""

    def ask(self, questions: Any) -> Outcome:
        return Outcome("asked", questions)


def _code(error: Exception) -> str:
    """What programs tell an error apart by: its code, or the word in capitals that its message begins with."""
    if isinstance(error, InputError):
        return getattr(error, "code", "INVALID_INPUT")
    word = str(error).partition(":")[0]
    return getattr(error, "code", None) or (word if word.isupper() and word.isidentifier() else "PHASE_FAILED")


def _approval(flow_context: Mapping[str, Any]) -> inventory.Approval:
    """Raises ``InputError`` for what is no id of a row."""
    given = flow_context.get("approved", "all")
    edits = {as_id(key, "row id"): dict(changes) for key, changes in (flow_context.get("edits") or {}).items()}
    approved = given if given == "all" else [as_id(each, "row id") for each in given or ()]
    return inventory.Approval.of({"approved": approved, "edits": edits})


async def _in_session(flow_context: Mapping[str, Any], work: Callable[[Any], Any]) -> Any:
    """Do something in the caller's transaction. Raises ``InputError`` when an id is missing, or is none, and ``FlowNotFound``
    when the tenant has no such import, or when it is another flow's."""
    session = flow_context.get("db_session")
    if session is None:
        raise DiscoveryError("flow_context has no db_session", hint="give the session whose transaction is to be used")
    client, engagement = flow_context.get("client_account_id"), flow_context.get("engagement_id")
    tenant = Tenant(client, engagement, flow_context.get("user_id") or "")  # type: ignore[arg-type]
    given = {
        "flow_id": as_id(flow_context.get("flow_id") or flow_context.get("master_flow_id"), "flow id"),
        "data_import_id": as_id(flow_context.get("data_import_id"), "import id"),
        **tenant.columns, "user_id": tenant.user_id, "configuration": {},
    }  # fmt: skip
    inputs = flow_context.get("inputs") or {}

    def whole(inner: Any) -> Any:
        context = _CallersContext(inner, given, inputs)
        _check_import(context)
        result = work(context)
        inner.flush()
        return result

    if hasattr(session, "run_sync"):
        return await session.run_sync(whole)
    return whole(session)


def _check_import(context: Any) -> None:
    place = Place.of(context)
    found = context.read(IMPORT, place.where)
    if not found:
        raise FlowNotFound(f"there is no import {place.import_id}", hint="give the data_import_id of the tenant's flow")
    if found[0]["master_flow_id"] not in (None, place.flow_id):
        raise FlowNotFound(f"import {place.import_id} is not that of flow {place.flow_id}")
    if not context.read(PROFILES, place.where):
        raise DiscoveryError(
            "the rows of the import have not been brought in yet", hint="let data_import be done first"
        )


def _all_pieces(function: Callable[..., Any], context: _CallersContext) -> Any:
    while True:
        result = function(context)
        if not isinstance(result, Outcome) or result.word != MORE:
            return result
        context.feedback = result.value


def _create(context: Any, approval: inventory.Approval) -> Counter[str]:
    place, counts = Place.of(context), Counter[str]()
    previewing.check_cleansed(context.read, place.where)
    last: int | None = 0
    while last is not None:
        last = inventory.make_piece(context.session, place, context.now(), approval, last, counts)
    return counts
