"""From what people type to the run, the subject, or the answers they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasegate.core.flow import Flow
from phasegate.core.run import Run, Subject
from phasegate.errors import InputError, UnknownName

if TYPE_CHECKING:
    from phasegate.engine import Engine

#: What is true of every subject whose run has been purged.
STARTS_ANEW = "it counts as done: only engine.start(..., again=True) does it anew"


def find_run(engine: Engine, text: str) -> Run:
    """The run with this id, with an id that begins so, or the latest one of a subject written ``kind:id``.

    Raises ``UnknownName`` when there is none, or when several ids begin so.
    """
    if ":" not in text:
        return _by_id(engine, text)
    subject = parse_subject(text)
    latest = engine.find(subject=subject, limit=1)
    if not latest:
        error = UnknownName("subject", text)
        error.hint = purged(engine, subject)
        raise error
    return engine.get(latest[0].id)


def purged(engine: Engine, subject: Subject) -> str | None:
    """What became of a subject whose runs have been purged, and where that leaves it; None when none was."""
    stones = engine.purged(subject)
    if not stones:
        return None
    return f"{'; '.join(map(str, stones))}; {STARTS_ANEW}"


def _by_id(engine: Engine, text: str) -> Run:
    try:
        return engine.get(text)
    except UnknownName as error:
        error.hint = (
            error.hint or "write an id, or so much of it that only one run's begins so; phasegate runs lists them"
        )
        raise


def parse_subject(text: str) -> Subject:
    """The subject written ``kind:id``. Raises ``InputError``."""
    try:
        return Subject.parse(text)
    except ValueError as error:
        raise InputError(str(error), hint="such as company:acme") from None


def find_flow(engine: Engine, text: str) -> Flow:
    """The flow called so in its latest version, or written ``name@version``. Raises ``UnknownName``."""
    name, _, version = text.partition("@")
    known = engine.flows()
    named = [flow for flow in known if flow.name == name]
    if not named:
        raise UnknownName("flow", name, [flow.name for flow in known])
    if not version:
        return max(named, key=lambda flow: flow.version)
    found = next((flow for flow in named if str(flow.version) == version), None)
    if found is None:
        raise UnknownName(f"version of flow {name!r}", version, [str(flow.version) for flow in named])
    return found


def definition(engine: Engine, run: Run) -> Flow | None:
    """The flow a run is in; None when neither the code nor the database has that version."""
    return next((flow for flow in engine.flows() if (flow.name, flow.version) == (run.flow, run.version)), None)


def parse_answers(text: str | None) -> Any:
    """Answers written as JSON, or as ``@file`` with JSON in it; None for none. Raises ``InputError``."""
    if text is None:
        return None
    source, body = ("--answers", text) if not text.startswith("@") else (text[1:], _read(Path(text[1:])))
    try:
        return json.loads(body)
    except ValueError as error:  # RecursionError is left to the engine: nobody types that deep
        raise InputError(f"{source} is not JSON: {error}", hint="such as --answers '{\"budget\": 100}'") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint="check the name after @") from None
