"""The three forms an answer may have: the words the parser reads, and from the same words what the model is told.

A prompt has the statement of one form, and says nothing of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from phasegate.apps.build.schema import MODES, Format
from phasegate.llm.json_text import Sought

#: Other words for modes that mean the same.
MODE_ALIASES = {"replace": "modify"}
#: Keys of an answer that every form has, and those that are read by nobody.
COMMON_KEYS = ("summary", "no_changes_reason", "already_satisfied", "refusal")
IGNORED_KEYS = ("notes", "commands")
#: The kinds of line edits, and of edits by text.
EditKind = Literal["insert", "replace", "delete", "append", "prepend"]
LINE_EDITS: tuple[EditKind, ...] = ("insert", "replace", "delete", "append", "prepend")
TEXT_EDITS = ("append", "insert_after", "replace", "replace_all")

#: How the object of each form is told from other JSON in a text. Of lines, it is the first one.
SOUGHT: Mapping[Format, Sought] = {
    "files": Sought(frozenset({*COMMON_KEYS, "files", "changes"}), frozenset({"path", "file_path"})),
    "edits": Sought(frozenset({*COMMON_KEYS, "operations", "files", "changes"})),
    "lines": Sought(frozenset({*COMMON_KEYS, "total_operations"})),
}

_MODES = ", ".join(f'"{mode}"' for mode in MODES)
_WITHOUT_CHANGES = """\
- "no_changes_reason" (text, optional): why nothing has to be changed; needed when there are no changes.
- "already_satisfied" (list of paths, optional): deliverables that exist and are right as they are.
If the task cannot be done, answer instead with {"refusal": {"reason": "...", "needs": "..."}}."""
_RULES = """\
Write text as JSON wants it: inside strings, quotes as \\", backslashes as \\\\, line ends as \\n. No object has a key twice."""

#: The one statement of the form that a prompt contains.
STATEMENTS: Mapping[Format, str] = {
    "files": f"""\
Answer with one JSON object and nothing else: no prose before or after it, no code fences.
- "summary" (text): what you did, in one or two sentences.
- "files" (list): one object for every file, with
  - "path" (text): relative to the repository, with forward slashes;
  - "mode" (text): one of {_MODES};
  - "new_content" (text): the complete content of the file from its first to its last line; it may be "" for a file that is to be
    empty; null when the mode is "delete".
{_WITHOUT_CHANGES}
{_RULES}""",
    "edits": f"""\
Answer with one JSON object and nothing else: no prose before or after it, no code fences.
- "summary" (text): what you did, in one or two sentences.
- "operations" (list): edits of the files that are shown with line numbers. Each is an object with "type", "file_path", and
  - for "insert": "line", "content" - the content goes before that line; one more than the last line stands for the end;
  - for "replace": "start_line", "end_line", "content", and optionally "context_before" and "context_after", the text of the line
    before and of the line after the range, by which a wrong number is noticed;
  - for "delete": "start_line", "end_line";
  - for "append" and "prepend": "content" - it goes behind the last or before the first line.
  Line numbers count from 1, ranges include both ends, and all of them refer to the file as it is shown, whatever other operations
  do. Ranges must not overlap. Content consists of whole lines. All operations of a file are applied, or none.
- "files" (list, optional): files that are new or are to go, each with "path", "mode" (one of {_MODES}) and "new_content" (the
  complete content; null for "delete").
{_WITHOUT_CHANGES}
{_RULES}""",
    "lines": f"""\
Answer with JSON objects, one on each line, and nothing else: no list around them, no prose, no code fences.
The first line is {{"type": "meta", "summary": "...", "total_operations": N}}, where N is how many lines follow. It may also have
{_WITHOUT_CHANGES}
Each of the other lines is about one file, and no file has two:
- {{"type": "create", "file_path": "...", "content": "..."}} - the complete content of a file that is new;
- {{"type": "modify", "file_path": "...", "operations": [...]}} - changes of a file that is shown, one after the other:
  {{"type": "append", "content": "..."}} behind the last line,
  {{"type": "insert_after", "anchor": "...", "content": "..."}} behind the line in which the anchor ends,
  {{"type": "replace", "old_text": "...", "new_text": "..."}} in the one place where the old text stands,
  {{"type": "replace_all", "old_text": "...", "new_text": "..."}} in every place where it stands;
  an anchor or an old text is copied exactly from the file and, but for "replace_all", stands in it once;
- {{"type": "delete", "file_path": "..."}}.
Paths are relative to the repository, with forward slashes.
{_RULES}""",
}

#: The least an answer can be, in each form; the parser reads them.
EXAMPLES: Mapping[Format, str] = {
    "files": (
        '{"summary": "Adds a greeting.", "files": [{"path": "src/greeting.py", "mode": "create", '
        '"new_content": "def greet() -> str:\\n    return \\"hello\\"\\n"}]}'
    ),
    "edits": (
        '{"summary": "Returns a greeting.", "operations": [{"type": "replace", "file_path": "src/greeting.py", '
        '"start_line": 2, "end_line": 2, "content": "    return \\"hello\\"\\n"}]}'
    ),
    "lines": (
        '{"type": "meta", "summary": "Adds a greeting.", "total_operations": 1}\n'
        '{"type": "create", "file_path": "src/greeting.py", "content": "def greet() -> str:\\n    return \\"hello\\"\\n"}'
    ),
}
