"""The one reading of a path: of changes, deliverables, scopes, context and protected entries alike. It never asks the disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from phasegate.apps.build.errors import UnsafePathError

MAX_COMPONENT_BYTES = 255
MAX_PATH_BYTES = 1_024

_GLOB = "*?"
_FORBIDDEN = frozenset(':*?"<>|')
_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|(?:file|data|javascript|mailto):", re.IGNORECASE)
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789\u00b9\u00b2\u00b3"}
)
#: Control characters, surrogates, separators of lines and paragraphs.
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: They turn the direction of writing, so that a name is not what a reader sees.
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Characters that some disks leave out when they compare names.
_IGNORED = dict.fromkeys(
    map(ord, (*_BIDIRECTIONAL, *"\u200b\u200c\u200d\u200e\u200f\u2060\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"))
)
_SHORT_GIT = re.compile(r"git~[0-9]+")


def normalise(raw: object, *, directory: bool = False, glob: bool = False) -> str:
    """The path in its one spelling: relative, forward slashes, composed characters, no empty or ``.`` components.

    A trailing slash stays with ``directory`` and is refused without it; ``*`` and ``?`` are allowed with ``glob``. Letters keep
    their case. A path that could mean anything else than a place below the repository, here or on another system, raises
    ``UnsafePathError`` with the rule in ``details["rule"]``: P1 empty or blank, P2 absolute, P3 ``..``, P4 characters, names and
    lengths, P7 a directory where a file is meant. Reading the result again gives the same.
    """
    if not isinstance(raw, str):
        raise _unsafe(f"({type(raw).__name__})", "P1", "a path must be text")
    if len(raw) > 4 * MAX_PATH_BYTES:
        raise _unsafe(raw, "P4", f"the path is longer than {MAX_PATH_BYTES} bytes")
    text = unicodedata.normalize("NFC", raw.replace("\\", "/"))
    if not text.strip() or text == "/":
        raise _unsafe(raw, "P1", "the path is empty")
    _refuse_absolute(raw, text)
    while text.startswith("./"):
        text = text[2:]
    _refuse_absolute(raw, text)
    parts = text.split("/")
    if ".." in parts:
        raise _unsafe(raw, "P3", "'..' is not allowed in a path, even if it would stay inside")
    names = [part for part in parts if part not in ("", ".")]
    if not names:
        raise _unsafe(raw, "P1", "the path names no file")
    for name in names:
        _check_name(raw, name, _GLOB if glob else "")
    is_directory = parts[-1] in ("", ".")
    if is_directory and not directory:
        raise _unsafe(raw, "P7", "the path ends like a directory; name a file")
    path = "/".join(names)
    if len(path.encode()) > MAX_PATH_BYTES:
        raise _unsafe(raw, "P4", f"the path is longer than {MAX_PATH_BYTES} bytes")
    return f"{path}/" if is_directory else path


def key(path: str, folds: bool) -> str:
    """What two normalised paths have in common exactly if they mean one file; ``folds`` where the disk ignores case."""
    if not folds:
        return unicodedata.normalize("NFC", path)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path.translate(_IGNORED)).casefold())


def covers(entry: str, path: str, folds: bool) -> bool:
    """Whether a normalised entry means the path: it is the same, or a directory above it, with or without a slash at its end."""
    above, below = key(entry.rstrip("/"), folds), key(path.rstrip("/"), folds)
    return below == above or below.startswith(f"{above}/")


def ancestors(path: str) -> Iterator[str]:
    """The directories above a normalised path, the uppermost first; the repository itself is not among them."""
    at = path.find("/")
    while at != -1 and at + 1 < len(path):
        yield path[:at]
        at = path.find("/", at + 1)


def is_git_name(name: str) -> bool:
    """Whether a component is ``.git`` on this disk or any other: in other case, with characters that some disk ignores, in wide
    letters, with dots or spaces at its end, as a short name (``git~1``)."""
    plain = unicodedata.normalize("NFKD", name.translate(_IGNORED)).casefold().replace("\u0131", "i")
    plain = "".join(c for c in plain if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    plain = plain.split(":", 1)[0].rstrip(". ")
    return plain == ".git" or _SHORT_GIT.fullmatch(plain) is not None


def _refuse_absolute(raw: str, text: str) -> None:
    if text.startswith("/"):
        raise _unsafe(raw, "P2", "the path is absolute; give it relative to the repository")
    if text.lstrip().startswith("~"):
        raise _unsafe(raw, "P2", "the path begins at a home directory; give it relative to the repository")
    if _DRIVE.match(text) or _SCHEME.match(text):
        raise _unsafe(raw, "P2", "the path begins with a drive or an address; give it relative to the repository")


def _check_name(raw: str, name: str, allowed: str) -> None:
    if name != name.strip():
        raise _unsafe(raw, "P1", "a part of the path begins or ends with a space")
    if not name.isprintable() and any(unicodedata.category(c) in _CONTROL or c in _BIDIRECTIONAL for c in name):
        raise _unsafe(raw, "P4", "there is a control character in the path")
    if not _FORBIDDEN.isdisjoint(name.translate({ord(c): None for c in allowed})):
        raise _unsafe(raw, "P4", 'none of : * ? " < > | may be in a path')
    if name.endswith("."):
        raise _unsafe(raw, "P4", "a part of the path ends with a dot")
    if name.split(".", 1)[0].rstrip().casefold() in _DEVICES:
        raise _unsafe(raw, "P4", "a part of the path is the name of a device on some systems; choose another")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_COMPONENT_BYTES:
        raise _unsafe(raw, "P4", f"a part of the path is longer than {MAX_COMPONENT_BYTES} bytes")


def _unsafe(raw: str, rule: str, cause: str) -> UnsafePathError:
    """The error; what it keeps of the path is short and can be stored."""
    shown = raw[:300].encode("utf-8", "replace").decode()
    return UnsafePathError("E_PATH_UNSAFE", f"{cause} ({rule})", path=shown, details={"rule": rule})
