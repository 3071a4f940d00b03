"""Documents for people: JSON as Markdown, two versions beside each other, a project as files."""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import orjson

#: Headings below this level are written in bold: Markdown has no more.
DEEPEST = 6
#: Characters of a part of a file's name; file systems end at 255 bytes.
LONGEST_NAME = 120
#: Fields that come first: stored documents have their fields in the order of the alphabet.
FIRST = ("title", "name", "id")


def as_json(value: Any) -> str:
    """A document as indented JSON."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_markdown(value: Any, title: str) -> str:
    """A document as Markdown: its fields as headings, lists as lists, texts as they are."""
    return "\n".join([f"# {title}", "", *_lines(value, 2)]).rstrip() + "\n"


def _lines(value: Any, level: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in sorted(value.items(), key=lambda field: FIRST.index(field[0]) if field[0] in FIRST else 99):
            if isinstance(each, Mapping | list) and each:
                heading = _readable(name)
                yield f"{'#' * level} {heading}" if level <= DEEPEST else f"**{heading}**"
                yield ""
                yield from _lines(each, level + 1)
            else:
                yield f"**{_readable(name)}:** {_inline(each)}"
                yield ""
    elif isinstance(value, list):
        yield from _items(value, level)
    else:
        yield _inline(value)
        yield ""


def _items(values: list[Any], level: int) -> Iterator[str]:
    if any(isinstance(each, Mapping | list) for each in values):
        for number, each in enumerate(values, 1):
            yield f"{'#' * min(level, DEEPEST)} {_title(each, number)}"
            yield ""
            yield from _lines(each, level + 1)
    else:
        yield from (f"- {_inline(each)}" for each in values)
        yield ""


def _title(value: Any, number: int) -> str:
    if isinstance(value, Mapping):
        for name in ("title", "name", "id"):
            if isinstance(value.get(name), str | int):
                return f"{number}. {_inline(value[name])}"
    return f"{number}."


def _readable(name: str) -> str:
    return name.replace("_", " ").strip().capitalize() or name


def _inline(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split("\n"))


def difference(before: Any, after: Any, names: tuple[str, str]) -> str:
    """What has changed between two versions, line by line; empty when nothing has."""
    lines = difflib.unified_diff(as_json(before).splitlines(), as_json(after).splitlines(), *names, lineterm="")
    return "\n".join(lines)


def file_name(doc_type: str, path: str, suffix: str) -> str:
    """The file of a document: its type, and below the root a folder for each of the items it belongs to.

    Items whose ids differ have folders that differ, and types that differ have files that do, whatever characters stand in
    them; none leads out of its parent.
    """
    ids = [unquote(each.partition("=")[2]) for each in path.split("/")] if path else []
    return "/".join(_harmless(each) for each in (*ids, doc_type)) + f".{suffix}"


def _harmless(text: str) -> str:
    """One part of a path: not empty, no step upwards, and nothing that separates parts."""
    name = quote(text, safe=" ()+,").replace(".", "%2E") or "%"  # which nothing else becomes
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file whole or not at all."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as file:
        file.write(text)
    os.replace(file.name, target)
    target.chmod(0o644)
    return target
