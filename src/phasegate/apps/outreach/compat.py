"""The functions of the phase execution guide, over the engine.

Dictionaries enter and leave here and nowhere else. A phase that does not exist, and a sequence that cannot be, raise; whatever
else goes wrong is a result with ``status`` failed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from phasegate import PhasegateError
from phasegate.apps.outreach.asked import ask, asks_for_dry_run, check_keys
from phasegate.apps.outreach.catalogue import CATALOGUE
from phasegate.apps.outreach.entries import PhaseEntry
from phasegate.apps.outreach.execution import PhaseFailed, perform
from phasegate.apps.outreach.opening import current_engine, open_engine, use_engine
from phasegate.apps.outreach.recording import PhaseStatistics, RecordingSwitches, record_phase, record_sequence

if TYPE_CHECKING:
    from phasegate import Engine

__all__ = [
    "ExecutorConfig",
    "configure",
    "execute_all_implemented",
    "execute_phase_by_name",
    "open_engine",
    "retry_failed_phase",
    "run_outreach_phase",
    "run_phase_sequence",
    "run_sequence",
    "use_engine",
]

_log = logging.getLogger("phasegate.outreach")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ExecutorConfig:
    """What holds for every call unless its arguments forbid it. ``auto_advance`` goes on with the next phases, in the order
    of their ids, as long as they complete; the result is that of the phase that was asked for."""

    recording: RecordingSwitches = field(default_factory=RecordingSwitches)
    validate_dependencies: bool = True
    auto_advance: bool = False
    stop_on_error: bool = True


_config = ExecutorConfig()
#: Calls that failed where not even that could be recorded, so that they can still be retried: phase and scope.
_unrecorded: set[tuple[Any, str]] = set()


def configure(config: ExecutorConfig) -> ExecutorConfig:
    """Have ``config`` hold from now on; returns what held before."""
    global _config
    before, _config = _config, config
    return before


def run_outreach_phase(
    phase_id: object, context: Mapping[str, Any] = _NOTHING, validate_deps: bool = True, log_execution: bool = True
) -> dict[str, Any]:
    """Execute one phase. The result has exactly ``phase_id, phase_name, status`` (complete or failed),
    ``duration_seconds, result`` (None when failed) and ``error_message`` (None when complete).

    Raises ``UnknownPhase``, a ValueError, for a phase that does not exist, and nothing else.
    """
    entry = CATALOGUE.get(phase_id)
    ran = _execute(entry, context, _Options(validate_deps, log_execution))
    if _config.auto_advance and ran.status == "complete":
        _advance(entry, context, _Options(validate_deps, log_execution))
    return ran.to_result()


def execute_phase_by_name(
    phase_name: str, context: Mapping[str, Any] = _NOTHING, validate_deps: bool = True, log_execution: bool = True
) -> dict[str, Any]:
    """Execute the phase with this name, in any case; otherwise as ``run_outreach_phase``."""
    return run_outreach_phase(CATALOGUE.by_name(phase_name).phase_id, context, validate_deps, log_execution)


def retry_failed_phase(
    phase_id: object, context: Mapping[str, Any] = _NOTHING, validate_deps: bool = True, log_execution: bool = True
) -> dict[str, Any]:
    """Execute a phase again for the companies in which it has failed and not completed since.

    When the last call for the same companies failed as a whole (nobody was eligible, the database was away), all of it is done
    again. When nothing failed the result is complete, with a total of 0 and a note in its statistics.
    """
    entry = CATALOGUE.get(phase_id)
    return _execute(entry, context, _Options(validate_deps, log_execution, retrying=True)).to_result()


def run_phase_sequence(
    phase_ids: Sequence[object], context: Mapping[str, Any] = _NOTHING, stop_on_error: bool = True
) -> list[dict[str, Any]]:
    """Execute phases in order, with one context for all; a result per executed phase.

    With ``stop_on_error`` the list ends at the first failed phase. Raises, before anything runs, a ValueError for a phase
    that does not exist, ids that do not ascend, and a context key that none of the phases knows. In a dry run later phases see
    what earlier ones would have done.
    """
    ran = run_sequence(phase_ids, context, stop_on_error)
    return [each.to_result() for each in ran if each.status != "skipped"]


def run_sequence(
    phase_ids: Sequence[object], context: Mapping[str, Any] = _NOTHING, stop_on_error: bool = True, *,
    log_execution: bool = True, validate_deps: bool = True,
) -> list[PhaseStatistics]:  # fmt: skip
    """``run_phase_sequence`` with records; phases that were not executed are among them as skipped. A sequence of one phase is
    not put on record as a sequence."""
    entries = CATALOGUE.sequence(phase_ids)
    check_keys(context, entries)
    options = _Options(validate_deps, log_execution, among=tuple(entries))
    ran: list[PhaseStatistics] = []
    stopped: PhaseEntry | None = None
    with ExitStack() as stack:
        for entry in entries:
            if stopped is not None:
                ran.append(_skipped(entry, stopped))
                continue
            if options.engine is None and asks_for_dry_run(context):
                options = replace(options, engine=_rehearsing(stack))
            each = _execute(entry, context, options)
            ran.append(each)
            if each.status == "failed" and stop_on_error and _config.stop_on_error:
                stopped = entry
    if len(entries) > 1 and log_execution and not asks_for_dry_run(context):
        _record_sequence(entries, [each for each in ran if each.status != "skipped"])
    return ran


def execute_all_implemented(state: str | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Execute every phase that works on stored companies, by ascending id.

    Returns ``state, dry_run, total_phases, successful, failed, phases[]``; a phase has ``phase_id, phase_name, status``
    (success or failed) and ``statistics`` or ``error``. Phase 0 needs a file and is not among them.
    """
    entries = [
        entry for entry in CATALOGUE.list_implemented() if entry.flow_phase != "intake" and not _low_level(entry)
    ]
    context = {"state": state, "dry_run": dry_run}
    ran = run_sequence([entry.phase_id for entry in entries], context, stop_on_error=False)
    phases = [_told(each) for each in ran]
    successful = sum(each["status"] == "success" for each in phases)
    return {
        "state": state,
        "dry_run": dry_run,
        "total_phases": len(phases),
        "successful": successful,
        "failed": len(phases) - successful,
        "phases": phases,
    }


