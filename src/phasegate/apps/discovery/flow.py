"""The discovery flow as the engine runs it, built from its configuration, and the registry that knows it.

Phases that work piece by piece go back to themselves with the outcome ``more``. The gates are where people decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phasegate import Flow, Gate, Phase, Registry
from phasegate.apps.discovery.agents.pool import AgentPool
from phasegate.apps.discovery.configs import DISCOVERY, FlowTypeConfig, PhaseConfig
from phasegate.apps.discovery.guarding import guarded
from phasegate.apps.discovery.phases import analysing, cleansing, importing, inventory, mapping, previewing, validating
from phasegate.apps.discovery.phases.common import MORE
from phasegate.apps.discovery.projection import project
from phasegate.apps.discovery.registries import FlowTypeRegistry
from phasegate.apps.discovery.rules.profile_report import DECISIONS
from phasegate.apps.discovery.tables import SCHEMA
from phasegate.apps.discovery.validators import register_validators
from phasegate.apps.discovery.workshop import Workshop

#: Pieces that a phase may be done in.
_UNBOUNDED = 1_000_000

EXECUTORS: Mapping[str, Callable[..., Any]] = {
    "kickoff": importing.kickoff,
    "data_import": importing.import_rows,
    "data_validation": validating.validate,
    "field_mapping": mapping.map_fields,
    "data_cleansing": cleansing.cleanse_rows,
    "asset_preview": previewing.preview_assets,
    "asset_inventory": inventory.create_assets,
    "conflict_resolution": inventory.resolve_conflicts,
    "asset_inventory_result": inventory.inventory_result,
    "dependency_analysis": analysing.analyse_dependencies,
    "tech_debt_assessment": analysing.assess_debt,
}

_DECISIONS = {
    "type": "object",
    "properties": {
        "decisions": {"type": "object", "additionalProperties": {"enum": list(DECISIONS)}},
        "proceed_with_warnings": {"type": "boolean"},
    },
    "additionalProperties": False,
}
_APPROVAL = {
    "type": "object",
    "properties": {
        "approved": {
            "anyOf": [
                {"const": "all"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1_000},
            ]
        },
        "edits": {"type": "object", "additionalProperties": {"type": "object"}},
    },
    "additionalProperties": False,
}


def build_flow(config: FlowTypeConfig, registries: FlowTypeRegistry) -> Flow:
    """The engine's flow of a configuration whose names are all registered."""
    steps = _Steps(config, registries)
    needs = steps.step
    phases = (
        needs("kickoff"),
        needs("data_import", "kickoff", pieces=True),
        needs("data_validation", "data_import"),
        Phase(
            "data_decisions", needs=("data_validation",), gate=Gate(form=_DECISIONS, shows=("data_validation",)),
            title="Decisions on the data",
            when={"data_validation": validating.ISSUES},
        ),
        needs("field_mapping", "data_decisions"),
        Phase("field_mapping_approval", gate=Gate(shows=("field_mapping",)), title="Approval of the field mapping"),
        needs("data_cleansing", "field_mapping_approval", "data_decisions", pieces=True),
        needs("asset_preview", "data_cleansing", pieces=True),
        Phase(
            "asset_preview_approval", gate=Gate(form=_APPROVAL, shows=("asset_preview",)),
            title="Approval of the assets",
        ),
        needs("asset_inventory", "asset_preview_approval", pieces=True, transactional=True),
        Phase(
            "asset_conflicts", needs=("asset_inventory",), gate=Gate(outcomes=("resolved",), ends=(), shows=("asset_inventory",)),
            when={"asset_inventory": inventory.CONFLICTING}, title="Resolution of conflicts",
        ),
        needs(
            "conflict_resolution", "asset_conflicts", when={"asset_inventory": inventory.CONFLICTING}, transactional=True,
            redo={inventory.REOPENED: "asset_conflicts"}, rounds=_UNBOUNDED,
        ),
        needs("asset_inventory_result", "asset_inventory", "conflict_resolution"),
        needs("dependency_analysis", "asset_inventory_result", when={"kickoff": "analysis"}),
        needs("tech_debt_assessment", "dependency_analysis", when={"kickoff": "analysis"}),
    )  # fmt: skip
    return Flow(config.name, config.version, phases)


class _Steps:
    """Makes the phases of the engine from the configuration."""

    def __init__(self, config: FlowTypeConfig, registries: FlowTypeRegistry) -> None:
        self._config, self._registries = config, registries
        self._of = {step: phase for phase in config.phases for step in phase.executors}

    def step(self, name: str, *needs: str, pieces: bool = False, **options: Any) -> Phase:
        """One step of a phase, with the phase's checks, retries and limits."""
        phase: PhaseConfig = self._of[name]
        run = guarded(name, phase, self._config, self._registries)
        again: dict[str, Any] = {"redo": {MORE: name}, "rounds": _UNBOUNDED} if pieces else {}
        return Phase(
            name, run, needs=needs, title=phase.display_name if name == phase.name else "", retry=phase.retry_config,
            timeout=phase.timeout_seconds, expects=phase.expected_duration_minutes * 60.0, **again, **options,
        )  # fmt: skip


def build_registry(
    *, agents: AgentPool | None = None, config: FlowTypeConfig = DISCOVERY,
    prepare: Callable[[FlowTypeRegistry], None] | None = None,
) -> Registry:  # fmt: skip
    """A registry that knows the discovery flow. ``agents`` stand in for the rules of phases whose flow asks for it; ``prepare``
    may register validators and handlers that ``config`` names.

    Raises ``FlowError`` with every name in ``config`` that nobody has registered.
    """
    registry = Registry(deps=Workshop(agents), schemas=[SCHEMA])
    registries = FlowTypeRegistry(registry)
    register_validators(registries.validators)
    for name, function in EXECUTORS.items():
        registries.executors.register(name, function)
    if prepare is not None:
        prepare(registries)
    registries.register(config)
    registry.add(build_flow(config, registries))
    registry.projection(project)
    registry.deps.flow_types = registries
    return registry
