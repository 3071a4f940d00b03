"""A commit of a phase's own paths, where the policy asks for one. Nothing else of the user's repository is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from phasegate.apps.build.health.commands import CommandResult
from phasegate.apps.build.schema import Command

#: No program that the repository's settings name is started, and nobody is asked for a signature.
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false")
_TIMEOUT = 60.0


def commit(root: Path, paths: Sequence[str], message: str, run: Callable[[Command], CommandResult]) -> str | None:
    """Commit these paths as they are on disk, and no others, whatever else is staged. Never forced.

    Gives what went wrong in a line, None when nothing did; the changes stay on disk in both cases.
    """
    listed = [f":(literal,top){path}" for path in paths]
    # A file that git does not know cannot be committed by its path alone: it is announced first, without its content.
    for words in (
        ("add", "--intent-to-add", "--", *listed),
        ("commit", "--quiet", "--only", "-m", message, "--", *listed),
    ):
        result = run(Command(("git", "-C", str(root), *_SAFE, *words), _TIMEOUT, "git"))
        if words[0] == "commit" and not result.ok:
            said = result.missing or " ".join(result.output.split())[:300] or "git gave no reason"
            return f"the phase was not committed: {said}"
    return None
