"""Every error phasegate raises, as one tree.

    PhasegateError
    ├── UsageError               the caller asked for something that cannot be
    │   ├── FlowError            a flow is wrong; every problem at once
    │   ├── UnknownName          a flow, phase, run or key that does not exist
    │   ├── InputError           a file or value that cannot be used
    │   ├── NeedsNotMet          a phase was asked for before what it needs
    │   └── NotAllowed           the state, or the person, does not permit it
    │       └── Purged           the subject was done, and its run has been purged
    ├── Stale                    true once, no longer: somebody was first
    │   ├── Conflict             the run has moved on since it was read
    │   ├── Fenced               another worker holds the run now
    │   └── AlreadyDecided       the gate has its answer
    ├── IllegalTransition        a fact that the tables do not allow: a defect in the caller
    └── StoreError               the database
        ├── StoreUnavailable     not there, locked, read-only, full
        ├── NotADatabase         the file is something else
        └── SchemaMismatch       too old or too new

Beside the tree stand the words a phase function may raise: ``Fatal`` and ``Snooze``. They are control results, not
errors of phasegate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any


class PhasegateError(Exception):
    """Something phasegate could not do."""

    #: What the person who sees the message can do next; printed below it.
    hint: str | None = None
    #: The HTTP status a service answers with.
    status: int = 500
    #: The exit code a command line ends with.
    exit_code: int = 1

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """The message defaults to the first line of the class's docstring."""
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint is not None:
            self.hint = hint


class UsageError(PhasegateError):
    """The caller asked for something that cannot be."""

    status = 400
    exit_code = 2


class FlowError(UsageError):
    """The flow cannot be built.

    ``problems`` lists every mistake found, one sentence each.
    """

    def __init__(self, flow: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"flow {flow!r} cannot be built: " + "; ".join(self.problems))


class UnknownName(UsageError):
    """A name that does not exist."""

    status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"unknown {kind} {name!r}", hint=did_you_mean(name, known))


class InputError(UsageError):
    """A file or a value that cannot be used."""


class NeedsNotMet(UsageError):
    """A phase was asked for before the phases it needs are settled.

    ``missing`` names every one of them, in the order of the flow.
    """

    status = 409

    def __init__(self, phase: str, missing: Sequence[str]) -> None:
        self.phase, self.missing = phase, tuple(missing)
        super().__init__(
            f"phase {phase!r} needs {', '.join(repr(name) for name in missing)} first",
            hint="run the missing phases, or aim the run at them too",
        )


class NotAllowed(UsageError):
    """The state of the run, or the role of the person, does not permit this."""

    status = 409


class Purged(NotAllowed):
    """The subject was done, and its run has been purged.

    ``subjects`` has all of them, each with a sentence that says what became of it; the message names some.
    """

    hint = "engine.start(..., again=True) does it anew"

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, subjects: Mapping[Any, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.subjects = dict(subjects or {})


class Stale(PhasegateError):
    """True once, no longer: somebody was first. Nothing was changed."""

    status = 409


class Conflict(Stale):
    """The run has moved on since it was read."""

    hint = "read the run again and repeat the request"


class Fenced(Stale):
    """Another worker holds this run now; what the former holder did is discarded."""


class AlreadyDecided(Stale):
    """The gate has its answer; the first valid decision wins."""


class IllegalTransition(PhasegateError):
    """A fact that the transition tables do not allow from the present state."""


class StoreError(PhasegateError):
    """The database did not do what was asked."""

    exit_code = 2
    status = 503


class StoreUnavailable(StoreError):
    """The database cannot be reached or written."""


class NotADatabase(StoreError):
    """The file is not a database."""


class SchemaMismatch(StoreError):
    """The database has the tables of another version of phasegate."""


class Fatal(Exception):
    """Raise in a phase function: the attempt failed and retrying is of no use."""


class Snooze(Exception):
    """Raise in a phase function: not now; run this attempt again at ``until`` (aware UTC) without counting a failure."""

    def __init__(self, until: datetime, reason: str = "") -> None:
        super().__init__(reason or f"snoozed until {until.isoformat()}")
        self.until, self.reason = until, reason


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A sentence naming the nearest known name, or listing the known ones when there are few; None when nothing helps."""
    names = sorted({str(each) for each in known})
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 20 else None
