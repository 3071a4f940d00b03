"""Technical debt of an asset: what is out of support, old, or missing, how bad that is, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Any

from phasegate.apps.discovery.rules.support_ends import DATABASES, OPERATING_SYSTEMS, Finding, Product, look_up

#: Support that ends within so many days is worth planning for now.
NEAR_END_DAYS = 365
#: Support that has been over for so many days is critical, as it is on any asset that is important.
LONG_OVER_DAYS = 3 * 365
#: Devices are old from here, and very old from there.
OLD_YEARS, VERY_OLD_YEARS = 5, 8

_IMPORTANT = frozenset({"high", "critical"})
_WITH_DATA = frozenset({"server", "virtual_machine", "database", "storage"})
_OWN_SERVICES = frozenset({"network", "load_balancer", "security_group", "storage"})
_RETIRED = frozenset({"retired", "decommissioned", "obsolete", "disposed", "retiring", "phase out", "sunset"})
_UNIX = frozenset({"AIX", "Solaris"})


class _Rank(IntEnum):
    low = 1
    medium = 3
    high = 7
    critical = 10


@dataclass(frozen=True, slots=True)
class Debt:
    """One debt. Kinds: os_out_of_support, os_support_ending, os_version_unknown, the same with database_, missing_owner,
    missing_environment, no_backup, old_hardware, warranty_over. Severity: low, medium, high, critical.
    """

    asset_id: str
    kind: str
    severity: str
    message: str
    remediation: str


def find_debt(asset: Mapping[str, Any], today: date) -> tuple[Debt, ...]:
    """Every debt of an asset, given by the names of its fields and ``id``. Never raises: what cannot be read is absent."""
    id = _text(asset, "id")
    rules = (_operating_system, _database, _owner, _environment, _backup, _age, _warranty)
    found = (rule(asset, today) for rule in rules)
    return tuple(Debt(id, *parts) for parts in found if parts is not None)


#: Kind, severity, message and remediation of a debt.
_Parts = tuple[str, str, str, str]


def _operating_system(asset: Mapping[str, Any], today: date) -> _Parts | None:
    text = f"{_text(asset, 'operating_system')} {_text(asset, 'os_version')}".strip()
    return _support("os", _finding(text, OPERATING_SYSTEMS), text, _important(asset), today)


def _database(asset: Mapping[str, Any], today: date) -> _Parts | None:
    text = f"{_text(asset, 'database_type')} {_text(asset, 'database_version')}".strip()
    return _support("database", _finding(text, DATABASES), text, _important(asset), today)


def _finding(text: str, products: Sequence[Product]) -> Finding:
    return look_up(text, products) if text else Finding("", "", None)


def _support(what: str, finding: Finding, text: str, important: bool, today: date) -> _Parts | None:
    if finding.end is None:
        if not text or finding.version or any(letter.isdigit() for letter in text):
            return None  # a version that the table does not have
        return f"{what}_version_unknown", "low", f"{text[:100]!r} has no version", "find out the version"
    name = f"{finding.product} {finding.version}"
    days = (today - finding.end.ends).days
    if days > 0:
        severity = "critical" if important or days > LONG_OVER_DAYS else "high"
        said = f"{name} has had no support since {finding.end.ends.isoformat()}"
        return f"{what}_out_of_support", severity, said, f"upgrade {finding.product} or move to a supported platform"
    if -days <= NEAR_END_DAYS:
        said = f"support of {name} ends on {finding.end.ends.isoformat()}"
        return f"{what}_support_ending", "medium", said, f"plan the upgrade of {finding.product} before that day"
    return None


def _owner(asset: Mapping[str, Any], today: date) -> _Parts | None:
    if _text(asset, "business_owner") or _text(asset, "technical_owner"):
        return None
    severity = "high" if _important(asset) else "medium"
    return "missing_owner", severity, "nobody is named as its owner", "name a business or a technical owner"


def _environment(asset: Mapping[str, Any], today: date) -> _Parts | None:
    if _text(asset, "environment").lower() not in ("", "unknown"):
        return None
    return "missing_environment", "low", "its environment is not known", "say whether it is production, test or another"


def _backup(asset: Mapping[str, Any], today: date) -> _Parts | None:
    if _text(asset, "backup_schedule") or _text(asset, "asset_type") not in _WITH_DATA:
        return None
    severity = "high" if _important(asset) or _text(asset, "asset_type") == "database" else "medium"
    return "no_backup", severity, "no backup schedule is known", "set up backups, or record the schedule there is"


def _age(asset: Mapping[str, Any], today: date) -> _Parts | None:
    bought = _day(asset, "purchase_date")
    years = (today - bought).days / 365.25 if bought else 0.0
    if years <= OLD_YEARS:
        return None
    severity = "high" if years > VERY_OLD_YEARS else "medium"
    return "old_hardware", severity, f"it was bought {int(years)} years ago", "replace the device or move off it"


def _warranty(asset: Mapping[str, Any], today: date) -> _Parts | None:
    ended = _day(asset, "warranty_end")
    if ended is None or ended >= today:
        return None
    severity = "medium" if _important(asset) else "low"
    return "warranty_over", severity, f"its warranty ended on {ended.isoformat()}", "extend the warranty or replace it"


def _important(asset: Mapping[str, Any]) -> bool:
    return any(_text(asset, name).lower() in _IMPORTANT for name in ("criticality", "business_criticality"))


def _text(asset: Mapping[str, Any], name: str) -> str:
    value = asset.get(name)
    return value.strip() if isinstance(value, str) else ""


def _day(asset: Mapping[str, Any], name: str) -> date | None:
    value = asset.get(name)
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def six_r_hint(asset: Mapping[str, Any], debts: Iterable[Debt]) -> str:
    """One of the six (and retain) as a first idea for a person to judge.

    retire: said to be going, or out of support, unimportant and without an owner. retain: a service of somebody else.
    replace: network, storage and the like, for which clouds have services of their own. rearchitect: an application with
    two or more serious debts of its platform, refactor: with one. replatform: another asset whose system or database is
    out of support or about to be, or a Unix of the vendor's own. rehost: everything else.
    """
    kinds = {debt.kind: debt.severity for debt in debts}
    ended = [kind for kind in kinds if kind.endswith("_out_of_support")]
    unowned = "missing_owner" in kinds and _text(asset, "criticality").lower() == "low"
    if _text(asset, "lifecycle").lower() in _RETIRED or _text(asset, "operational_status").lower() in _RETIRED:
        return "retire"
    if ended and unowned:
        return "retire"
    if _text(asset, "hosting_model").lower() in ("saas", "cloud"):
        return "retain"
    if _text(asset, "asset_type") in _OWN_SERVICES:
        return "replace"
    if _text(asset, "asset_type") == "application" and ended:
        return "rearchitect" if len(ended) > 1 else "refactor"
    system = _finding(_text(asset, "operating_system"), OPERATING_SYSTEMS).product
    ending = any(kind.endswith("_support_ending") for kind in kinds)
    return "replatform" if ended or ending or system in _UNIX else "rehost"


def risk_summary(debts: Iterable[Debt]) -> dict[str, Any]:
    """Counts by severity and kind, ``assets_at_risk`` (high or critical), and the risk of the assets that have debts.

    ``risk_score`` is from 0 to 100: the mean over those assets of their worst debt (critical 100, high 70, medium 30,
    low 10). ``risk_level`` is the worst severity there is, or none.
    """
    every = list(debts)
    worst: dict[str, _Rank] = {}
    for debt in every:
        rank = _Rank[debt.severity]
        worst[debt.asset_id] = max(rank, worst.get(debt.asset_id, rank))
    counts = Counter(debt.severity for debt in every)
    return {
        "total": len(every),
        "by_severity": {rank.name: counts[rank.name] for rank in reversed(_Rank)},
        "by_kind": dict(sorted(Counter(debt.kind for debt in every).items())),
        "assets_with_debt": len(worst),
        "assets_at_risk": sum(rank >= _Rank.high for rank in worst.values()),
        "risk_score": round(10 * sum(worst.values()) / len(worst), 1) if worst else 0.0,
        "risk_level": max(worst.values()).name if worst else "none",
    }
