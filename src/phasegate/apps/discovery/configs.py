"""What a flow type is made of, as data: its phases, and for each what it checks, what runs around it and how it is retried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from phasegate import Retry

#: Attempts of a phase, and the seconds between them: 5, 10, then at most 60, somewhat varied.
RETRY = Retry(attempts=3, base=5.0, factor=2.0, cap=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseConfig:
    """One phase of a flow type.

    ``validators``, ``pre_handlers``, ``post_handlers`` and ``executors`` are names in the registry; the executors are the
    functions of the phase's steps. ``timeout_seconds`` is for one piece of the work, ``expected_duration_minutes`` is only told
    to people. ``required_inputs`` name what an earlier phase must have brought.
    """

    name: str
    display_name: str
    description: str = ""
    required_inputs: tuple[str, ...] = ()
    optional_inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    validators: tuple[str, ...] = ()
    pre_handlers: tuple[str, ...] = ()
    post_handlers: tuple[str, ...] = ()
    executors: tuple[str, ...] = ()
    can_pause: bool = True
    can_skip: bool = False
    requires_user_input: bool = False
    retry_config: Retry = RETRY
    timeout_seconds: float = 1_800.0
    expected_duration_minutes: int = 15
    success_criteria: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTypeConfig:
    """One type of flow. Validators, which run before each of its phases, and handlers are names in the registry."""

    name: str
    display_name: str
    version: int
    phases: tuple[PhaseConfig, ...]
    description: str = ""
    capabilities: frozenset[str] = frozenset({"pause_resume", "checkpointing", "iterations"})
    default_configuration: Mapping[str, Any] = field(default_factory=dict)
    validators: tuple[str, ...] = ()
    initialization_handlers: tuple[str, ...] = ()
    finalization_handlers: tuple[str, ...] = ()
    error_handlers: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()

    def phase(self, name: str) -> PhaseConfig | None:
        """The phase called so, or None."""
        return next((each for each in self.phases if each.name == name), None)

    def next_phase(self, name: str) -> str | None:
        """The phase after this one; None after the last."""
        names = [each.name for each in self.phases]
        place = names.index(name) + 1 if name in names else len(names)
        return names[place] if place < len(names) else None


DISCOVERY = FlowTypeConfig(
    name="discovery",
    display_name="Discovery",
    description="From an inventory export to clean assets, with people in the loop.",
    version=1,
    default_configuration={"mode": "direct", "analysis": False},
    tags=frozenset({"inventory"}),
    phases=(
        PhaseConfig(
            name="data_import", display_name="Data import", required_inputs=("file_upload",),
            optional_inputs=("import_options",), outputs=("raw_records", "import_record"),
            validators=("file_format_validation",), executors=("kickoff", "data_import"), expected_duration_minutes=10,
        ),
        PhaseConfig(
            name="data_validation", display_name="Data validation", required_inputs=("imported_data",),
            outputs=("profile", "decisions"), validators=("data_quality_check",), executors=("data_validation",),
            requires_user_input=True, success_criteria={"format_compliance": 95.0},
        ),
        PhaseConfig(
            name="field_mapping", display_name="Field mapping", required_inputs=("validated_data", "target_schema"),
            outputs=("field_mappings",), validators=("schema_validation",), executors=("field_mapping",),
            requires_user_input=True, timeout_seconds=300.0, expected_duration_minutes=20,
            success_criteria={"mapping_confidence": 85.0},
        ),
        PhaseConfig(
            name="data_cleansing", display_name="Data cleansing", required_inputs=("mapped_data", "field_mappings"),
            outputs=("cleansed_data", "quality_metrics"), validators=("mapping_completeness",),
            executors=("data_cleansing",), success_criteria={"completeness": 90.0, "quality": 80.0},
        ),
        PhaseConfig(
            name="asset_inventory", display_name="Asset inventory", required_inputs=("cleansed_data",),
            optional_inputs=("asset_templates", "inventory_rules"), outputs=("assets", "conflicts"),
            validators=("cleansing_quality",),
            executors=("asset_preview", "asset_inventory", "conflict_resolution", "asset_inventory_result"),
            requires_user_input=True, expected_duration_minutes=20,
        ),
        PhaseConfig(
            name="dependency_analysis", display_name="Dependency analysis", required_inputs=("assets",),
            outputs=("dependency_graph",), validators=("asset_completeness",), executors=("dependency_analysis",),
            can_skip=True,
        ),
        PhaseConfig(
            name="tech_debt_assessment", display_name="Technical debt assessment",
            required_inputs=("assets", "dependency_graph"), outputs=("debt_items",), validators=("asset_completeness",),
            executors=("tech_debt_assessment",), can_skip=True,
        ),
    ),
)  # fmt: skip
