from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.rules.debt import NEAR_END_DAYS, Debt, find_debt, risk_summary, six_r_hint
from phasegate.apps.discovery.rules.support_ends import DATABASES, OPERATING_SYSTEMS, Product, look_up
from phasegate.apps.discovery.schema import FIELDS, SIX_R
from tests.apps.discovery.test_conversion import json_values

TODAY = date(2026, 6, 1)
SOUND = {
    "id": "a-1", "asset_type": "server", "business_owner": "Ann Bell", "environment": "Production", "backup_schedule": "daily",
    "operating_system": "Ubuntu 24.04 LTS", "criticality": "Medium", "purchase_date": "2024-01-01", "warranty_end": "2028-01-01",
}  # fmt: skip
SEVERITIES = ("low", "medium", "high", "critical")


def debts(**fields: Any) -> dict[str, str]:
    return {debt.kind: debt.severity for debt in find_debt({**SOUND, **fields}, TODAY)}


def of_kind(kind: str, severity: str = "high", id: str = "a-1") -> Debt:
    return Debt(id, kind, severity, "", "")


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Windows Server 2008 R2 Standard", "2020-01-14"),
        ("Microsoft Windows Server 2012 R2 Datacenter (64-bit)", "2023-10-10"),
        ("Windows 2019", "2029-01-09"),
        ("Windows Server 2022", "2031-10-14"),
        ("Red Hat Enterprise Linux Server release 7.9 (Maipo)", "2024-06-30"),
        ("RHEL6", "2020-11-30"),
        ("CentOS Linux 8", "2021-12-31"),
        ("CentOS Stream 8", "2024-05-31"),
        ("Ubuntu 18.04.6 LTS", "2023-05-31"),
        ("Debian GNU/Linux 10 (buster)", "2024-06-30"),
        ("SUSE Linux Enterprise Server 12 SP5", "2024-10-31"),
        ("SLES 15 SP3", "2022-12-31"),
        ("SLES15", "2031-07-31"),
        ("AIX 7100-05-02", "2023-04-30"),
        ("Oracle Solaris 10", "2018-01-31"),
        ("SunOS 5.10", "2018-01-31"),
        ("Oracle Linux Server 7.9", "2024-12-31"),
    ],
)
def test_operating_systems_have_the_day_of_their_vendor(text: str, ends: str) -> None:
    end = look_up(text, OPERATING_SYSTEMS).end
    assert end is not None
    assert end.ends == date.fromisoformat(ends)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Oracle Database 11g Release 2", "2015-01-31"),
        ("Oracle 19c", "2029-12-31"),
        ("Oracle 12.1.0.2", "2018-07-31"),
        ("Microsoft SQL Server 2008 R2", "2019-07-09"),
        ("MSSQL 13.0.5026.0", "2026-07-14"),
        ("Oracle MySQL 5.7.44", "2023-10-31"),
        ("PostgreSQL 9.6.24", "2021-11-11"),
        ("postgres 13", "2025-11-13"),
        ("MariaDB 10.6", "2026-07-06"),
        ("MongoDB 4.4.1", "2024-02-29"),
    ],
)
def test_databases_have_the_day_of_their_vendor(text: str, ends: str) -> None:
    end = look_up(text, DATABASES).end
    assert end is not None
    assert end.ends == date.fromisoformat(ends)


@pytest.mark.parametrize(
    "text",
    [
        "Linux",
        "Windows 10 Enterprise 2016 LTSB",
        "CentOS 4/5 or later (64-bit)",
        "Windows Server 2016 or later",
        "Ubuntu 21.10",
    ],
)
def test_what_the_table_does_not_have_is_not_judged(text: str) -> None:
    assert look_up(text, OPERATING_SYSTEMS).end is None
    assert "os_out_of_support" not in debts(operating_system=text)


@pytest.mark.parametrize("text", ["Amazon RDS PostgreSQL 9.6", "Aurora MySQL 5.7", "Cassandra 3.11"])
def test_a_database_of_a_service_has_other_days(text: str) -> None:
    assert look_up(text, DATABASES).end is None


@pytest.mark.parametrize("product", [*OPERATING_SYSTEMS, *DATABASES], ids=lambda product: product.name)
def test_every_version_of_the_table_is_found_by_its_name(product: Product) -> None:
    table = DATABASES if product in DATABASES else OPERATING_SYSTEMS
    for version, day in product.ends.items():
        end = look_up(f"{product.name} {version.replace('r2', ' R2')}", table).end
        assert end is not None, version
        assert (end.product, end.ends) == (product.name, date.fromisoformat(day))


def test_a_sound_asset_has_no_debt() -> None:
    assert find_debt(SOUND, TODAY) == ()


