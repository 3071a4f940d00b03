"""What a phase function sees and may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate.core.run import Run, Scope, Subject
from phasegate.store.base import Write


@dataclass(frozen=True, slots=True)
class Outcome:
    """Return this to end a phase with a word of your own: ``Outcome("rejected", report)``."""

    word: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Return this when there is nothing to do."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """What ``ctx.ask`` gives: return it to park the phase until a person has answered the questions."""

    questions: Any


@dataclass(slots=True)
class Services:
    """What an attempt needs of the process around it. ``cluster`` executes the phases that run elsewhere."""

    now: Callable[[], datetime]
    read: Callable[[Any, Mapping[str, Any] | None], list[Mapping[str, Any]]]
    log: Any
    deps: Any
    dry_run: bool
    announce: Callable[..., None]
    cluster: Any


@dataclass(slots=True)
class Context:
    """One attempt, as its function sees it.

    ``inputs`` has the outputs of the phases above by name: a value for the same item or a broadcast, a list for a join.
    ``item`` is what this instance works on inside an iteration. ``feedback`` is the output that sent this phase back, if one
    did. ``answers`` are the answers to ``questions``, which an earlier attempt asked; None while there are none.
    ``session`` is set in transactional phases.
    """

    run: Run
    phase: str
    label: str
    scope: Scope
    attempt: int
    services: Services
    inputs: dict[str, Any] = field(default_factory=dict)
    item: Any = None
    feedback: Any = None
    questions: Any = None
    answers: Any = None
    session: Any = None
    writes: list[Write] = field(default_factory=list)
    _stopped: bool = False
    on_beat: Callable[[], None] | None = None
    on_stop: Callable[[], None] | None = None

    @property
    def tenant(self) -> str:
        """The tenant the run belongs to."""
        return self.run.tenant

    @property
    def subject(self) -> Subject:
        """What moves through the flow."""
        return self.run.subject

    @property
    def input(self) -> Any:
        """What the run was started with."""
        return self.run.input

    @property
    def deps(self) -> Any:
        """The registry's shared objects."""
        return self.services.deps

    @property
    def dry_run(self) -> bool:
        """Whether everything will be undone: do not spend money or tell others."""
        return self.services.dry_run

    @property
    def log(self) -> Any:
        """A logger that carries the run, the phase and the attempt."""
        return self.services.log.bind(
            run=self.run.id, subject=str(self.run.subject), phase=self.phase, attempt=self.attempt
        )

    @property
    def cancelled(self) -> bool:
        """Whether the attempt has been given up (cancel, pause, timeout): stop soon, the result will be refused."""
        return self._stopped

    def now(self) -> datetime:
        """The time, aware UTC; a test may have set it."""
        return self.services.now()

    def read(self, statement: Any, params: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Rows of a query; sees all commits, and in a dry-run also what was rehearsed before."""
        return self.services.read(statement, params)

    def write(self, statement: Any, params: Mapping[str, Any]) -> None:
        """Queue a write that is applied inside the commit that completes this attempt, and only then.

        The statement object joins the writes of many attempts into one call: build it once, outside the function.
        """
        self.writes.append(Write(statement, params))

    def heartbeat(self) -> None:
        """Say that the phase is alive, which a phase with ``silence`` must do in time; raises ``Stopped`` when the attempt was
        given up."""
        if self.on_beat is not None:
            self.on_beat()
        if self._stopped:
            raise Stopped

    def progress(self, done: int, total: int | None = None) -> None:
        """Announce how far the phase is; also a heartbeat."""
        self.services.announce("phase.progress", run=self.run.id, phase=self.phase, done=done, total=total)
        self.heartbeat()

    def ask(self, questions: Any) -> Ask:
        """Park the phase with questions (``return ctx.ask([...])``); the next attempt finds them answered in ``answers``."""
        return Ask(questions)

    def stop(self) -> None:
        """Give the attempt up; what the function does afterwards is refused."""
        self._stopped = True
        if self.on_stop is not None:
            self.on_stop()


class Stopped(Exception):
    """Raised by ``heartbeat`` in a function whose attempt was given up."""


class Lost(Exception):
    """The function vanished with the process or the machine that executed it."""
