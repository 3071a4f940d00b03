"""Model answers, mutated: whatever comes, it is read as what it says or refused, and what was cut is never taken for a whole.

    python -m tests.chaos_build.answers [COUNT]

prints one line of figures and ends with 1 when anything was accepted that should not have been.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from phasegate.apps.build.answers.parsing import parse
from phasegate.apps.build.errors import LLMResponseError, TruncatedResponseError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, Format
from phasegate.llm.request import STOP_REASONS

SEED = 20_417
FORMATS: tuple[Format, ...] = ("files", "edits", "lines")
POLICY = Policy()
ORIGINALS = {
    "src/one.py": "".join(f"def f{n}():\n    return {n}\n" for n in range(12)),
    "docs/two.md": "# Two\n\nA line without an end",
    "win.ini": "[a]\r\nb = 1\r\nc = 2\r\n",
}
NESTED = '{"summary": "inner", "files": [{"path": "inner.py", "mode": "create", "new_content": "INNER"}]}'
#: Pieces of content that invite confusion.
SCRAPS = (
    'print("{}")', "x = {'a': [1, 2]}", '"}]}', "\\d+\\n", "```json\n", "```\n", NESTED, f"```json\n{NESTED}\n```\n",
    "\n", "\n\n", "\t", "# ünïcødé \u2028 ☃ \U0001f600", "'''", '"""', "\\", "{", "}", "[", "]", "//", ",]", "True None",
    "“quoted”: 1", "--- a\n+++ b\n@@ -1 +1 @@\n", "line\r\n", "def g():\n    return 1\n",
)  # fmt: skip
TOKENS = (
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "```",
    "```json\n",
    "“",
    "True",
    "NaN",
    "null",
    " ",
    '"}',
    '\\"',
    "\0",
    "\ud800",
)


@dataclass
class Figures:
    """What became of the answers, and everything that was wrong."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A valid answer: its text, where it begins in it, and the changes it says. ``draft`` are those of an earlier one."""

    format: Format
    text: str
    begins: int
    changes: tuple[Change, ...]
    draft: tuple[Change, ...] = ()


def attack(count: int, seed: int = SEED) -> Figures:
    """Mutate and read so many answers."""
    chance = random.Random(seed)
    found = Figures()
    for _ in range(count):
        case = make_case(chance, chance.choice(FORMATS))
        if chance.random() < 0.3:
            cut = chance.randrange(len(case.text))
            judge(case, case.text[:cut], chance, found, cut=cut)
        else:
            judge(case, mutated(case.text, chance), chance, found)
    return found


def judge(case: Case, text: str, chance: random.Random, found: Figures, *, cut: int | None = None) -> None:
    """Read a text, and note what is wrong with what comes of it."""
    stop = chance.choice(STOP_REASONS)
    try:
        answer = parse(text, case.format, stop_reason=stop, policy=POLICY, originals=ORIGINALS)
    except TruncatedResponseError as error:
        found.outcomes["truncated"] += 1
        kept = [Change(c["path"], c["mode"], c["new_content"]) for c in error.details["salvaged"]]
        found.outcomes["salvaged"] += len(kept)
        problem = foreign(case, text, kept, cut=cut)
        json.dumps(error.told()).encode()
    except LLMResponseError as error:
        found.outcomes[error.code] += 1
        json.dumps(error.told()).encode()
        return
    except Exception as error:
        problem = f"uncaught {error!r}"
    else:
        found.outcomes["accepted"] += 1
        problem = foreign(case, text, answer.changes, cut=cut)
        whole = case.changes if cut is None or cut > case.begins or not case.draft else case.draft
        if problem is None and cut is not None and answer.changes != whole:
            problem = "a part of an answer was accepted"
    if problem is not None:
        found.wrong.append(f"{case.format}, stop reason {stop}: {problem}: {text!r}")


