"""The part of the prompt about one phase and one attempt, section by section in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from phasegate.apps.build.answers.formats import EXAMPLES
from phasegate.apps.build.context.records import ContextFile, Selection
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.prompting.delimiting import block, shown_name
from phasegate.apps.build.prompting.feedback import CONTENTS_SHARE, Feedback, feedback_lines, latest_hints
from phasegate.apps.build.schema import PhaseSpec

#: What is asked of a phase that names no criteria.
STANDARD_CRITERIA = (
    "It works as the description says.",
    "What worked before still works.",
    "Every file is complete.",
    "The code follows the style of the project.",
)
_MOST_RULES = 10


@dataclass(frozen=True, slots=True)
class Told:
    """All that a user prompt is made from. ``only`` are the deliverables of this call (all, if empty), ``done`` the paths that
    earlier answers of the same attempt have delivered. Hints are in order of time."""

    spec: PhaseSpec
    selection: Selection
    protection: Protection
    policy: Policy
    feedback: Feedback | None = None
    hints: Sequence[str] = ()
    rules: Sequence[str] = ()
    only: Sequence[str] = ()
    done: Sequence[str] = ()


def user_prompt(told: Told, token: str) -> str:
    """The user part of a prompt. ``token`` is in none of its texts."""
    return "\n".join(part for title, lines in _sections(told, token) if lines for part in (f"# {title}", *lines, ""))


def _sections(told: Told, token: str) -> Iterator[tuple[str, list[str]]]:
    yield "Phase", _phase(told.spec)
    yield "Acceptance criteria", _criteria(told.spec)
    yield "Deliverables", _deliverables(told)
    yield "What you may change", _permissions(told)
    yield "Notes", _bullets(told.spec.notes)
    yield "Rules of the project", _bullets(told.rules[:_MOST_RULES])
    yield "Hints from earlier phases and attempts, the latest first", _bullets(latest_hints(told.hints))
    if told.feedback is not None:
        room = told.selection.available
        most = min(int(room * CONTENTS_SHARE), room - told.selection.used)
        yield "Your last attempt failed", feedback_lines(told.feedback, token, most)
    yield "What you are shown", _report(told)
    yield "Files", [_file(each, token) for each in told.selection.of("full", "numbered", "excerpt")]
    yield (
        "Your answer",
        ["Answer in the form that is described above, as in this example:", EXAMPLES[told.selection.format].strip()],
    )


def _phase(spec: PhaseSpec) -> list[str]:
    return [
        f"Id: {spec.phase_id}",
        f"Name: {spec.name}",
        f"Category: {spec.category}",
        f"Complexity: {spec.complexity}",
        "Description:",
        spec.description,
    ]


def _criteria(spec: PhaseSpec) -> list[str]:
    checks = [f"A program checks: {json.dumps(dict(each), sort_keys=True, ensure_ascii=False)}" for each in spec.checks]
    stated = [*spec.acceptance_criteria, *checks] or STANDARD_CRITERIA
    return [f"{number}. {text}" for number, text in enumerate(stated, 1)]


def _deliverables(told: Told) -> list[str]:
    spec = told.spec
    if not spec.deliverables:
        return ["No files are named: change what the description needs."]
    lines = [f"- {shown_name(path)} ({_state(path, told)})" for path in spec.deliverables]
    if any(path.endswith("/") for path in spec.deliverables):
        lines.append("A directory is delivered by at least one file below it.")
    wanted = [path for path in (told.only or spec.deliverables) if path not in told.done]
    if told.done:
        lines += ["Already delivered, not to be repeated:", *_paths(told.done)]
    if told.only or told.done:
        lines += ["In this answer deliver these and nothing else; the others are asked for apart:", *_paths(wanted)]
    every = "Every one of these" if told.only or told.done else "Every one of them"
    existing = "may be left out" if spec.allow_existing_deliverables else "may be named in already_satisfied instead"
    return [*lines, f"{every} must appear in your answer; one that exists and is right as it stands {existing}."]


def _state(path: str, told: Told) -> str:
    if path.endswith("/"):
        return "a directory"
    if path in told.selection.missing:
        return "new"
    shown = told.selection.seen.get(path)
    return "exists" if shown is not None and shown[1] not in ("name", "omitted") else "exists, and cannot be shown"


def _permissions(told: Told) -> list[str]:
    spec = told.spec
    if spec.scope is None:
        lines = ["You may change any file; there is no restriction except the protected paths."]
    else:
        lines = ["You may change only these, and what is below the directories among them:", *_paths(spec.scope)]
    lines += ["Protected, never to be created, changed or deleted:", *_paths(told.protection.told)]
    if spec.read_only:
        lines += ["To be read only:", *_paths(spec.read_only)]
    if not spec.allow_delete:
        lines.append("You must not delete files.")
    if spec.allow_noop:
        lines.append("If nothing has to be changed, answer with no changes and say why.")
    return lines


def _report(told: Told) -> list[str]:
    selection = told.selection
    whole, cut = selection.of("full", "numbered"), selection.of("excerpt")
    omitted, named = selection.of("omitted"), selection.of("name")
    lines = [f"{len(whole)} files are shown whole or with numbered lines, {len(cut)} cut, {len(omitted)} left out."]
    if cut or omitted:
        lines.append("You have not seen everything. Do not assume what a file contains that you have not seen.")
    most = told.policy.max_files_named
    lines += _named("Cut", cut, most) + _named("Left out", omitted, most - len(cut[:most]))
    lines += _named("No text, shown by name only", named, most)
    if selection.missing:
        lines += ["These do not exist yet:", *_paths(selection.missing)]
    if selection.names:
        lines += ["Other files of the repository, by name only:", *(shown_name(each) for each in selection.names)]
    return lines


def _named(what: str, files: Sequence[ContextFile], most: int) -> list[str]:
    if not files or most <= 0:
        return []
    rest = [f"- and {len(files) - most} more"] if len(files) > most else []
    return [f"{what}:", *(f"- {shown_name(each.path)} ({each.facts.size} bytes)" for each in files[:most]), *rest]


def _file(file: ContextFile, token: str) -> str:
    words = [f"{file.facts.lines} lines", "writable" if file.writable else "read-only"]
    if file.shown == "excerpt":
        words.append("excerpt")
    if file.shown == "numbered":
        words.append("each line begins with its number and '| ', which are not part of it")
    if file.original and not file.original.endswith("\n"):
        words.append("no newline at its end")
    return block(token, "FILE", file.text, f"{shown_name(file.path)} ({', '.join(words)})").rstrip("\n")


def _paths(paths: Sequence[str]) -> list[str]:
    return [f"- {shown_name(path)}" for path in paths]


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]
