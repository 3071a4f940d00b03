"""The tables that the migrations lead to are those that the code knows, on both kinds of database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phasegate import Engine
from phasegate.apps.discovery import open_engine
from phasegate.apps.discovery.opening import MIGRATIONS
from phasegate.apps.discovery.tables import SCHEMA, metadata
from phasegate.errors import SchemaMismatch


def described(address: str) -> dict[str, Any]:
    """Columns, keys, indexes and constraints of the application's tables."""
    engine = sa.create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    where = SCHEMA if engine.dialect.name == "postgresql" else None
    with engine.connect() as connection:
        found = sa.inspect(connection)
        told = {
            name: {
                "columns": {
                    c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(name, where)
                },
                "primary": found.get_pk_constraint(name, where)["constrained_columns"],
                "foreign": sorted(
                    (k["constrained_columns"], k["referred_table"], k["referred_columns"], k["options"])
                    for k in found.get_foreign_keys(name, where)
                ),
                "indexes": sorted(plain(i) for i in found.get_indexes(name, where)),
                "unique": sorted(str(k["column_names"]) for k in found.get_unique_constraints(name, where)),
                "checks": sorted(str(k["sqltext"]) for k in found.get_check_constraints(name, where)),
            }
            for name in metadata.tables
        }
    engine.dispose()
    return told


def plain(index: Any) -> str:
    """An index as text; clauses are objects that are never equal."""
    options = {key: str(value) for key, value in index.get("dialect_options", {}).items()}
    return str(sorted({**index, "dialect_options": sorted(options.items())}.items()))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_migrations_lead_to_the_tables_of_the_code(address: str, tmp_path: Path) -> None:
    with open_engine(address) as engine:
        migrated = described(address)
        for name in reversed(list(metadata.tables)):
            engine.write([(f"DROP TABLE {name}{' CASCADE' if 'postgresql' in address else ''}", {})])
        engine.create_tables(metadata)
    assert described(address) == migrated
    assert all(each["columns"] for each in migrated.values())


def test_a_second_process_finds_nothing_to_do(address: str) -> None:
    with open_engine(address) as engine:
        engine.write(
            [
                (
                    "INSERT INTO flow_audit (client_account_id, engagement_id, user_id, operation, success, created_at)"
                    " VALUES ('a', 'b', 'c', 'create', :yes, :now)",
                    {"yes": True, "now": "2030-01-01T00:00:00.000000+00:00"},
                )
            ]
        )
    with open_engine(address) as engine:
        assert engine.read("SELECT count(*) AS n FROM flow_audit")[0]["n"] == 1
        assert engine.read("SELECT version_num FROM discovery_version") == [{"version_num": "0001"}]


def test_tables_of_a_version_that_is_not_known_are_left_alone(address: str) -> None:
    with open_engine(address) as engine:
        engine.write([("UPDATE discovery_version SET version_num = '9999'", {})])
    with pytest.raises(SchemaMismatch, match="tables of discovery"):
        open_engine(address)
    with Engine(address) as engine, pytest.raises(SchemaMismatch):
        engine.migrate(MIGRATIONS, SCHEMA)
