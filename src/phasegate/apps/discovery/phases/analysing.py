"""What the assets of a flow depend on, and what technical debt they carry; for flows that were asked to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasegate import Context
from phasegate.apps.discovery.asset_service import read as read_asset
from phasegate.apps.discovery.phases.common import Place
from phasegate.apps.discovery.rules.debt import Debt, find_debt, risk_summary, six_r_hint
from phasegate.apps.discovery.rules.dependencies import Endpoint, cycles, find_dependencies, summary
from phasegate.apps.discovery.statements.inventory import (
    ADD_DEBT,
    ADD_DEPENDENCY,
    ASSETS_OF_FLOW,
    FORGET_DEBTS,
    FORGET_DEPENDENCIES,
)


def _assets(context: Context, place: Place) -> list[dict[str, Any]]:
    where = {**place.tenant.where, "flow_id": place.flow_id}
    return [read_asset(row) for row in context.read(ASSETS_OF_FLOW, where)]


def _columns(place: Place) -> dict[str, str]:
    return {**place.tenant.columns, "master_flow_id": place.flow_id}


def analyse_dependencies(context: Context) -> dict[str, Any]:
    """What depends on what among the flow's assets."""
    place = Place.of(context)
    endpoints = [_endpoint(asset) for asset in _assets(context, place)]
    found = find_dependencies(endpoints)
    context.write(FORGET_DEPENDENCIES, {**place.tenant.where, "flow_id": place.flow_id})
    for each in found:
        context.write(
            ADD_DEPENDENCY,
            {
                **_columns(place), "source_id": each.source_id, "target_id": each.target_id,
                "dependency_type": each.dependency_type, "confidence": each.confidence, "description": each.description,
                "chosen": False,
            },
        )  # fmt: skip
    return {**summary(endpoints, found), "cycles": [list(each) for each in cycles(found)]}


def _endpoint(asset: Mapping[str, Any]) -> Endpoint:
    texts = {
        name: asset[name] or ""
        for name in (
            "name", "hostname", "fqdn", "ip_address", "application_name", "asset_type", "depends_on", "description"
        )
    }  # fmt: skip
    return Endpoint(asset["id"], custom=asset["custom_attributes"] or {}, **texts)


def assess_debt(context: Context) -> dict[str, Any]:
    """The technical debt of the flow's assets, and what could be done with each."""
    place = Place.of(context)
    found: list[Debt] = []
    hints: dict[str, str] = {}
    for asset in _assets(context, place):
        debts = find_debt(asset, context.now().date())
        found.extend(debts)
        hints[asset["id"]] = six_r_hint(asset, debts)
    context.write(FORGET_DEBTS, {**place.tenant.where, "flow_id": place.flow_id})
    for each in found:
        context.write(
            ADD_DEBT,
            {
                **_columns(place), "asset_id": each.asset_id, "kind": each.kind, "severity": each.severity,
                "message": each.message, "remediation": each.remediation,
            },
        )  # fmt: skip
    return {"tech_debt_analysis": len(found), "risk_summary": risk_summary(found), "six_r_hints": hints}
