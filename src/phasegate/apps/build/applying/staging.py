"""From changes of text to the bytes that will be on disk. Pure: it reads nothing and writes nothing.

A file that is modified keeps its encoding, its byte order mark, its line ends and its permission bits; a new one is UTF-8
without a mark and has plain line feeds. Whether a change may be made at all is decided before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from phasegate.apps.build.errors import ContentError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, FileFacts, Planned

_LINE_END = re.compile(r"\r\n|\n")
_MARK = "\ufeff"
#: The permission bits of a new program; the process's umask takes away from them as it does from those of any new file.
_PROGRAM = 0o755
#: What a changed file keeps of its permission bits: a program with new content does not run as somebody else.
_KEPT = 0o777


def plan(changes: Sequence[Change], facts: Mapping[str, FileFacts], policy: Policy) -> list[Planned]:
    """What is to be done for changes, in their order, given what is known of the files they change.

    A file that ``facts`` does not name is one that does not exist. A change that would write what is there already is left
    out, so that the file keeps its modification time. Raises ``ContentError`` for content that cannot be written as text.
    """
    planned = (_planned(change, facts.get(change.path, FileFacts(change.path)), policy) for change in changes)
    return [each for each in planned if each.op == "delete" or each.sha256_after != each.before.sha256]


def _planned(change: Change, before: FileFacts, policy: Policy) -> Planned:
    if change.mode == "delete":
        return Planned(change.path, "delete", before)
    content = change.content or ""
    data = encoded(content, before, change.path)
    if before.exists:
        return Planned(change.path, change.mode, before, data, before.mode & _KEPT)
    return Planned(
        change.path, change.mode, before, data, _PROGRAM if _is_program(change.path, content, policy) else None
    )


def encoded(content: str, before: FileFacts, path: str) -> bytes:
    """The bytes of a file's new content. The last line has an end only if the content says so."""
    if "\0" in content:
        raise ContentError("E_STRUCTURE", "its content has a NUL character and cannot be text", path=path)
    text = _with_line_ends(content.removeprefix(_MARK), before)
    try:
        if before.exists and before.encoding == "utf-16":
            return (_MARK + text).encode("utf-16-be" if before.big_endian else "utf-16-le")
        return text.encode(_encoding(before))
    except UnicodeEncodeError:
        raise ContentError(
            "E_STRUCTURE", "its content has half of a surrogate pair and cannot be text", path=path
        ) from None


def _encoding(before: FileFacts) -> str:
    """Python's ``utf-8-sig`` writes the byte order mark itself."""
    return before.encoding if before.exists and before.encoding == "utf-8-sig" else "utf-8"


def _with_line_ends(content: str, before: FileFacts) -> str:
    if before.newline == "mixed":
        return content
    return _LINE_END.sub("\r\n" if before.newline == "\r\n" else "\n", content)


def _is_program(path: str, content: str, policy: Policy) -> bool:
    if not content.startswith("#!"):
        return False
    name = PurePosixPath(path).name
    return any(fnmatchcase(path, glob) or fnmatchcase(name, glob) for glob in policy.executable_globs)
