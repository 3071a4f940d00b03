"""What the stages of a build need beside the database: the repository, the model, and who is asked."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from phasegate import Context, PhaseStatus, Run, Snooze
from phasegate.apps.build.applying.lock import RepositoryLock
from phasegate.apps.build.applying.transaction import Applier, Recovered
from phasegate.apps.build.approval import ApprovalProvider
from phasegate.apps.build.errors import CancelledError
from phasegate.apps.build.flow import DONE, stage
from phasegate.apps.build.health.context import Check
from phasegate.apps.build.paths.protection import DATABASE_SUFFIXES, Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.shop import Shop
from phasegate.errors import UnknownName
from phasegate.llm import Client, Prices

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
    #: What is wrong with the database of the history, if anything is.
    history_problem: Callable[[bool], str | None] | None = None
    #: The application's own files inside the repository: protected whatever is said, and however their paths were given.
    floor: tuple[str, ...] = field(init=False)
    applier: Applier = field(init=False)
    lock: RepositoryLock = field(init=False)
    #: Held by whoever changes the tree, so that an interruption waits for that.
    busy: threading.RLock = field(default_factory=threading.RLock)
    #: The run that is worked on, while one is: at any time only one is.
    working: str | None = None

    def __post_init__(self) -> None:
        own = [Path(f"{self.database}{end}") for end in (*DATABASE_SUFFIXES, ".state")] + [self.state_dir]
        places = dict.fromkeys(place for each in own for place in _places(each))
        self.floor = tuple(
            each.relative_to(self.root.path).as_posix() for each in places if each.is_relative_to(self.root.path)
        )
        self.applier = Applier(self.root, self.state_dir)
        self.lock = RepositoryLock(self.state_dir, stale_after=self.policy.lock_stale_after, root=self.root.path)

    def protection(self, entries: Sequence[str] | None) -> Protection:
        """What nobody may change. Raises ``SpecError`` for entries that are no paths."""
        return Protection(entries, floor=self.floor, folds=self.root.folds)

    def forget(self, recovered: Recovered) -> bool:
        """Leave files that could not be put back as they are; False when that was not so. Raises ``RollbackError`` for a journal
        that cannot be read."""
        transaction = self.applier.open(recovered.id) if recovered.error is not None else None
        if transaction is not None:
            transaction.forget()
        return transaction is not None


def _places(path: Path) -> Iterator[Path]:
    """Where a file lies: by its own name, and where that leads when it is a link."""
    lexical = Path(os.path.normpath(path))
    yield Path(os.path.realpath(lexical.parent)) / lexical.name
    # ``..`` behind a link leads elsewhere than it reads.
    yield Path(os.path.realpath(path.parent)) / path.name
    yield Path(os.path.realpath(path))


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
        """The workshop of a run. Raises ``Snooze`` when this process cannot have one, or works on another run in it."""
        where = run.input["repo_root"]
        if where not in self._known:
            made = self._make(run) if self._make is not None else None
            if made is None:
                said = "nobody in this process works on its repository: resume the run where it was begun"
                raise Snooze(now + timedelta(seconds=ELSEWHERE), said)
            self._known[where] = made
        shop = self._known[where]
        if isinstance(shop, Workshop) and shop.working != run.id:
            raise Snooze(now + timedelta(seconds=ELSEWHERE), "nobody works on this run now: resume it")
        return shop

    @contextmanager
    def changing(self, context: Context) -> Iterator[Workshop]:
        """Have the tree for oneself, for a stage that somebody still waits for: an attempt that was given up, or whose process
        was stopped for so long that another one took over, changes nothing any more. Raises ``CancelledError``, ``LockError``
        and ``Snooze``."""
        shop = self.of(context.run, context.now())
        assert isinstance(shop, Workshop), "only our own stages change files"
        with shop.busy:
            if context.cancelled or shop.working != context.run.id:
                raise CancelledError("E_CANCELLED", "nobody waits for this any more")
            shop.lock.beat()
            yield shop

    def write(self, writes: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
        """Commit rows at once."""
        self.engine.write(writes)

    def validated(self, run_id: str, number: int) -> Mapping[str, Any]:
        """What was validated for the n-th phase of a run last."""
        found: Mapping[str, Any] = self.engine.output(run_id, stage(number, "validate"))
        return found

    def recover(self, shop: Workshop) -> list[Recovered]:
        """End what was interrupted while files were changed: a change whose acceptance is on record stays, any other is
        undone. Raises ``StoreError`` when the database does not say what is on record."""
        with shop.busy:
            return shop.applier.recover(self._is_final)

    def _is_final(self, transaction: str) -> bool:
        run_id, number, _ = transaction.rsplit("-", 2)
        try:
            run: Run = self.engine.get(run_id)
        except UnknownName:  # a run that nobody knows has accepted nothing
            return False
        accepted = run.at(stage(int(number), "accept")).outcome == DONE
        # Who stops a run before a phase is told to have succeeded finds it undone, as the history says.
        told = run.at(stage(int(number), "verdict")).status is PhaseStatus.SUCCEEDED
        return accepted and (told or not run.finished)