def foreign(case: Case, text: str, changes: Sequence[Change], *, cut: int | None) -> str | None:
    """What is in the changes and neither in the answer before it was mutated nor plainly written in the text."""
    known = {*case.changes, *case.draft}
    for change in changes:
        if change in known:
            continue
        if cut is not None:
            return f"a cut made {change}"
        if change.content is None or change.content in {each.content for each in known}:
            continue
        written = strings_of(text)
        if change.content in written:
            continue
        if change.path in ORIGINALS and change.mode == "modify":
            strange = strange_lines(change.content, ORIGINALS[change.path], written)
            if not strange:
                continue
            return f"nobody wrote {strange[0]!r}"
        return f"nobody wrote {change.content!r}"
    return None


def strings_of(text: str) -> set[str]:
    """Everything that is a string in the text if one begins at any of its quotes."""
    literals = (literal(text, quote.end()) for quote in re.finditer('"', text))
    return {each for each in literals if each is not None}


_LITERAL = re.compile(r'((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(
    r'\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]|\\', re.DOTALL
)


def literal(text: str, start: int) -> str | None:
    """The string that begins behind a quote: every escape JSON knows is read, and all else taken as it is."""
    found = _LITERAL.match(text, start)
    if found is None:
        return None
    return _ESCAPE.sub(lambda e: e[0] if e[0] == "\\" else str(json.loads(f'"{e[0]}"')), found[1])


def strange_lines(content: str, original: str, written: set[str]) -> list[str]:
    """The lines of an edited file that come neither from the file nor from the answer, nor from both."""
    own = set(original.replace("\r\n", "\n").split("\n"))
    said = {line for each in written for line in each.replace("\r\n", "\n").split("\n")}
    return [line for line in content.split("\n") if line not in own | said and not blend(line, own, said)]


def blend(line: str, own: set[str], said: set[str]) -> bool:
    """Whether the line is one of the file in which a part was replaced."""
    starts = max((n for n in range(len(line) + 1) if any(each.startswith(line[:n]) for each in own)), default=0)
    ends = max(
        (n for n in range(len(line) + 1) if any(each.endswith(line[len(line) - n :]) for each in own)), default=0
    )
    cuts = ((a, b) for a in range(starts + 1) for b in range(len(line) - ends, len(line) + 1) if a <= b)
    return any(line[a:b] in said or line[a:b] == "" for a, b in cuts)


# ---------------------------------------------------------------- valid answers


def make_case(chance: random.Random, format: Format) -> Case:
    """A valid answer, bare or wrapped in what models wrap answers in."""
    body, changes = _MAKERS[format](chance)
    label = "json" if format != "lines" else chance.choice(("json", "jsonl", "ndjson"))
    kind = chance.randrange(7)
    if kind == 0:
        return wrapped(format, f"```{label}\n", body, "\n```", changes)
    if kind == 1:
        return wrapped(format, "```\n", body, "\n```\n", changes)
    if kind == 2:
        return wrapped(format, "Here it is, with {braces} in it:\n\n", body, "\n\nThat is all.", changes)
    if kind == 3:
        return wrapped(format, f"Sure.\n\n```{label}\n", body, '\n```\nSay "more" for more.', changes)
    if kind == 4:
        draft, earlier = _MAKERS[format](chance)
        return wrapped(
            format, f"```{label}\n{draft}\n```\nNo, better:\n```{label}\n", body, "\n```\n", changes, earlier
        )
    return wrapped(format, "", body, chance.choice(("", "\n", "  \r\n")), changes)


def wrapped(
    format: Format, before: str, body: str, after: str, changes: tuple[Change, ...], draft: tuple[Change, ...] = ()
) -> Case:
    return Case(format, before + body + after, len(before), changes, draft)


def content(chance: random.Random) -> str:
    return "".join(chance.choice(SCRAPS) for _ in range(chance.randrange(7)))


def files_answer(chance: random.Random) -> tuple[str, tuple[Change, ...]]:
    changes = tuple(whole_file(chance, n) for n in range(chance.randrange(1, 5)))
    told = {"summary": f"did {chance.random()}", "files": [change.told() for change in changes]}
    return dumped(told, chance), changes


def whole_file(chance: random.Random, number: int) -> Change:
    path = f"src/new_{number}.py"
    mode = chance.choice(("create", "create", "modify", "delete"))
    return Change(path, "delete") if mode == "delete" else Change(path, mode, content(chance))  # type: ignore[arg-type]


