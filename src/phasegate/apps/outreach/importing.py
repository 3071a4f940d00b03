"""Loading files: register them once, then start a run for every company they bring."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from phasegate import Engine, InputError, RunStatus, Subject
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.intake import company_records, people_records, read_table
from phasegate.apps.outreach.registering import file_digest

#: How far a loaded company goes unless the caller says otherwise: it is in the table, and nothing was judged yet.
INTAKE_ONLY = ("intake",)

Mapped = Mapping[str, str]


def load_companies(
    engine: Engine, path: str | Path, mapping: Mapped | None = None, aim: Collection[str] | None = INTAKE_ONLY,
    dry_run: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Load a file of companies, and take them as far as ``aim`` says (None: through the whole flow).

    Returns ``phase_id, phase_name, dry_run, statistics{total_rows, valid_rows, invalid_rows, duplicate_rows,
    inserted_rows, error_count, errors (first 10), duration_seconds, timestamp}``. The same file again loads nothing but
    what an interrupted load left out; rows of it that are loaded count as duplicates. Raises InputError, before anything
    is recorded, for a file that cannot be used. In a dry run the counts are those of a real one and nothing stays.
    """
    return load(engine, companies=path, mapping=mapping, aim=aim, dry_run=dry_run)["companies"]


def load_people(
    engine: Engine, path: str | Path, mapping: Mapped | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Load a file of people; the result has the shape ``load_companies`` gives, with ``orphan_rows``, ``held_rows{reason: n}``
    of these, and ``matched_rows``, whose company the file does not name but certainly means.

    A person whose company is not known is kept with the file's words for it and found again when the company comes.
    """
    return load(engine, people=path, people_mapping=mapping, dry_run=dry_run)["people"]


def load(
    engine: Engine, *, companies: str | Path | None = None, people: str | Path | None = None,
    mapping: Mapped | None = None, people_mapping: Mapped | None = None, aim: Collection[str] | None = INTAKE_ONLY,
    dry_run: bool = False,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Load companies and people together: both files are registered before the first company starts on its way.

    Returns the results under ``companies`` and ``people``, as far as the files were given.
    """
    if dry_run and not engine.dry_run:
        with engine.rehearsal() as rehearsed:
            return load(
                rehearsed, companies=companies, people=people, mapping=mapping, people_mapping=people_mapping, aim=aim
            )
    began = time.perf_counter()
    if companies is not None:
        company_records(read_table(companies), mapping)
    if people is not None:
        people_records(read_table(people), people_mapping)
    brought = _register(engine, companies, "companies", mapping) if companies is not None else None
    met = _register(engine, people, "people", people_mapping) if people is not None else None
    found: dict[str, dict[str, Any]] = {}
    if brought is not None:
        counts = _start(engine, brought, aim)
        found["companies"] = _result(engine, counts, began)
    if met is not None:
        found["people"] = _result(engine, _once(met), began)
    return found


def import_id(path: str | Path, mapping: Mapped | None) -> str:
    """The identity of an import: the content of the file and the way its columns are read."""
    digest = file_digest(path)
    if not mapping:
        return digest
    return hashlib.sha256(f"{digest} {json.dumps(dict(mapping), sort_keys=True)}".encode()).hexdigest()


def _register(engine: Engine, path: str | Path, kind: str, mapping: Mapped | None) -> dict[str, Any]:
    """The output of the import run, with ``repeated``: whether an earlier load had registered the file."""
    subject = Subject("import", import_id(path, mapping))
    given = {
        "path": str(Path(path).resolve()),
        "kind": kind,
        "sha256": file_digest(path),
        "mapping": dict(mapping) if mapping else None,
    }
    run = engine.start("outreach-import", subject, key=kind, input=given)
    repeated = run.status is RunStatus.SUCCEEDED
    if run.status is RunStatus.FAILED:  # an earlier attempt met a file that had changed, or a broken database
        run = engine.start("outreach-import", subject, key=kind, input=given, again=True)
    if not repeated:
        engine.drain()
    run = engine.get(run.id)
    if run.status is not RunStatus.SUCCEEDED:
        raise InputError(f"{path} could not be registered: {run.reason or run.status.value}")
    return {**engine.outputs(run.id)["register"], "repeated": repeated}


def _start(engine: Engine, brought: Mapping[str, Any], aim: Collection[str] | None) -> dict[str, Any]:
    """Start the runs of the companies a file brought; those that run already stay as they are."""
    which = {"tenant": engine.tenant, "import_id": brought["import_id"]}
    before = _loaded(engine, which)
    rows = engine.read(sql.IMPORTED_COMPANIES, which)
    subjects = [Subject("company", row["company_unique_id"]) for row in rows]
    inputs = [{**row["record"], "import_batch_id": brought["import_id"]} for row in rows]
    if subjects:
        engine.start_many("outreach", subjects, inputs=inputs, aim=aim)
        engine.drain()
    counts = dict(brought["statistics"])
    inserted = _loaded(engine, which) - before
    return {
        **counts,
        "valid_rows": counts["valid_rows"] - before,
        "duplicate_rows": counts["duplicate_rows"] + before,
        "inserted_rows": inserted,
    }


def _loaded(engine: Engine, which: Mapping[str, Any]) -> int:
    return int(engine.read(sql.LOADED_OF_IMPORT, which)[0]["loaded"])


def _once(met: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a people file; when it was registered before, its rows are duplicates now."""
    counts = dict(met["statistics"])
    if not met["repeated"]:
        return counts
    loaded = counts["inserted_rows"]
    return {
        **counts,
        "valid_rows": counts["valid_rows"] - loaded,
        "duplicate_rows": counts["duplicate_rows"] + loaded,
        "inserted_rows": 0,
    }


def _result(engine: Engine, counts: Mapping[str, Any], began: float) -> dict[str, Any]:
    return {
        "phase_id": 0,
        "phase_name": "Intake Load",
        "dry_run": engine.dry_run,
        "statistics": {
            **counts,
            "duration_seconds": round(time.perf_counter() - began, 3),
            "timestamp": engine.store.now().isoformat(),
        },
    }
