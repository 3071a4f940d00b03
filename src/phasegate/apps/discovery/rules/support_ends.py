"""When the vendors' support of operating systems and databases ends: a table of public dates, and how to look into it.

The day is the last one of the support that comes without a contract of its own (not Microsoft's Extended Security Updates,
Red Hat's ELS, Oracle's Extended Support, Ubuntu Pro); Debian's is that of its LTS. Where a vendor names a month only, it is
the last day of that month. A version without its minor one has the date of its latest minor version, so that nothing is said
to be over too early. What is not in the table is not known, and nothing is said about it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class SupportEnd:
    """A version of a product and the last day of its vendor's support."""

    product: str
    version: str
    ends: date


@dataclass(frozen=True, slots=True)
class Product:
    """How a product is recognised, and the last day of support of each of its versions, as ISO text."""

    name: str
    pattern: re.Pattern[str]
    ends: dict[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a text says. ``product`` is empty when none is recognised, ``version`` when there is none to read."""

    product: str
    version: str
    end: SupportEnd | None


def _product(name: str, pattern: str, ends: str) -> Product:
    words = ends.split()
    return Product(name, re.compile(pattern, re.IGNORECASE), dict(zip(words[::2], words[1::2], strict=True)))


#: The first that is recognised counts, so that the more special ones stand first.
OPERATING_SYSTEMS: tuple[Product, ...] = (
    _product("Windows Server", r"\b(?:microsoft )?windows\b[^0-9]{0,40}(?=20(?:00|03|08|12|16|19|22|25)\b)", """
        2000 2010-07-13 2003 2015-07-14 2003r2 2015-07-14 2008 2020-01-14 2008r2 2020-01-14 2012 2023-10-10
        2012r2 2023-10-10 2016 2027-01-12 2019 2029-01-09 2022 2031-10-14 2025 2034-10-10"""),
    _product("Windows", r"\bwindows\b", "7 2020-01-14 8 2016-01-12 8.1 2023-01-10"),
    _product("CentOS Stream", r"\bcent ?os[ -]?stream", "8 2024-05-31 9 2027-05-31"),
    _product("CentOS", r"\bcent ?os", "5 2017-03-31 6 2020-11-30 7 2024-06-30 8 2021-12-31"),
    _product("Red Hat Enterprise Linux", r"\brhel|\bred ?hat", """
        4 2012-02-29 5 2017-03-31 6 2020-11-30 7 2024-06-30 8 2029-05-31 9 2032-05-31 10 2035-05-31"""),
    _product("Oracle Linux", r"\boracle (?:enterprise )?linux|\boel\b", """
        5 2017-06-30 6 2021-03-31 7 2024-12-31 8 2029-07-31 9 2032-06-30"""),
    _product("Rocky Linux", r"\brocky", "8 2029-05-31 9 2032-05-31 10 2035-05-31"),
    _product("AlmaLinux", r"\balma ?linux", "8 2029-03-01 9 2032-05-31 10 2035-05-31"),
    _product("Ubuntu", r"\bubuntu", """
        10.04 2015-04-30 12.04 2017-04-28 14.04 2019-04-30 16.04 2021-04-30 18.04 2023-05-31 20.04 2025-05-31
        22.04 2027-04-30 24.04 2029-05-31 26.04 2031-04-30"""),
    _product("Debian", r"\bdebian", """
        5 2012-02-06 6 2016-02-29 7 2018-05-31 8 2020-06-30 9 2022-07-01 10 2024-06-30 11 2026-08-31 12 2028-06-30
        13 2030-06-30"""),
    _product("SUSE Linux Enterprise Server", r"\bsles|\bsuse linux enterprise", """
        10 2013-07-31 10.1 2008-11-30 10.2 2010-04-11 10.3 2011-10-11 10.4 2013-07-31
        11 2019-03-31 11.1 2012-08-31 11.2 2014-01-31 11.3 2016-01-31 11.4 2019-03-31
        12 2024-10-31 12.1 2017-05-31 12.2 2018-03-31 12.3 2019-06-30 12.4 2020-06-30 12.5 2024-10-31
        15 2031-07-31 15.1 2021-01-31 15.2 2021-12-31 15.3 2022-12-31 15.4 2023-12-31 15.5 2024-12-31 15.6 2025-12-31
        15.7 2031-07-31"""),
    _product("Amazon Linux", r"\bamazon ?linux|\bamzn", "1 2023-12-31 2018.03 2023-12-31 2 2026-06-30"),
    _product("AIX", r"\baix", """
        5.3 2012-04-30 6.1 2017-04-30 7.1 2023-04-30 5300 2012-04-30 6100 2017-04-30 7100 2023-04-30"""),
    _product("Solaris", r"\bsolaris|\bsunos", """
        8 2009-03-31 5.8 2009-03-31 9 2011-10-31 5.9 2011-10-31 10 2018-01-31 5.10 2018-01-31 11.3 2021-01-31"""),
    _product("VMware ESXi", r"\besxi?\b|\bvsphere", "5.5 2018-09-19 6.0 2020-03-12 6.5 2022-10-15 6.7 2022-10-15 7.0 2025-10-02"),
)  # fmt: skip

#: As for operating systems. Microsoft's inner numbers stand beside the years.
DATABASES: tuple[Product, ...] = (
    _product("SQL Server", r"\bms[ -]?sql|\bsql ?server|\bsqlserver", """
        2000 2013-04-09 2005 2016-04-12 2008 2019-07-09 2008r2 2019-07-09 2012 2022-07-12 2014 2024-07-09 2016 2026-07-14
        2017 2027-10-12 2019 2030-01-08 2022 2033-01-11 2025 2036-01-06
        8 2013-04-09 9 2016-04-12 10 2019-07-09 11 2022-07-12 12 2024-07-09 13 2026-07-14 14 2027-10-12 15 2030-01-08
        16 2033-01-11 17 2036-01-06"""),
    _product("MariaDB", r"\bmaria ?db", """
        5.5 2020-04-11 10.0 2019-03-31 10.1 2020-10-17 10.2 2022-05-23 10.3 2023-05-25 10.4 2024-06-18 10.5 2025-06-24
        10.6 2026-07-06 10.7 2023-02-14 10.8 2023-05-20 10.9 2023-08-22 10.10 2023-11-17 10.11 2028-02-16 11.4 2029-05-29"""),
    _product("MySQL", r"\bmy ?sql", "5.5 2018-12-31 5.6 2021-02-28 5.7 2023-10-31 8.0 2026-04-30 8.4 2032-04-30"),
    _product("PostgreSQL", r"\bpostgre(?:s|sql)\b|\bpostgres", """
        8.4 2014-07-24 9.0 2015-10-08 9.1 2016-10-27 9.2 2017-11-09 9.3 2018-11-08 9.4 2020-02-13 9.5 2021-02-11
        9.6 2021-11-11 10 2022-11-10 11 2023-11-09 12 2024-11-14 13 2025-11-13 14 2026-11-12 15 2027-11-11 16 2028-11-09
        17 2029-11-08 18 2030-11-14"""),
    _product("MongoDB", r"\bmongo", """
        2.6 2016-10-31 3.0 2018-02-28 3.2 2018-09-30 3.4 2020-01-31 3.6 2021-04-30 4.0 2022-04-30 4.2 2023-04-30
        4.4 2024-02-29 5.0 2024-10-31 6.0 2025-07-31 7.0 2027-08-31 8.0 2029-10-31"""),
    _product("Oracle Database", r"\boracle\b(?! linux| enterprise linux)", """
        9 2007-07-31 10 2010-07-31 11 2015-01-31 11.1 2012-08-31 11.2 2015-01-31 12 2022-03-31 12.1 2018-07-31
        12.2 2022-03-31 18 2021-06-30 19 2029-12-31 21 2027-07-31 23 2031-12-31"""),
)  # fmt: skip

_NOT_VERSION = re.compile(r"x86[-_]64|amd64|\bx86\b|\bx64\b|\b(?:32|64)[- ]?bit|\bi[3-6]86\b", re.IGNORECASE)
# VMware writes "CentOS 4/5 or later", and services have dates of their own.
_UNCERTAIN = re.compile(
    r"\bor (?:later|newer)\b|[0-9]/[0-9]|\bldom\b|\baurora\b|\brds\b|\bazure\b|\bcloud sql\b", re.IGNORECASE
)
_VERSION = re.compile(
    r"([0-9]{1,4}(?:\.[0-9]+){0,4})(?:[a-z]{1,2}\b)?(?:[ ,-]*(r2|(?:sp|service pack) ?[0-9])\b)?", re.IGNORECASE
)


def look_up(text: str, products: Sequence[Product]) -> Finding:
    """What the table says of an operating system or a database as an inventory writes it, with its version somewhere."""
    plain = _NOT_VERSION.sub(" ", text[:300])
    for product in products:
        if match := product.pattern.search(plain):
            version = None if _UNCERTAIN.search(plain) else _VERSION.search(plain, match.end())
            if version is None:
                return Finding(product.name, "", None)
            return Finding(product.name, version[0].strip(), _end(product, version))
    return Finding("", "", None)


def _end(product: Product, version: re.Match[str]) -> SupportEnd | None:
    number, addition = version[1], (version[2] or "").lower()
    if addition == "r2":
        number += addition
    elif addition:
        number = f"{number.split('.')[0]}.{addition[-1]}"
    while number:
        if number in product.ends:
            return SupportEnd(product.name, number, date.fromisoformat(product.ends[number]))
        number = number.rpartition(".")[0]
    return None
