"""Discovery: from an inventory export to clean assets, with people in the loop.

``open_engine`` gives an engine, ``Discovery`` what one tenant can do on it. The executors, ``AssetService`` and the registries
are for programs that bring a transaction, validators or handlers of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegate.apps.lazily import lazily

if TYPE_CHECKING:
    from phasegate.apps.discovery.agents.pool import AgentPool
    from phasegate.apps.discovery.asset_service import AssetService
    from phasegate.apps.discovery.configs import DISCOVERY, FlowTypeConfig, PhaseConfig
    from phasegate.apps.discovery.conflicts import Action, Resolution
    from phasegate.apps.discovery.executors import (
        AssetInventoryExecutor,
        DataCleansingExecutor,
        PhaseExecutor,
        UnifiedDiscoveryFlowState,
    )
    from phasegate.apps.discovery.flow import build_registry
    from phasegate.apps.discovery.opening import open_engine, working
    from phasegate.apps.discovery.registries import (
        FlowTypeRegistry,
        HandlerRegistry,
        HandlerResult,
        ValidationResult,
        ValidatorRegistry,
    )
    from phasegate.apps.discovery.results import PhaseResult
    from phasegate.apps.discovery.service import Discovery
    from phasegate.apps.discovery.tenancy import Tenant

_WHERE = {
    "Action": "conflicts", "AgentPool": "agents.pool", "AssetInventoryExecutor": "executors",
    "AssetService": "asset_service", "DISCOVERY": "configs", "DataCleansingExecutor": "executors",
    "Discovery": "service", "FlowTypeConfig": "configs", "FlowTypeRegistry": "registries",
    "HandlerRegistry": "registries", "HandlerResult": "registries", "PhaseConfig": "configs",
    "PhaseExecutor": "executors", "PhaseResult": "results", "Resolution": "conflicts", "Tenant": "tenancy",
    "UnifiedDiscoveryFlowState": "executors", "ValidationResult": "registries", "ValidatorRegistry": "registries",
    "build_registry": "flow", "open_engine": "opening", "working": "opening",
}  # fmt: skip

__all__ = [
    "DISCOVERY", "Action", "AgentPool", "AssetInventoryExecutor", "AssetService", "DataCleansingExecutor", "Discovery",
    "FlowTypeConfig", "FlowTypeRegistry", "HandlerRegistry", "HandlerResult", "PhaseConfig", "PhaseExecutor",
    "PhaseResult", "Resolution", "Tenant", "UnifiedDiscoveryFlowState", "ValidationResult", "ValidatorRegistry",
    "build_registry", "open_engine", "working",
]  # fmt: skip


__getattr__ = lazily(__name__, _WHERE)
