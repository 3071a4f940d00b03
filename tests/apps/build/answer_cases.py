"""Answers of models, written briefly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from phasegate.apps.build.answers.parsing import parse
from phasegate.apps.build.errors import LLMResponseError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Answer, Format
from phasegate.llm import StopReason

POLICY = Policy()


def entry(path: Any = "a.py", mode: Any = "create", content: Any = "x = 1\n", **more: Any) -> dict[str, Any]:
    return {"path": path, "mode": mode, "new_content": content, **more}


def files(*entries: Any, **more: Any) -> str:
    return json.dumps({"summary": "Does it.", "files": list(entries), **more})


def operation(type: str, path: str = "f.txt", **more: Any) -> dict[str, Any]:
    return {"type": type, "file_path": path, **more}


def edits(*operations: Any, **more: Any) -> str:
    return json.dumps({"summary": "Does it.", "operations": list(operations), **more})


def lines(*objects: Any, total: Any = None, **more: Any) -> str:
    meta = {"type": "meta", "summary": "Does it.", "total_operations": len(objects) if total is None else total, **more}
    return "\n".join(json.dumps(each) for each in (meta, *objects))


def read(
    text: str,
    format: Format = "files",
    originals: Mapping[str, str] | None = None,
    stop: StopReason = "complete",
    **more: Any,
) -> Answer:
    return parse(text, format, stop_reason=stop, policy=POLICY, originals=originals or {}, **more)


def refused(
    text: str, format: Format = "files", originals: Mapping[str, str] | None = None, stop: StopReason = "complete"
) -> LLMResponseError:
    """The error with which an answer is refused. It can be told as JSON, in one line."""
    with pytest.raises(LLMResponseError) as caught:
        read(text, format, originals, stop)
    error = caught.value
    assert json.loads(json.dumps(error.told()).encode()) == error.told()
    assert "\n" not in error.message
    return error


def problems(error: LLMResponseError) -> list[str]:
    """The codes of all problems."""
    return [each["code"] for each in error.details.get("problems", [error.told()])]
