"""What is put around a phase really runs: validators, handlers before and behind it, and those that are told of errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate import Context, Fatal, Flow, Outcome, Phase, Retry, Run, Snooze, Subject
from phasegate.apps.discovery import (
    DISCOVERY,
    Discovery,
    FlowTypeConfig,
    FlowTypeRegistry,
    HandlerResult,
    PhaseConfig,
    Tenant,
    ValidationResult,
    build_registry,
    open_engine,
)
from phasegate.apps.discovery.errors import DiscoveryError
from phasegate.apps.discovery.guarding import guarded
from phasegate.apps.discovery.phase_names import PHASES
from phasegate.apps.discovery.phases import cleansing, common, importing, previewing
from phasegate.errors import FlowError
from tests.apps.discovery.steps import begun, host, hosts, made, mapped, names, waits_for, write
from tests.waiting import wait_for

OWN = Tenant("northwind", "q4", "ann")
SQLITE = pytest.mark.parametrize("address", ["sqlite"], indirect=True)


class Witness:
    """Validators and handlers that write down that they were called, and say what a test wants them to say."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.told: dict[str, Mapping[str, Any]] = {}
        self.says: dict[str, Any] = {}

    def validator(self, name: str) -> Callable[..., Any]:
        return lambda given, state, overrides: self._answer(name, given, ValidationResult())

    def handler(self, name: str) -> Callable[..., Any]:
        return lambda given: self._answer(name, given, HandlerResult())

    def _answer(self, name: str, given: Mapping[str, Any], otherwise: Any) -> Any:
        self.called.append(name)
        self.told[name] = given
        answer = self.says.get(name, otherwise)
        if isinstance(answer, Exception):
            raise answer
        return answer


def around(phase: PhaseConfig) -> PhaseConfig:
    """The phase with a validator and a handler on either side of its own."""
    before, after, check = (f"{kind} {phase.name}" for kind in ("before", "after", "check"))
    return replace(phase, validators=(*phase.validators, check), pre_handlers=(before,), post_handlers=(after,))


CONFIG = replace(
    DISCOVERY, phases=tuple(map(around, DISCOVERY.phases)), initialization_handlers=("begin",),
    finalization_handlers=("end",), error_handlers=("broken handler", "error"),
)  # fmt: skip


def prepared(witness: Witness, found: FlowTypeRegistry) -> None:
    for phase in CONFIG.phases:
        found.validators.register(f"check {phase.name}", witness.validator(f"check {phase.name}"))
        for name in (*phase.pre_handlers, *phase.post_handlers):
            found.handlers.register(name, witness.handler(name))
    for name in ("begin", "end", "broken handler", "error"):
        found.handlers.register(name, witness.handler(name))


@pytest.fixture
def witness() -> Witness:
    found = Witness()
    found.says["broken handler"] = RuntimeError("an error handler with a defect")
    return found


@pytest.fixture
def discovery(address: str, witness: Witness) -> Iterator[Discovery]:
    registry = build_registry(config=CONFIG, prepare=lambda found: prepared(witness, found))
    with open_engine(address, registry=registry) as engine:
        yield Discovery(engine, OWN)


def failed_with(discovery: Discovery, flow: str) -> str:
    """What is told of the failure."""
    status = discovery.status(flow)
    assert status["status"] == "failed", status
    return str(status["error_message"])


def finish(discovery: Discovery, file: Path, **configuration: Any) -> str:
    """A flow as far as it gets."""
    flow = begun(discovery, file, **configuration)
    for step in (mapped, made):
        if discovery.status(flow)["status"] != "failed":
            step(discovery, flow)
    return flow


# --- a whole flow -----------------------------------------------------------------------------------------------------


