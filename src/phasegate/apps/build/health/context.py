"""What checks of the health are given, and what they give back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from phasegate.apps.build.health.baseline import Baseline
from phasegate.apps.build.health.commands import named
from phasegate.apps.build.health.manifest import Manifest, RunCommand
from phasegate.apps.build.health.testreports import Report
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Command, PhaseSpec, Planned

CheckStatus = Literal["pass", "warn", "fail", "skip"]
#: Before anything is changed, or with the changes on disk.
Moment = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found. A ``fail`` that is ``critical`` makes the phase fail; ``skip`` says that it could not be checked.

    ``details`` are JSON.
    """

    name: str
    status: CheckStatus
    message: str
    critical: bool = True
    duration_ms: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def harmful(self) -> bool:
        """Whether the phase cannot be accepted because of it."""
        return self.critical and self.status == "fail"

    def told(self) -> dict[str, Any]:
        """The result as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HealthContext:
    """What a check may look at. Checks read, and change nothing.

    ``planned`` is what the phase did, empty before it; ``unreadable`` are files that could not be read as what their names say
    before it. ``manifest`` and ``baseline`` are from before it, ``now`` is the manifest with the changes on disk. ``commands``
    are run for every phase besides the phase's ``test_cmd``, ``run`` runs one in the repository. ``client`` raises when the
    model's client could answer nothing; ``history`` says what is wrong with the database, if anything is. ``reports`` is filled
    by the check of tests, for the next baseline."""

    root: Root
    spec: PhaseSpec
    policy: Policy
    protection: Protection
    run: RunCommand
    planned: tuple[Planned, ...] = ()
    moment: Moment = "after"
    manifest: Manifest | None = None
    baseline: Baseline | None = None
    now: Manifest | None = None
    unreadable: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    client: Callable[[], object] | None = None
    history: Callable[[], str | None] | None = None
    reports: dict[str, Report] = field(default_factory=dict)

    @property
    def all_commands(self) -> tuple[Command, ...]:
        """The commands of every phase, and the phase's own; each once."""
        argv = self.spec.test_cmd
        own = named(argv, self.policy.test_timeout) if argv else None
        return self.commands if own is None or any(c.argv == own.argv for c in self.commands) else (*self.commands, own)


#: A check; what it raises is its failure.
Check = Callable[[HealthContext], CheckResult]