def test_support_that_is_over_is_high_and_critical_when_long_over_or_important() -> None:
    assert debts(operating_system="RHEL 7") == {"os_out_of_support": "high"}
    assert debts(operating_system="RHEL 7", criticality="High") == {"os_out_of_support": "critical"}
    assert debts(operating_system="RHEL", os_version="5.11") == {"os_out_of_support": "critical"}
    assert debts(database_type="PostgreSQL", database_version="12.4") == {"database_out_of_support": "high"}


def test_support_is_near_its_end_for_a_year_and_over_the_day_after() -> None:
    ends = date(2024, 6, 30)
    for day, kinds in (
        (ends - timedelta(days=NEAR_END_DAYS + 1), set()),
        (ends - timedelta(days=NEAR_END_DAYS), {"os_support_ending"}),
        (ends, {"os_support_ending"}),
        (ends + timedelta(days=1), {"os_out_of_support"}),
    ):
        found = find_debt({**SOUND, "operating_system": "RHEL 7", "purchase_date": None}, day)
        assert {debt.kind for debt in found} == kinds


def test_a_system_without_a_version_is_a_low_debt() -> None:
    assert debts(operating_system="Ubuntu") == {"os_version_unknown": "low"}
    assert debts(operating_system=None) == {}
    assert debts(database_type="Oracle") == {"database_version_unknown": "low"}


def test_an_asset_without_an_owner_or_an_environment_has_debts() -> None:
    assert debts(business_owner=" ") == {"missing_owner": "medium"}
    assert debts(business_owner=None, technical_owner="Ben Cole") == {}
    assert debts(business_owner=None, business_criticality="Critical") == {"missing_owner": "high"}
    assert debts(environment="Unknown") == {"missing_environment": "low"}


def test_data_without_a_backup_is_a_debt() -> None:
    assert debts(backup_schedule=None) == {"no_backup": "medium"}
    assert debts(backup_schedule=None, asset_type="database") == {"no_backup": "high"}
    assert debts(backup_schedule=None, asset_type="network") == {}


def test_old_devices_and_warranties_that_are_over_are_debts() -> None:
    assert debts(purchase_date="2021-05-01") == {"old_hardware": "medium"}
    assert debts(purchase_date="2021-07-01") == {}
    assert debts(purchase_date=datetime(2010, 1, 1, tzinfo=UTC)) == {"old_hardware": "high"}
    assert debts(warranty_end="2026-05-31") == {"warranty_over": "low"}
    assert debts(warranty_end="2026-06-01") == {}
    assert debts(warranty_end="2026-05-31", criticality="critical") == {"warranty_over": "medium"}


@pytest.mark.parametrize(
    ("fields", "kinds", "hint"),
    [
        ({"lifecycle": "Retired"}, (), "retire"),
        ({"criticality": "Low"}, ("os_out_of_support", "missing_owner"), "retire"),
        ({"hosting_model": "SaaS"}, ("missing_owner",), "retain"),
        ({"asset_type": "load_balancer"}, (), "replace"),
        ({"asset_type": "application"}, ("os_out_of_support",), "refactor"),
        ({"asset_type": "application"}, ("os_out_of_support", "database_out_of_support"), "rearchitect"),
        ({"asset_type": "server"}, ("os_out_of_support",), "replatform"),
        ({"asset_type": "database"}, ("database_support_ending",), "replatform"),
        ({"asset_type": "server", "operating_system": "AIX 7.3"}, (), "replatform"),
        ({"asset_type": "server"}, ("missing_owner",), "rehost"),
        ({}, (), "rehost"),
    ],
)
def test_the_hint_follows_from_the_debts(fields: dict[str, str], kinds: tuple[str, ...], hint: str) -> None:
    assert six_r_hint(fields, [of_kind(kind) for kind in kinds]) == hint


def test_a_summary_counts_debts_and_weighs_the_worst_of_each_asset() -> None:
    found = risk_summary(
        [of_kind("no_backup"), of_kind("missing_owner", "medium"), of_kind("missing_owner", "low", "a-2")]
    )
    assert found == {
        "total": 3,
        "by_severity": {"critical": 0, "high": 1, "medium": 1, "low": 1},
        "by_kind": {"missing_owner": 2, "no_backup": 1},
        "assets_with_debt": 2,
        "assets_at_risk": 1,
        "risk_score": 40.0,
        "risk_level": "high",
    }
    assert (risk_summary([])["risk_score"], risk_summary([])["risk_level"]) == (0.0, "none")


words = st.sampled_from(
    ["Windows Server 2012", "Oracle", "server", "2020-01-01", "0000", "High", "application", "saas", "Low"]
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*sorted(FIELDS), "id"]), words | json_values, max_size=10))
def test_whatever_the_asset_there_is_an_answer(asset: dict[str, Any]) -> None:
    found = find_debt(asset, TODAY)
    assert all(debt.severity in SEVERITIES and debt.message and debt.remediation for debt in found)
    assert len({debt.kind for debt in found}) == len(found)
    assert six_r_hint(asset, found) in SIX_R
    assert 0 <= risk_summary(found)["risk_score"] <= 100
