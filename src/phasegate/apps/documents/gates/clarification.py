"""Whether an answer is a set of questions instead of a document, and whether the set is in order.

What the model says about its own set is not believed: the counters are taken from the questions' texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from phasegate.apps.documents.errors import WorkflowError
from phasegate.apps.documents.gates.answers import validate_answers
from phasegate.apps.documents.gates.questions import ClarificationQuestion
from phasegate.apps.documents.gates.schemas import Schema, compile_schema, violations
from phasegate.apps.documents.json_answers import json_values, parse_json

__all__ = [
    "ClarificationGate",
    "ClarificationQuestion",
    "ClarificationResult",
    "is_question_set",
    "mixes_questions_and_work",
    "validate_answers",
]

QUESTION_SET = "clarification_question_set.v1"
#: The later version differs in the names of a question's fields only, as far as is read here.
_VERSIONS = (QUESTION_SET, "clarification_question_set.v2")
_MODE = "questions_only"
#: With more questions than this a set is accepted, with a warning.
MANY_QUESTIONS = 5

_LEAD_IN = re.compile(r"\b(given that|we should|this implies|would you agree)\b", re.IGNORECASE)
# Words whose dot ends no sentence, such as "e.g." and "U.S.".
_ABBREVIATION = re.compile(
    r"\W*(?:\w|\w+\.[\w.]*|etc|vs|approx|incl|no|mr|mrs|ms|dr|prof|inc|ltd|co|st|fig)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ClarificationResult:
    """What the gate found in an answer.

    ``needs_clarification`` says that the answer means to ask. ``questions`` is empty unless the set is in order;
    ``validation_errors`` then says why not. ``warnings`` keep nobody from asking.
    """

    needs_clarification: bool
    questions: list[ClarificationQuestion]
    raw_question_set: dict[str, Any] | None = None
    validation_errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class ClarificationGate:
    """Tells question sets from documents. The schema is read when the first question set comes."""

    def __init__(self, schema_path: Path | str | None = None) -> None:
        self._path = Path(schema_path) if schema_path is not None else None
        self._compiled: Schema | None = None

    def check(self, text: str) -> ClarificationResult:
        """Look for a question set in an answer: as the whole of it, in a fence, or in prose.

        A document is none, whatever its texts mention. Whether there is a document beside the questions is another question:
        ``mixes_questions_and_work``. Raises nothing, except ``WorkflowError`` when the schema file that was
        given cannot be used.
        """
        sets = [value for value in json_values(text) if is_question_set(value)]
        if not sets:
            return ClarificationResult(False, [])
        problems = ["questions come in one set, not in several"] if len(sets) > 1 else self._problems(sets[0])
        if problems:
            return ClarificationResult(True, [], sets[0], problems)
        asked = [ClarificationQuestion.from_item(each) for each in _as_first_version(sets[0])["questions"]]
        return ClarificationResult(True, asked, sets[0], [], _warnings(asked))

    def validate_questions_only(self, question_set: Mapping[str, Any]) -> list[str]:
        """Why a set is not one of questions only; each sentence begins with the field it is about.

        The counters must be right twice: as the model gives them, where it does, and as they are counted from the texts.
        """
        problems = []
        mode = question_set.get("mode")
        if mode != _MODE:
            problems.append(f"Mode must be {_MODE!r}, not {mode!r}")
        texts = _texts(question_set)
        declared = question_set.get("qa")
        declared = declared if isinstance(declared, Mapping) else {}
        for name, found in _counted(texts).items():
            if not _is_zero(declared.get(name, 0)):
                problems.append(f"{name} must be 0, the set says {declared[name]!r}")
            elif found:
                problems.append(f"{name} must be 0, counted from the texts it is {found}")
        if declared.get("all_questions_end_with_qmark", True) is not True:
            problems.append("all_questions_end_with_qmark must be true")
        problems += [f"text of question {i} must end with '?'" for i, each in enumerate(texts) if not _asks(each)]
        return problems

    def get_blocking_questions(self, questions: Iterable[ClarificationQuestion]) -> list[ClarificationQuestion]:
        """The questions that must be answered before the step can go on."""
        return [each for each in questions if each.blocking and each.required]

    def get_must_answer_ids(self, question_set: Mapping[str, Any]) -> list[str]:
        """The ids a set names as to be answered before anything else."""
        ids = question_set.get("must_answer_before_proceeding_ids")
        return [each for each in ids if isinstance(each, str)] if isinstance(ids, list) else []

    def _problems(self, question_set: dict[str, Any]) -> list[str]:
        as_first = _as_first_version(question_set)
        problems = [f"{path}: {message}" for path, message in violations(self._schema(), as_first)]
        return problems or self.validate_questions_only(question_set) + _id_problems(as_first)

    def _schema(self) -> Schema:
        if self._compiled is None:
            packaged = files("phasegate.apps.documents") / "schemas" / f"{QUESTION_SET}.json"
            source = self._path if self._path is not None else packaged
            try:
                self._compiled = compile_schema(parse_json(source.read_text(encoding="utf-8-sig")))
            except (OSError, UnicodeError) as error:
                raise WorkflowError(f"the schema of question sets cannot be read: {error}") from error
        return self._compiled


def is_question_set(value: Any) -> bool:
    """Whether a JSON value means to be a question set, in order or not."""
    return isinstance(value, dict) and (value.get("schema_version") in _VERSIONS or value.get("mode") == _MODE)


def mixes_questions_and_work(text: str) -> bool:
    """Whether an answer has a question set and beside or around it something else that is JSON.

    An empty object or list beside it is nothing. Prose around a set is no work product. Raises nothing.
    """
    values = [value for value in json_values(text) if value not in ({}, [])]
    asked = sum(map(is_question_set, values))
    if asked:
        return asked < len(values)
    return any(is_question_set(inner) for value in values for inner in _inside(value))


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _as_first_version(question_set: dict[str, Any]) -> dict[str, Any]:
    """The set in the names of the first version; a question may say ``why_it_matters`` for ``intent`` and have a scope."""
    questions = question_set.get("questions")
    renamed = [_question_as_first_version(each) for each in questions] if isinstance(questions, list) else questions
    version = QUESTION_SET if question_set.get("schema_version") in _VERSIONS else question_set.get("schema_version")
    return {
        **question_set,
        **({"schema_version": version} if version is not None else {}),
        **({"questions": renamed} if "questions" in question_set else {}),
    }


def _question_as_first_version(question: Any) -> Any:
    if not isinstance(question, dict):
        return question
    renamed = {name: value for name, value in question.items() if name not in {"why_it_matters", "scope"}}
    if "why_it_matters" in question:
        renamed.setdefault("intent", question["why_it_matters"])
    return renamed


def _texts(question_set: Mapping[str, Any]) -> list[str]:
    questions = question_set.get("questions")
    items = [each for each in questions if isinstance(each, Mapping)] if isinstance(questions, list) else []
    return [text if isinstance(text := each.get("text"), str) else "" for each in items]


def _counted(texts: list[str]) -> dict[str, int]:
    return {
        "declarative_sentence_count": sum(map(_statements, texts)),
        "non_question_line_count": sum(map(_lines_without_question, texts)),
        # Words that lead in an answer are a matter of style in a question: a warning, see below.
        "answer_leadin_count": 0,
    }


def _statements(text: str) -> int:
    """The sentences before the last one that end without a question mark."""
    words = text.split()
    return sum(_ends_statement(word) for word, after in pairwise(words) if after.lstrip("\"'([")[:1].isupper())


def _ends_statement(word: str) -> bool:
    bare = word.rstrip("\"')]")
    core = bare.rstrip(".!")
    return core != bare and not core.endswith("?") and _ABBREVIATION.fullmatch(core) is None


def _lines_without_question(text: str) -> int:
    # The last line is answered for by the message about the question mark.
    return sum(not _asks(line) for line in [line for line in text.splitlines() if line.strip()][:-1])


def _asks(text: str) -> bool:
    return text.rstrip().endswith("?")


def _is_zero(value: Any) -> bool:
    return value == 0 and not isinstance(value, bool)


def _id_problems(question_set: Mapping[str, Any]) -> list[str]:
    ids = [each["id"] for each in question_set["questions"]]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    unknown = [each for each in question_set.get("must_answer_before_proceeding_ids", ()) if each not in ids]
    return [f"id {each!r} is given to several questions" for each in twice] + [
        f"must_answer_before_proceeding_ids names {each!r}, which is no question of the set" for each in unknown
    ]


def _warnings(asked: list[ClarificationQuestion]) -> list[str]:
    found = [f"{len(asked)} questions at once; {MANY_QUESTIONS} or fewer are easier to answer"]
    found = found if len(asked) > MANY_QUESTIONS else []
    for each in asked:
        if lead_in := _LEAD_IN.search(each.text):
            found.append(f"question {each.id} suggests its answer: {lead_in[0]!r}")
    return found
