"""What the stages of a build need beside the database: the repository, the model, and who is asked."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from phasegate import PhaseStatus, Run, Snooze
from phasegate.apps.build.applying.lock import RepositoryLock
from phasegate.apps.build.applying.transaction import Applier, Recovered
from phasegate.apps.build.approval import ApprovalProvider
from phasegate.apps.build.flow import stage
from phasegate.apps.build.health.context import Check
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.shop import Shop
from phasegate.errors import PhasegateError
from phasegate.llm import Client, Prices

#: What SQLite writes beside a database.
DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")
#: Seconds until a run whose repository nobody in this process works on is looked at again.
ELSEWHERE = 3600


@dataclass(slots=True, kw_only=True)
class Workshop(Shop):
    """One repository, and how it is worked on. ``database`` and ``state_dir`` are absolute."""

    root: Root
    client: Client
    database: Path
    state_dir: Path
    max_tokens: int
    model: str | None = None
    prices: Prices | None = None
    phase_token_cap: int | None = None
    run_token_cap: int | None = None
    timeout_s: float | None = None
    approval_provider: ApprovalProvider | None = None
    checks: tuple[Check, ...] = ()
    rules: tuple[str, ...] = ()
    sleep: Callable[[float], Awaitable[object]] | None = None
    #: What is wrong with the tables of the history, if anything is.
    schema_problem: Callable[[], str | None] | None = None
    applier: Applier = field(init=False)
    lock: RepositoryLock = field(init=False)
    #: Held by whoever changes the tree, so that an interruption waits for that.
    busy: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.applier = Applier(self.root, self.state_dir)
        self.lock = RepositoryLock(self.state_dir, stale_after=self.policy.lock_stale_after)

    def protection(self, entries: Sequence[str] | None) -> Protection:
        """What nobody may change. Raises ``SpecError`` for entries that are no paths."""
        return Protection(entries, floor=self.floor, folds=self.root.folds)

    @property
    def floor(self) -> tuple[str, ...]:
        """The application's own files inside the repository: protected whatever is said."""
        own = [Path(f"{self.database}{end}") for end in DATABASE_SUFFIXES] + [self.state_dir]
        inside = (each.relative_to(self.root.path) for each in own if each.is_relative_to(self.root.path))
        return tuple(each.as_posix() for each in inside)


class Workshops:
    """The workshop of each repository that this process works on; what stages are given as ``ctx.deps``."""

    def __init__(self, make: Callable[[Run], Shop | None] | None = None) -> None:
        """``make`` makes one for a run of which this process has none, or gives None."""
        self.engine: Any = None
        self._make = make
        self._known: dict[str, Shop] = {}

    def use(self, repo_root: str, shop: Shop) -> None:
        """Have the runs of a repository done in this one."""
        self._known[repo_root] = shop

    def of(self, run: Run, now: datetime) -> Shop:
        """The workshop of a run. Raises ``Snooze`` when this process cannot have one."""
        where = run.input["repo_root"]
        if where not in self._known:
            made = self._make(run) if self._make is not None else None
            if made is None:
                said = "nobody in this process works on its repository: resume the run where it was begun"
                raise Snooze(now + timedelta(seconds=ELSEWHERE), said)
            self._known[where] = made
        return self._known[where]

    def write(self, writes: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
        """Commit rows at once."""
        self.engine.write(writes)

    def recover(self, shop: Workshop) -> list[Recovered]:
        """End what was interrupted while files were changed: a change whose acceptance is on record stays, any other is
        undone."""
        with shop.busy:
            return shop.applier.recover(self._is_final)

    def _is_final(self, transaction: str) -> bool:
        run_id, number, _ = transaction.rsplit("-", 2)
        try:
            run: Run = self.engine.get(run_id)
        except PhasegateError:  # a run that nobody knows has accepted nothing
            return False
        return run.at(stage(int(number), "accept")).status is PhaseStatus.SUCCEEDED