def _low_level(entry: PhaseEntry) -> bool:
    """Phase 2: 1.1 executes its rules for every person, so that it need not be done twice."""
    return any(entry.phase_id in each.provides for each in CATALOGUE.list_all())


def _told(ran: PhaseStatistics) -> dict[str, Any]:
    head = {"phase_id": ran.entry.number, "phase_name": ran.entry.phase_name}
    if ran.status == "complete":
        return {**head, "status": "success", "statistics": ran.result.get("statistics")}
    return {**head, "status": "failed", "error": ran.error_message}


# --- one call -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Options:
    """The arguments of a call. ``among`` are the phases whose keys the context may have; ``engine`` is that of a rehearsal."""

    validate_deps: bool = True
    log_execution: bool = True
    retrying: bool = False
    among: tuple[PhaseEntry, ...] = ()
    engine: Engine | None = None


def _execute(entry: PhaseEntry, context: Mapping[str, Any], options: _Options) -> PhaseStatistics:
    """Do one phase and put it on record; whatever goes wrong is a failed record."""
    ran = PhaseStatistics(entry)
    if not isinstance(context, Mapping):
        ran.fail(f"the context must be a mapping of keys to values, not {type(context).__name__}")
        return ran
    attempts: Sequence[tuple[str, int]] = ()
    failed_before: str | None = None
    engine = options.engine
    try:
        engine = engine or current_engine()
        check_keys(context, options.among or [entry])
        checked = options.validate_deps and _config.validate_dependencies
        asked = ask(entry, context, check_needs=checked, retrying=options.retrying)
        dry_run = asks_for_dry_run(context)
        if options.retrying:
            whole, failed_before = _failed_as_a_whole(engine, entry, context)
            asked = replace(asked, retrying=not whole)
        with engine.rehearsal() if dry_run and not engine.dry_run else nullcontext(engine) as working:
            done = perform(working, entry, asked)
        attempts = done.attempts
        ran.complete(done.result)
    except PhaseFailed as error:
        ran.fail(str(error))
    except PhasegateError as error:
        ran.fail(f"{error} ({error.hint})" if error.hint else str(error))
        _log.debug("phase %s failed", entry.number, exc_info=True)
    except Exception as error:
        ran.fail(f"{type(error).__name__}: {error}")
        _log.warning("phase %s failed", entry.number, exc_info=True)
    if options.log_execution:
        _record(engine, ran, context, attempts=attempts, retry_of=failed_before)
    return ran


