"""A question that a model asks in a question set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ClarificationQuestion:
    """One question. ``answer_type`` says what an answer must be, and ``choices`` which ones there are to choose from.

    A question that is ``required`` and ``blocking`` must be answered; any other may be left to its ``default``.
    """

    id: str
    text: str
    intent: str = ""
    priority: str = "must"
    answer_type: str = "free_text"
    required: bool = True
    blocking: bool = True
    choices: list[dict[str, Any]] | None = None
    default: Any = None

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> ClarificationQuestion:
        """The question that stands in a question set; fields this class does not know are left out."""
        return cls(**{name: item[name] for name in cls.__dataclass_fields__ if name in item})
