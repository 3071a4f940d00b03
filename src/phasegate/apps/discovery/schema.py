"""What an asset has: its fields, what may stand in each, and which of them later imports may change.

The fields are those that an inventory export can fill. Limits are characters; a text over its limit is cut with a warning, and
never costs the row. Words of a category are written as they are here whatever the source's upper and lower case is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What stands in a field."""

    TEXT = "text"
    WHOLE = "whole"  # a whole number
    NUMBER = "number"
    FLAG = "flag"
    CATEGORY = "category"  # one of the field's words
    TAGS = "tags"  # a list of words
    DATE = "date"


@dataclass(frozen=True, slots=True)
class AssetField:
    """One field. ``limit`` is the most characters of a text; ``words`` are those of a category; ``unit`` is that of a number.

    ``mergeable`` says that an import may change the field of an asset that exists already.
    """

    name: str
    kind: Kind = Kind.TEXT
    limit: int = 255
    words: tuple[str, ...] = ()
    unit: str = ""
    mergeable: bool = True


ASSET_TYPES = (
    "server", "database", "application", "component", "network", "load_balancer", "storage", "security_group",
    "virtual_machine", "container", "other",
)  # fmt: skip
ASSET_STATUSES = ("discovered", "assessed", "planned", "migrating", "migrated", "failed", "excluded")
ENVIRONMENTS = (
    "Production", "Staging", "Test", "Development", "QA", "UAT", "Disaster Recovery", "Sandbox", "Training", "Unknown",
)  # fmt: skip
CRITICALITIES = ("Low", "Medium", "High", "Critical")
SIX_R = ("rehost", "replatform", "refactor", "rearchitect", "replace", "retire", "retain")


def _whole(name: str, unit: str = "") -> AssetField:
    return AssetField(name, Kind.WHOLE, unit=unit)


def _number(name: str, unit: str = "") -> AssetField:
    return AssetField(name, Kind.NUMBER, unit=unit)


def _category(name: str, words: tuple[str, ...], *, mergeable: bool = True) -> AssetField:
    return AssetField(name, Kind.CATEGORY, 50, words, mergeable=mergeable)


def _fixed(name: str, limit: int = 255) -> AssetField:
    return AssetField(name, limit=limit, mergeable=False)


#: Every field of an asset that a row of an import can fill, in the order in which people look at them.
ASSET_FIELDS: tuple[AssetField, ...] = (
    _fixed("name"),
    _fixed("asset_name"),
    _fixed("hostname"),
    _category("asset_type", ASSET_TYPES, mergeable=False),
    _fixed("external_id"),
    AssetField("description", limit=4_000),
    # network
    AssetField("fqdn"),
    AssetField("ip_address", limit=45),  # the longest IPv6 address
    AssetField("mac_address", limit=17),
    _fixed("security_zone", 100),
    # system
    AssetField("operating_system", limit=100),
    AssetField("os_version", limit=50),
    _whole("cpu_cores"),
    _number("memory_gb", "GB"),
    _number("storage_gb", "GB"),
    _fixed("virtualization_type", 50),
    _fixed("serial_number", 100),
    _fixed("manufacturer", 100),
    _fixed("model", 100),
    _fixed("server_role", 100),
    # place
    AssetField("environment", Kind.CATEGORY, 50, ENVIRONMENTS),
    AssetField("location", limit=100),
    AssetField("datacenter", limit=100),
    AssetField("rack_location", limit=50),
    AssetField("availability_zone", limit=50),
    # business
    AssetField("business_owner"),
    AssetField("technical_owner"),
    AssetField("department", limit=100),
    _fixed("business_unit", 100),
    _fixed("vendor", 100),
    _fixed("cost_center", 50),
    AssetField("application_name"),
    AssetField("technology_stack"),
    _category("criticality", CRITICALITIES),
    _category("business_criticality", CRITICALITIES),
    _category("status", ASSET_STATUSES, mergeable=False),
    _fixed("operational_status", 50),
    _fixed("support_group", 100),
    # the application and its data
    _fixed("application_type", 50),
    _fixed("lifecycle", 50),
    _fixed("hosting_model", 50),
    _fixed("database_type", 100),
    _fixed("database_version", 50),
    AssetField("database_size_gb", Kind.NUMBER, unit="GB", mergeable=False),
    AssetField("pii_flag", Kind.FLAG, mergeable=False),
    _fixed("data_classification", 50),
    _fixed("compliance_requirements"),
    _fixed("backup_schedule", 100),
    _fixed("maintenance_window", 100),
    _fixed("risk_level", 20),
    AssetField("asset_tags", Kind.TAGS, mergeable=False),
    # migration
    _category("six_r_strategy", SIX_R),
    _whole("migration_priority"),
    AssetField("migration_complexity", limit=20),
    _whole("migration_wave"),
    # performance and cost
    _number("cpu_utilization_percent", "%"),
    _number("memory_utilization_percent", "%"),
    _number("disk_iops"),
    _number("network_throughput_mbps", "Mbit/s"),
    _number("current_monthly_cost"),
    _number("estimated_cloud_cost"),
    # dates
    AssetField("purchase_date", Kind.DATE, mergeable=False),
    AssetField("warranty_end", Kind.DATE, mergeable=False),
    AssetField("last_seen", Kind.DATE, mergeable=False),
    # what else the asset is connected with
    _fixed("depends_on", 1_000),
)

FIELDS: dict[str, AssetField] = {each.name: each for each in ASSET_FIELDS}
#: Where a column goes that no field is for: kept under its own name, with as many others as there are.
CUSTOM = "custom_attributes"
#: What a mapping that nobody could guess says.
UNMAPPED = "UNMAPPED"
#: The columns that tell assets apart: a wrong guess about one of these spoils the inventory.
IDENTIFIERS = ("name", "asset_name", "hostname", "fqdn", "ip_address", "mac_address", "external_id", "serial_number")
#: Fields that an import may change in an asset that exists.
MERGEABLE = frozenset(each.name for each in ASSET_FIELDS if each.mergeable) | {CUSTOM}