def edits_answer(chance: random.Random) -> tuple[str, tuple[Change, ...]]:
    start = chance.randrange(1, 20)
    first, last, added = content(chance), content(chance), content(chance)
    operations = [
        {"type": "replace", "file_path": "src/one.py", "start_line": start, "end_line": start + 2, "content": first},
        {"type": "append", "file_path": "docs/two.md", "content": last},
        {"type": "insert", "file_path": "src/one.py", "line": start + 3, "content": added},
    ]
    text = dumped({"summary": f"did {chance.random()}", "operations": operations}, chance)
    return text, parse(text, "edits", policy=POLICY, originals=ORIGINALS).changes


def lines_answer(chance: random.Random) -> tuple[str, tuple[Change, ...]]:
    operations: list[dict] = [
        {"type": "create", "file_path": f"a{n}.py", "content": content(chance)} for n in range(chance.randrange(1, 4))
    ]
    old = f"    return {chance.randrange(2, 10)}\n"
    edit = {"type": "replace", "old_text": old, "new_text": f"    {content(chance)}\n"}
    added = {"type": "append", "content": content(chance)}
    operations.append({"type": "modify", "file_path": "src/one.py", "operations": [edit]})
    operations.append({"type": "modify", "file_path": "win.ini", "operations": [added]})
    operations.append({"type": "delete", "file_path": "gone.py"})
    chance.shuffle(operations)
    meta = {"type": "meta", "summary": f"did {chance.random()}", "total_operations": len(operations)}
    text = "\n".join(json.dumps(each, ensure_ascii=chance.random() < 0.5) for each in [meta, *operations])
    return text, parse(text, "lines", policy=POLICY, originals=ORIGINALS).changes


def dumped(value: object, chance: random.Random) -> str:
    return json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 2)))


_MAKERS: dict[Format, Callable[[random.Random], tuple[str, tuple[Change, ...]]]] = {
    "files": files_answer,
    "edits": edits_answer,
    "lines": lines_answer,
}


# ---------------------------------------------------------------- mutations


def mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.choice((1, 1, 2, 3))):
        text = chance.choice(MUTATIONS)(text, chance)
    return text


def cut_end(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text) + 1)]


def cut_start(text: str, chance: random.Random) -> str:
    return text[chance.randrange(len(text) + 1) :]


def drop_part(text: str, chance: random.Random) -> str:
    start = chance.randrange(len(text) + 1)
    return text[:start] + text[start + chance.randrange(1, 30) :]


def drop_one(text: str, chance: random.Random) -> str:
    marks = [at for at, c in enumerate(text) if c in '"\\{}[],:`\n']
    at = chance.choice(marks) if marks else 0
    return text[:at] + text[at + 1 :]


def put_in(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(TOKENS) + text[at:]


def put_over(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(TOKENS) + text[at + 1 :]


def double_part(text: str, chance: random.Random) -> str:
    start = chance.randrange(len(text) + 1)
    end = start + chance.randrange(1, 200)
    return text[:end] + text[start:end] + text[end:]


def swap_halves(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[at:] + text[:at]


def change_word(text: str, chance: random.Random) -> str:
    words = (("create", "replace"), ("modify", "rewrite"), ("files", "changes"), ("new_content", "content"),
             ("null", "None"), ("path", "file_path"), ("summary", "files"), ('": ', "”: "), ("[", "[,"), ("}", "},"),
             ("\\n", "\n"), ('\\"', '"'), ("\\\\", "\\"), (": 1", ": 1e999"), ("\n", "\r\n"))  # fmt: skip
    old, new = chance.choice(words)
    return text.replace(old, new, chance.choice((1, -1)))


MUTATIONS = (
    cut_end, cut_start, drop_part, drop_one, drop_one, put_in, put_over, double_part, swap_halves, change_word, change_word
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    count = int(arguments[0]) if arguments else 20_000
    found = attack(count)
    outcomes = ", ".join(f"{name} {number}" for name, number in sorted(found.outcomes.items()))
    print(f"{count} mutated answers (seed {SEED}): {len(found.wrong)} wrong; {outcomes}")
    for each in found.wrong[:5]:
        print(each[:3_000], file=sys.stderr)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
