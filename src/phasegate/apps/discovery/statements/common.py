"""What the statements share: the tenant's filter, and parameters with names that no column has."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def text(name: str) -> sa.BindParameter[str]:
    """A parameter that is text."""
    return sa.bindparam(name, type_=sa.String)


def whole(name: str) -> sa.BindParameter[int]:
    """A parameter that is a whole number."""
    return sa.bindparam(name, type_=sa.BigInteger)


def of_tenant(table: sa.Table) -> sa.ColumnElement[bool]:
    """The rows of the tenant whose ``where`` is among the parameters."""
    return sa.and_(table.c.client_account_id == text("client"), table.c.engagement_id == text("engagement"))


def update(table: sa.Table, *where: Any, columns: tuple[str, ...]) -> sa.Update:
    """Set columns of the tenant's rows; a column's new value is the parameter ``new_`` and its name."""
    values = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in columns}
    return sa.update(table).where(of_tenant(table), *where).values(values)


def news(**values: Any) -> dict[str, Any]:
    """The parameters of ``update`` for these columns."""
    return {f"new_{name}": value for name, value in values.items()}
