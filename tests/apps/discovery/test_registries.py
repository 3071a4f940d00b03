"""Flow types, validators, handlers and executors by name: what is accepted, what is refused, and what can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from phasegate import Registry
from phasegate.apps.discovery import (
    DISCOVERY,
    FlowTypeConfig,
    FlowTypeRegistry,
    HandlerRegistry,
    HandlerResult,
    PhaseConfig,
    ValidationResult,
    ValidatorRegistry,
    build_registry,
)
from phasegate.apps.discovery.flow import EXECUTORS
from phasegate.apps.discovery.phase_names import PHASES, STEPS
from phasegate.apps.discovery.registries import ExecutorRegistry
from phasegate.apps.discovery.validators import register_validators
from phasegate.errors import FlowError, UnknownName


def agree(_given: Mapping[str, Any], _state: Mapping[str, Any], _overrides: Mapping[str, Any]) -> ValidationResult:
    return ValidationResult()


def disagree(_given: Mapping[str, Any], _state: Mapping[str, Any], _overrides: Mapping[str, Any]) -> ValidationResult:
    return ValidationResult.of(["no"])


def handle(_given: Mapping[str, Any]) -> HandlerResult:
    return HandlerResult()


def perform(_context: Any) -> None:
    return None


def config(name: str = "survey", **changes: Any) -> FlowTypeConfig:
    """A flow type of two phases."""
    phases = (
        PhaseConfig(
            name="look", display_name="Look", validators=("agree",), pre_handlers=("handle",), post_handlers=("handle",),
            executors=("perform",),
        ),
        PhaseConfig(name="tell", display_name="Tell", executors=("perform",)),
    )  # fmt: skip
    known: dict[str, Any] = {"name": name, "display_name": name.title(), "version": 1, "phases": phases}
    return FlowTypeConfig(**known | changes)


@pytest.fixture
def flow_types() -> FlowTypeRegistry:
    """A registry that knows one validator, one handler and one executor."""
    found = FlowTypeRegistry(Registry())
    found.validators.register("agree", agree)
    found.handlers.register("handle", handle)
    found.executors.register("perform", perform)
    return found


# --- functions by name ------------------------------------------------------------------------------------------------

_VIEWS = pytest.mark.parametrize(
    ("view", "one", "another"),
    [(ValidatorRegistry, agree, disagree), (HandlerRegistry, handle, perform), (ExecutorRegistry, perform, handle)],
    ids=["validators", "handlers", "executors"],
)


@_VIEWS
def test_a_name_belongs_to_one_function(view: Any, one: Callable[..., Any], another: Callable[..., Any]) -> None:
    found = view(Registry())
    assert (found.names(), found.is_registered("check")) == ([], False)
    found.register("check", one)
    found.register("check", one)  # the same again changes nothing
    with pytest.raises(FlowError, match=f"another {found.kind} is registered"):
        found.register("check", another)
    assert (found.get("check"), found.names(), found.is_registered("check")) == (one, ["check"], True)


@_VIEWS
def test_a_name_that_nobody_has_is_refused_with_the_likely_one(
    view: Any, one: Callable[..., Any], another: Callable[..., Any]
) -> None:
    found = view(Registry())
    found.register("mapping_completeness", one)
    with pytest.raises(UnknownName, match=f"unknown {found.kind} 'maping_completeness'") as refused:
        found.get("maping_completeness")
    assert refused.value.hint == "did you mean 'mapping_completeness'?"


def test_all_of_them_are_views_of_the_one_registry() -> None:
    registry = Registry()
    first, second = FlowTypeRegistry(registry), FlowTypeRegistry(registry)
    first.validators.register("agree", agree)
    HandlerRegistry(registry).register("agree", handle)  # a validator and a handler may have one name
    ExecutorRegistry(registry).register("perform", perform)
    assert second.validators.get("agree") is agree
    assert (first.handlers.get("agree"), second.executors.get("perform")) == (handle, perform)
    assert second.validators.names() == second.handlers.names() == ["agree"]
    assert set(registry.handlers.values()) == {agree, handle, perform}
    assert not FlowTypeRegistry(Registry()).validators.is_registered("agree")  # nothing is global


# --- flow types -------------------------------------------------------------------------------------------------------


def test_the_same_flow_type_again_changes_nothing_and_another_version_is_refused(flow_types: FlowTypeRegistry) -> None:
    flow_types.register(config())
    flow_types.register(config())
    with pytest.raises(FlowError, match="version 1 is registered already"):
        flow_types.register(config(version=2))
    with pytest.raises(FlowError, match="version 1 is registered already"):
        flow_types.register(config(description="the same version, otherwise"))
    assert flow_types.list() == (config(),)
    flow_types.unregister("survey")
    flow_types.unregister("survey")
    flow_types.register(config(version=2))
    assert flow_types.get("survey").version == 2


def test_every_unknown_name_is_told_at_once_with_the_likely_one(flow_types: FlowTypeRegistry) -> None:
    phase = PhaseConfig(
        name="look", display_name="Look", validators=("agre", "agree"), pre_handlers=("hundle",), post_handlers=("handel",),
        executors=("preform", "perform"),
    )  # fmt: skip
    wrong = config(
        phases=(phase,), initialization_handlers=("zzz",), finalization_handlers=("handles",), error_handlers=("handl",)
    )
    with pytest.raises(FlowError) as refused:
        flow_types.register(wrong)
    said = refused.value.problems
    assert len(said) == 7
    for name, kind, likely in (
        ("agre", "validator", "agree"), ("hundle", "handler", "handle"), ("handel", "handler", "handle"),
        ("preform", "executor", "perform"), ("handles", "handler", "handle"), ("handl", "handler", "handle"),
    ):  # fmt: skip
        (problem,) = [each for each in said if repr(name) in each]
        assert f"the {kind} {name!r}, which is not registered (did you mean {likely!r}?)" in problem
    assert sum("phase 'look'" in each for each in said) == 4
    assert not flow_types.is_registered("survey")


def test_a_handler_is_no_validator_and_the_other_way_round(flow_types: FlowTypeRegistry) -> None:
    phase = PhaseConfig(name="look", display_name="Look", validators=("handle",), pre_handlers=("agree",))
    with pytest.raises(FlowError) as refused:
        flow_types.register(config(phases=(phase,)))
    assert len(refused.value.problems) == 2


def test_flow_types_are_found_by_name_capability_and_tag(flow_types: FlowTypeRegistry) -> None:
    survey = config(capabilities=frozenset({"pause_resume"}), tags=frozenset({"field", "quick"}))
    audit = config("audit", capabilities=frozenset({"pause_resume", "branching"}), tags=frozenset({"quick"}))
    flow_types.register(survey)
    flow_types.register(audit)
    assert flow_types.list() == (audit, survey)
    assert flow_types.by_capability("pause_resume") == (audit, survey)
    assert (flow_types.by_capability("branching"), flow_types.by_capability("flying")) == ((audit,), ())
    assert (flow_types.by_tag("field"), flow_types.by_tag("quick")) == ((survey,), (audit, survey))
    with pytest.raises(UnknownName, match="unknown flow type 'survy'") as refused:
        flow_types.get("survy")
    assert refused.value.hint == "did you mean 'survey'?"


def test_the_phases_of_a_flow_type_are_known_with_their_order(flow_types: FlowTypeRegistry) -> None:
    flow_types.register(config())
    assert flow_types.get_phase_config("survey", "tell").display_name == "Tell"
    assert flow_types.get_next_phase("survey", "look") == "tell"
    assert flow_types.get_next_phase("survey", "tell") is None
    assert flow_types.is_phase_valid("survey", "look")
    assert not flow_types.is_phase_valid("survey", "completed")
    for ask in (flow_types.get_phase_config, flow_types.get_next_phase):
        with pytest.raises(UnknownName, match="unknown phase 'loook'") as refused:
            ask("survey", "loook")
        assert refused.value.hint == "did you mean 'look'?"
    with pytest.raises(UnknownName, match="unknown flow type"):
        flow_types.is_phase_valid("nothing", "look")


# --- the discovery flow -----------------------------------------------------------------------------------------------


def test_the_discovery_flow_names_only_what_is_registered() -> None:
    registry = build_registry()
    found: FlowTypeRegistry = registry.deps.flow_types
    assert found.get("discovery") == DISCOVERY
    assert registry.latest("discovery").version == DISCOVERY.version
    assert found.executors.names() == sorted(EXECUTORS)
    named = {name for phase in DISCOVERY.phases for name in phase.executors}
    assert named == set(EXECUTORS)
    assert {name for phase in DISCOVERY.phases for name in phase.validators} <= set(found.validators.names())
    assert "required_fields" in found.validators.names()


def test_its_phases_are_those_that_people_know_in_their_order() -> None:
    found: FlowTypeRegistry = build_registry().deps.flow_types
    assert tuple(each.name for each in DISCOVERY.phases) == PHASES
    assert [found.get_next_phase("discovery", each) for each in PHASES] == [*PHASES[1:], None]
    for phase in DISCOVERY.phases:
        assert set(phase.executors) <= set(STEPS[phase.name])


def test_every_registry_that_is_built_is_a_whole_one_of_its_own() -> None:
    first, second = build_registry(), build_registry()
    assert first.deps.flow_types is not second.deps.flow_types
    assert first.deps.flow_types.list() == second.deps.flow_types.list()
    register_validators(first.deps.flow_types.validators)  # once more changes nothing
    first.deps.flow_types.register(DISCOVERY)
    with pytest.raises(FlowError, match="version 1 is registered already"):
        first.deps.flow_types.register(replace(DISCOVERY, version=2))


def test_a_flow_whose_configuration_names_what_nobody_has_is_not_built() -> None:
    phase = replace(DISCOVERY.phases[0], validators=("file_format_validator",), pre_handlers=("warm_up",))
    wrong = replace(DISCOVERY, phases=(phase, *DISCOVERY.phases[1:]), error_handlers=("call_ann",))
    with pytest.raises(FlowError, match="did you mean 'file_format_validation'") as refused:
        build_registry(config=wrong)
    assert len(refused.value.problems) == 3

    def prepare(found: FlowTypeRegistry) -> None:
        found.validators.register("file_format_validator", agree)
        for name in ("warm_up", "call_ann"):
            found.handlers.register(name, handle)

    assert build_registry(config=wrong, prepare=prepare).deps.flow_types.get("discovery") == wrong


def test_a_validator_of_ones_own_cannot_take_the_name_of_one_that_is_there() -> None:
    with pytest.raises(FlowError, match="another validator is registered"):
        build_registry(prepare=lambda found: found.validators.register("cleansing_quality", agree))


def test_what_a_validator_says_is_valid_without_errors_only() -> None:
    assert ValidationResult.of([]).valid
    refused = ValidationResult.of(["a"], ["b"])
    assert (refused.valid, refused.errors, refused.warnings) == (False, ("a",), ("b",))
    assert ValidationResult.of([], ["b"]).valid
