"""What the phases of a discovery flow are called, whoever calls them so."""

from __future__ import annotations

from phasegate.apps.discovery.errors import UnknownPhase

#: The phases every flow has, in their order, and those that it has when somebody wants them.
REQUIRED = ("data_import", "data_validation", "field_mapping", "data_cleansing", "asset_inventory")
OPTIONAL = ("dependency_analysis", "tech_debt_assessment")
PHASES = (*REQUIRED, *OPTIONAL)

ALIASES = {
    "attribute_mapping": "field_mapping",
    "inventory": "asset_inventory",
    "assets": "asset_inventory",
    "asset_creation": "asset_inventory",
    "dependencies": "dependency_analysis",
    "tech_debt": "tech_debt_assessment",
    "tech_debt_analysis": "tech_debt_assessment",
    "data_import_validation": "data_import",
    "initialization": "data_import",
    "data_cleaning": "data_cleansing",
}

#: The steps of the engine's flow that make up each phase; the phase is complete when the last of them is.
STEPS = {
    "data_import": ("kickoff", "data_import"),
    "data_validation": ("data_validation", "data_decisions"),
    "field_mapping": ("field_mapping", "field_mapping_approval"),
    "data_cleansing": ("data_cleansing",),
    "asset_inventory": (
        "asset_preview", "asset_preview_approval", "asset_inventory", "asset_conflicts", "conflict_resolution",
        "asset_inventory_result",
    ),
    "dependency_analysis": ("dependency_analysis",),
    "tech_debt_assessment": ("tech_debt_assessment",),
}  # fmt: skip
PHASE_OF = {step: phase for phase, steps in STEPS.items() for step in steps}

#: What a gate is waiting for, in the words that people and pollers are told.
WAITS_FOR = {
    "data_decisions": "data_validation",
    "field_mapping_approval": "field_mapping",
    "asset_preview_approval": "asset_preview",
    "asset_conflicts": "conflict_resolution",
}


def canonical(name: str) -> str:
    """The name under which a phase is stored. Raises ``UnknownPhase`` with the valid names."""
    plain = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    found = ALIASES.get(plain, plain)
    if found not in PHASES:
        raise UnknownPhase(str(name), PHASES)
    return found
