"""A commit of a phase's own paths. Nothing else of the user's repository is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from phasegate.apps.build.health.commands import CommandResult
from phasegate.apps.build.schema import Command

#: No program that the repository's settings name is started, and nobody is asked for a signature.
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false")
_TIMEOUT = 60.0
#: What git says when the paths are committed already, as after a crash behind the commit.
_NOTHING = ("nothing to commit", "nothing added to commit", "no changes added to commit")

Run = Callable[[Command], CommandResult]


def commit(root: Path, paths: Sequence[str], message: str, run: Run) -> str | None:
    """Commit these paths of the repository as they are on disk, and no others, whatever else is staged. Never forced.

    Paths that git ignores are left out. Gives what went wrong in a line, None when nothing did; the files stay in both cases.
    """

    def git(*words: str) -> CommandResult:
        return run(Command(("git", "-C", str(root), *_SAFE, *words), _TIMEOUT, "git"))

    literal = [f":(literal){path}" for path in paths]
    known = git("ls-files", "-z", "--", *literal)
    new = git("ls-files", "-z", "--others", "--exclude-standard", "--", *literal)
    if not (known.ok and new.ok):
        return _said(known if not known.ok else new)
    fresh = [f":(literal){path}" for path in new.output.split("\0") if path]
    listed = [*(f":(literal){path}" for path in known.output.split("\0") if path), *fresh]
    if not listed:
        return "git ignores everything that the phase has changed"
    # A file that git does not know cannot be committed by its path alone: it is announced first, without its content.
    announced = git("add", "--intent-to-add", "--", *fresh) if fresh else None
    made = (
        git("commit", "--quiet", "--only", "-m", message, "--", *listed)
        if announced is None or announced.ok
        else announced
    )
    if made.ok or any(words in made.output for words in _NOTHING):
        return None
    if fresh:
        git("rm", "--cached", "--quiet", "--force", "--", *fresh)
    return _said(made)


def _said(result: CommandResult) -> str:
    return result.missing or " ".join(result.output.split())[:300] or "git gave no reason"