def test_everything_around_the_phases_is_called_once_in_its_order(
    discovery: Discovery, witness: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE", 2)
    flow = finish(discovery, write(tmp_path / "a.csv", hosts(5)), analysis=True)
    assert discovery.status(flow)["status"] == "completed"
    expected = [f"{kind} {phase}" for phase in PHASES for kind in ("before", "check", "after")]
    assert witness.called == ["begin", *expected, "end"]


@SQLITE
def test_what_is_called_around_a_phase_is_told_whose_it_is_and_what_it_gave(
    discovery: Discovery, witness: Witness, tmp_path: Path
) -> None:
    flow = finish(discovery, write(tmp_path / "a.csv", hosts(2)))
    assert witness.called[-1] == "end"  # without analysis the flow ends with its inventory
    assert not any("tech_debt" in each for each in witness.called)
    known = {
        "flow_id": flow, "master_flow_id": flow, "client_account_id": "northwind", "engagement_id": "q4", "user_id": "ann",
        "data_import_id": discovery.flow(flow).import_id,
    }  # fmt: skip
    for name, given in witness.told.items():
        assert known.items() <= given.items(), name
        assert given["phase"] in PHASES
    assert witness.told["after data_import"]["result"]["records_stored"] == 2
    assert witness.told["end"]["result"]["assets_created"] == 2


@SQLITE
def test_every_validator_of_the_discovery_flow_runs_before_every_phase_that_names_it(
    address: str, tmp_path: Path
) -> None:
    called: Counter[str] = Counter()
    wrapped: dict[str, Callable[..., Any]] = {}

    def prepare(found: FlowTypeRegistry) -> None:
        for phase in DISCOVERY.phases:
            for name in phase.validators:
                wrapped[f"{phase.name}/{name}"] = found.validators.get(name)
        for name, function in wrapped.items():
            found.validators.register(name, counting(name, function))

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def validate(*given: Any) -> Any:
            called[name] += 1
            return function(*given)

        return validate

    phases = tuple(
        replace(each, validators=tuple(f"{each.name}/{name}" for name in each.validators)) for each in DISCOVERY.phases
    )
    registry = build_registry(config=replace(DISCOVERY, phases=phases), prepare=prepare)
    with open_engine(address, registry=registry) as engine:
        discovery = Discovery(engine, OWN)
        flow = finish(discovery, write(tmp_path / "a.csv", hosts(3)), analysis=True)
        assert discovery.status(flow)["status"] == "completed"
    assert called == dict.fromkeys(wrapped, 1)
    assert len(wrapped) == len(PHASES)


@SQLITE
@pytest.mark.parametrize("phase", PHASES)
def test_a_validator_that_refuses_keeps_its_phase_and_all_behind_it_from_running(
    discovery: Discovery, witness: Witness, tmp_path: Path, phase: str
) -> None:
    witness.says[f"check {phase}"] = ValidationResult.of(["not on a Friday", "not without Ann"])
    flow = finish(discovery, write(tmp_path / "a.csv", hosts(2)), analysis=True)
    said = failed_with(discovery, flow)
    assert said == f"VALIDATION_FAILED: check {phase}: not on a Friday; check {phase}: not without Ann"
    assert discovery.status(flow)["error_phase"] == phase
    assert witness.called.count(f"check {phase}") == 1  # what is invalid is not tried again by itself
    assert f"after {phase}" not in witness.called
    assert not {f"before {each}" for each in PHASES[PHASES.index(phase) + 1 :]} & set(witness.called)
    assert (len(names(discovery)) > 0) == (phase in PHASES[5:])
    assert discovery.execute(flow, phase)["error_code"] == "VALIDATION_FAILED"
    witness.says.clear()
    discovery.retry(flow)
    discovery.work()
    assert f"after {phase}" in witness.called or waits_for(discovery, flow) is not None


_NO_RESULTS = pytest.mark.parametrize(
    ("answer", "said"),
    [(ZeroDivisionError("by zero"), "crashed: ZeroDivisionError: by zero"), (None, "gives NoneType"), (True, "gives bool")],
    ids=["crash", "nothing", "a flag"],
)  # fmt: skip


@SQLITE
@_NO_RESULTS
def test_a_validator_that_crashes_or_says_nothing_refuses(
    discovery: Discovery, witness: Witness, tmp_path: Path, answer: Any, said: str
) -> None:
    witness.says["check field_mapping"] = answer
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    assert failed_with(discovery, flow).startswith(f"VALIDATION_FAILED: check field_mapping {said}")
    assert discovery.mappings(flow) == []
    assert "after field_mapping" not in witness.called


@SQLITE
def test_every_reason_of_every_validator_is_told_and_a_refusal_without_one_too(
    discovery: Discovery, witness: Witness, tmp_path: Path
) -> None:
    witness.says["check data_import"] = ValidationResult(valid=False)
    file = write(tmp_path / "a.csv", hosts(2))
    flow = begun(discovery, file)
    assert "refuses without a reason" in failed_with(discovery, flow)
    witness.says["check data_import"] = ValidationResult(warnings=("a warning keeps nobody",), info=("nor this",))
    discovery.retry(flow)
    discovery.work()
    assert waits_for(discovery, flow) == "field_mapping"


def test_what_validators_remark_on_phases_that_they_let_go_on_is_told(
    discovery: Discovery, witness: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the phase has many pieces, and when it asks before it is done."""
    for module in (importing, cleansing, previewing):
        monkeypatch.setattr(module, "PIECE", 2)
    monkeypatch.setattr(common.rows_after, "__defaults__", (2,))
    for phase in PHASES:
        witness.says[f"check {phase}"] = ValidationResult(warnings=(f"{phase} on a Friday", "once"))
    flow = begun(discovery, write(tmp_path / "a.csv", [each | {"Kiste": "y" * 60} for each in hosts(5)]), analysis=True)
    discovery.edit(flow, "Kiste", "rack_location")  # 50 characters
    mapped(discovery, flow)
    assert waits_for(discovery, flow) == "cleansing_decisions"
    discovery.decide_data(flow, {"Kiste": "truncate"})
    result = discovery.execute(flow, "data_cleansing")
    made(discovery, flow)
    status = discovery.status(flow, details=True)
    assert status["status"] == "completed"
    for phase in PHASES:
        own = [each for each in status["warnings"][phase] if each.startswith("check ")]
        assert own == [f"check {phase}: {phase} on a Friday", f"check {phase}: once"]
        assert witness.called.count(f"check {phase}") == 1
    assert list(status["warnings"]) == list(PHASES)
    assert (result["status"], "check data_cleansing: once" in result["warnings"]) == ("completed", True)
    assert len(names(discovery)) == 5


# --- handlers ---------------------------------------------------------------------------------------------------------


_NO_ROOM = HandlerResult(success=False, error="no room")


@SQLITE
@pytest.mark.parametrize(
    ("handler", "answer", "said"),
    [
        ("begin", _NO_ROOM, "failed: no room"),
        ("before data_import", _NO_ROOM, "failed: no room"),
        ("before field_mapping", HandlerResult(success=False), "failed: it does not say why"),
        ("before field_mapping", KeyError("x"), "crashed: KeyError"),
        ("before field_mapping", None, "gives NoneType, which is no HandlerResult"),
        ("after field_mapping", _NO_ROOM, "failed: no room"),
        ("after field_mapping", KeyError("x"), "crashed: KeyError"),
    ],
    ids=[
        "at the beginning", "before the first phase", "without a reason", "crash", "nothing", "behind", "crash behind",
    ],
)  # fmt: skip
def test_a_handler_that_fails_fails_its_phase_and_nothing_of_it_is_kept(
    discovery: Discovery, witness: Witness, tmp_path: Path, handler: str, answer: Any, said: str
) -> None:
    witness.says[handler] = answer
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    assert failed_with(discovery, flow).startswith(f"handler {handler} {said}")
    assert discovery.mappings(flow) == []
    if handler != "after field_mapping":  # what is before a phase is called before its validators
        assert f"check {'field_mapping' if 'mapping' in handler else 'data_import'}" not in witness.called
    del witness.says[handler]
    discovery.retry(flow)
    discovery.work()
    assert waits_for(discovery, flow) == "field_mapping"


@SQLITE
def test_a_handler_at_the_end_that_fails_keeps_the_flow_from_being_complete(
    discovery: Discovery, witness: Witness, tmp_path: Path
) -> None:
    witness.says["end"] = HandlerResult(success=False, error="nobody to tell")
    flow = finish(discovery, write(tmp_path / "a.csv", hosts(2)))
    assert failed_with(discovery, flow) == "handler end failed: nobody to tell"
    witness.says.clear()
    discovery.retry(flow)
    discovery.work()
    assert discovery.status(flow)["status"] == "completed"
    assert len(names(discovery)) == 2


@SQLITE
def test_the_end_waits_for_the_conflicts(discovery: Discovery, witness: Witness, tmp_path: Path) -> None:
    flow = finish(discovery, write(tmp_path / "a.csv", [host(1), host(2, Name="web 001")]))
    assert waits_for(discovery, flow) == "conflict_resolution"
    assert not {"end", "after asset_inventory"} & set(witness.called)
    discovery.resolve_all(flow, "keep_existing")
    discovery.work()
    assert witness.called[-2:] == ["after asset_inventory", "end"]


@SQLITE
def test_a_phase_that_asks_is_not_at_its_end(discovery: Discovery, witness: Witness, tmp_path: Path) -> None:
    flow = begun(discovery, write(tmp_path / "a.csv", [host(1) | {"Kiste": "y" * 60}]))
    discovery.edit(flow, "Kiste", "rack_location")  # 50 characters
    mapped(discovery, flow)
    assert waits_for(discovery, flow) == "cleansing_decisions"
    assert "after data_cleansing" not in witness.called
    discovery.decide_data(flow, {"Kiste": "truncate"})
    discovery.work()
    around_it = [each for each in witness.called if "data_cleansing" in each]
    assert around_it == ["before data_cleansing", "check data_cleansing", "after data_cleansing"]


@SQLITE
def test_error_handlers_are_told_and_what_they_do_cannot_hide_the_error(
    discovery: Discovery, witness: Witness, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.csv", hosts(2))
    flow = discovery.create(file).flow_id
    file.unlink()
    discovery.work()
    said = failed_with(discovery, flow)
    assert "a.csv" in said
    assert witness.called[-2:] == ["broken handler", "error"]  # one that crashes keeps no other one from being told
    told = witness.told["error"]
    assert (told["error"], told["error_type"], told["phase"], told["flow_id"]) == (said, "Fatal", "data_import", flow)
    assert "after data_import" not in witness.called


# --- wherever validators are named ---


@SQLITE
def test_validators_may_be_for_every_phase_of_a_flow_type_and_for_everything(
    address: str, witness: Witness, tmp_path: Path
) -> None:
    def prepare(found: FlowTypeRegistry) -> None:
        found.validators.register("flow", witness.validator("flow"))
        found.validators.register("all", witness.validator("all"), everywhere=True)

    config = replace(DISCOVERY, validators=("flow", "file_format_validation"))
    with open_engine(address, registry=build_registry(config=config, prepare=prepare)) as engine:
        discovery = Discovery(engine, OWN)
        flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
        mapped(discovery, flow)
        made(discovery, flow)
        assert discovery.status(flow)["status"] == "completed"
        assert witness.called == ["all", "flow"] * sum(not each.can_skip for each in DISCOVERY.phases)
        witness.says["all"] = ValidationResult.of(["no"])
        flow = begun(discovery, write(tmp_path / "b.csv", hosts(2)))
        assert failed_with(discovery, flow) == "VALIDATION_FAILED: all: no"
        told = discovery.execute(flow, "data_import", validation_overrides=["all", "flow"])
        assert (told["status"], told["success"]) == ("completed", True)


def test_a_flow_type_names_only_validators_that_are_registered() -> None:
    with pytest.raises(FlowError, match="the flow type names the validator 'nobody'"):
        build_registry(config=replace(DISCOVERY, validators=("nobody",)))


# --- overrides --------------------------------------------------------------------------------------------------------


@SQLITE
def test_an_override_leaves_out_the_validators_that_it_names_and_no_other(
    discovery: Discovery, witness: Witness, tmp_path: Path
) -> None:
    refusal = ValidationResult.of(["no"])
    witness.says |= {"check data_validation": refusal, "check field_mapping": refusal}
    flow = begun(discovery, write(tmp_path / "a.csv", hosts(2)))
    assert failed_with(discovery, flow) == "VALIDATION_FAILED: check data_validation: no"
    with pytest.raises(DiscoveryError, match="has no validator check field_mapping"):
        discovery.execute(flow, "data_validation", validation_overrides=["check field_mapping"])
    told = discovery.execute(flow, "data_validation", validation_overrides=["data_quality_check"])
    assert (told["status"], told["success"]) == ("failed", False)
    assert "check data_validation: no" in told["error"]
    told = discovery.execute(flow, "data_validation", validation_overrides=["check data_validation"])
    assert (told["status"], told["success"], told["next_phase"]) == ("completed", True, "field_mapping")
    # It counts for that phase alone.
    assert failed_with(discovery, flow) == "VALIDATION_FAILED: check field_mapping: no"
    done = [each for each in discovery.audit(flow) if each["operation"] == "execute" and each["success"]]
    assert [each["details"]["validation_overrides"] for each in done] == [
        ["check data_validation"], ["data_quality_check"],
    ]  # fmt: skip


# --- phases of one's own ----------------------------------------------------------------------------------------------


@contextmanager
def flow_of(
    address: str, witness: Witness, look: Callable[..., Any], executor: str = "look"
) -> Iterator[Callable[..., Run]]:
    """A flow of two phases, of which a test brings the first one; what is yielded runs it."""
    registry = build_registry()
    found: FlowTypeRegistry = registry.deps.flow_types
    for name in ("begin", "before", "after", "end", "error"):
        found.handlers.register(name, witness.handler(name))
    found.executors.register("look", look)
    found.executors.register("tell", lambda context: witness.called.append("tell"))
    first = PhaseConfig(
        name="look", display_name="Look", executors=(executor,), pre_handlers=("before",), post_handlers=("after",)
    )
    second = PhaseConfig(name="tell", display_name="Tell", executors=("tell",))
    config = FlowTypeConfig(
        name="survey", display_name="Survey", version=1, phases=(first, second), initialization_handlers=("begin",),
        finalization_handlers=("end",), error_handlers=("error",),
    )  # fmt: skip
    found.register(config)
    steps = [guarded(phase.executors[0], phase, config, found) for phase in (first, second)]
    registry.add(
        Flow("survey", 1, (Phase("look", steps[0], retry=Retry(attempts=1)), Phase("tell", steps[1], needs=("look",))))
    )
    given = {
        "flow_id": "00000000-0000-4000-8000-000000000001", "data_import_id": "00000000-0000-4000-8000-000000000002",
        **OWN.columns, "user_id": "ann",
    }  # fmt: skip
    with open_engine(address, registry=registry) as engine:

        def execute() -> Run:
            run = engine.start("survey", Subject("import", "a"), input=given)
            engine.drain()
            return engine.get(run.id)

        yield execute


def plain(result: Any) -> Callable[[Context], Any]:
    return lambda context: result


def in_the_background(result: Any) -> Callable[[Context], Any]:
    async def look(_context: Context) -> Any:
        return result

    return look


_COLOURS = pytest.mark.parametrize("colour", [plain, in_the_background], ids=["plain", "async"])


@SQLITE
@_COLOURS
@pytest.mark.parametrize(
    "result",
    [
        {"status": "success"},
        {"status": "completed", "crew_results": {"success": True}},
        None,
        Outcome("seen", {"n": 1}),
    ],
    ids=["success", "wrapper", "nothing", "outcome"],
)
def test_a_success_goes_on_with_what_is_behind_it(
    address: str, witness: Witness, colour: Callable[[Any], Any], result: Any
) -> None:
    with flow_of(address, witness, colour(result)) as execute:
        assert execute().status == "succeeded"
    assert witness.called == ["begin", "before", "after", "tell", "end"]


@SQLITE
@_COLOURS
@pytest.mark.parametrize(
    "result",
    [
        {"status": "failed", "error": "no room"}, {"error": "no room"}, {"success": False, "message": "no room"},
        {"status": "error", "error_message": "no room"}, Outcome("seen", {"error": "no room"}),
        {"status": "completed", "crew_results": {"status": "failed", "error": "no room"}},
    ],
    ids=["failed", "error", "no success", "error as status", "outcome", "wrapper"],
)  # fmt: skip
def test_a_failure_that_is_returned_fails_the_phase_and_the_next_does_not_start(
    address: str, witness: Witness, colour: Callable[[Any], Any], result: Any
) -> None:
    with flow_of(address, witness, colour(result)) as execute:
        run = execute()
    assert (run.status, run.at("look").status) == ("failed", "failed")
    assert witness.called == ["begin", "before", "error"]
    assert witness.told["error"]["error"] == "no room"


@SQLITE
def test_an_exception_is_told_with_its_type_and_stays_what_it_is(address: str, witness: Witness) -> None:
    def look(_context: Context) -> None:
        raise LookupError("no such shelf")

    witness.says["error"] = Fatal("something else")
    with flow_of(address, witness, look) as execute:
        assert "no such shelf" in str(execute().at("look").reason)
    assert (witness.told["error"]["error"], witness.told["error"]["error_type"]) == ("no such shelf", "LookupError")


@SQLITE
def test_a_phase_that_puts_itself_off_is_no_error(address: str, witness: Witness) -> None:
    def later(context: Context) -> None:
        raise Snooze(context.now() + timedelta(days=1))

    with flow_of(address, witness, later) as execute:
        assert execute().status == "waiting"
    assert witness.called == ["begin", "before"]


@SQLITE
def test_a_phase_that_is_stopped_is_no_error(address: str, witness: Witness) -> None:
    def look(context: Context) -> None:
        stop_from_elsewhere(address, context.run.id)
        wait_for(lambda: context.cancelled, "the pause")
        context.heartbeat()

    with flow_of(address, witness, look) as execute:
        assert execute().status == "paused"
    assert witness.called == ["begin", "before"]


def stop_from_elsewhere(address: str, run: str) -> None:
    """Pause a run as another process would."""
    with open_engine(address) as engine:
        engine.registry.add(
            Flow("survey", 1, (Phase("look", plain(None)), Phase("tell", plain(None), needs=("look",))))
        )
        engine.pause(run)