def _record(engine: Engine | None, ran: PhaseStatistics, context: Mapping[str, Any], **more: Any) -> None:
    key = (ran.entry.phase_id, _scope(context))
    if engine is None:
        _unrecorded.add(key)
        _log.error("phase %s failed, and nothing could be recorded: %s", ran.entry.number, ran.error_message)
    elif not engine.dry_run and context.get("dry_run") is not True:
        _unrecorded.discard(key)
        record_phase(engine, ran, context, _config.recording, **more)


def _failed_as_a_whole(engine: Engine, entry: PhaseEntry, context: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Whether the last call of the phase for the same companies failed altogether, and its id if it was recorded."""
    scope = _scope(context)
    rows = engine.read(
        "SELECT execution_id, status, context FROM phase_execution WHERE phase_id = :phase AND tenant = :tenant "
        "ORDER BY started_at DESC LIMIT 200",
        {"phase": float(entry.phase_id), "tenant": engine.tenant},
    )
    same = [row for row in rows if _scope(_context_of(row)) == scope]
    last = same[0] if same else None
    failed = next((row["execution_id"] for row in same if row["status"] == "failed"), None)
    return (last is not None and last["status"] == "failed") or (entry.phase_id, scope) in _unrecorded, failed


def _context_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = row["context"]
    return json.loads(found) if isinstance(found, str) else found or {}


def _scope(context: Mapping[str, Any]) -> str:
    """Whom a context is about, as text: how it is done does not matter."""
    names = ("state", "company", "company_id", "company_unique_id", "person", "person_id", "csv_file", "people_file")
    return repr({name: context[name] for name in names if context.get(name) is not None})


def _skipped(entry: PhaseEntry, after: PhaseEntry) -> PhaseStatistics:
    ran = PhaseStatistics(entry)
    ran.skip(f"not executed, because phase {after.number} failed")
    return ran


def _rehearsing(stack: ExitStack) -> Engine | None:
    """One rehearsal for a whole sequence; None when there is no database, which the phase will then say."""
    try:
        engine = current_engine()
        return engine if engine.dry_run else stack.enter_context(engine.rehearsal())
    except PhasegateError:
        return None


def _record_sequence(entries: Sequence[PhaseEntry], ran: Sequence[PhaseStatistics]) -> None:
    try:
        engine = current_engine()
    except PhasegateError:
        return  # the phases have failed for the same reason, and said so
    record_sequence(engine, entries, ran, _config.recording)


def _advance(entry: PhaseEntry, context: Mapping[str, Any], options: _Options) -> None:
    following = CATALOGUE.next_phase(entry.phase_id)
    while following is not None:
        own = {key: value for key, value in context.items() if key in following.accepts}
        if _execute(following, own, options).status != "complete":
            return
        following = CATALOGUE.next_phase(following.phase_id)


@contextmanager
def using(engine: Engine) -> Iterator[Engine]:
    """Within the block the functions work on this engine."""
    use_engine(engine)
    try:
        yield engine
    finally:
        use_engine(None)
