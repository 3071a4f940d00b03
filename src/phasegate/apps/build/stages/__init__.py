"""What is done in each stage of a build's flow; ``flow.py`` says in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from phasegate.apps.build.flow import BASELINE
from phasegate.apps.build.stages.applying import Accept, Apply, CheckHealth, Restore, TakeBaseline
from phasegate.apps.build.stages.asking import Ask, SelectContext
from phasegate.apps.build.stages.checking import Check
from phasegate.apps.build.stages.committing import Commit
from phasegate.apps.build.stages.foreign import ForeignBaseline, ForeignCheck, ForeignHealth, ForeignVerdict, Work
from phasegate.apps.build.stages.parsing import Parse
from phasegate.apps.build.stages.validating import Validate
from phasegate.apps.build.stages.verdict import Verdict

#: What the stages do: of our own plans, and of those of an executor that is not ours.
STAGES: Mapping[str, Callable[[int], Any]] = {
    BASELINE: TakeBaseline, "check": Check, "context": SelectContext, "ask": Ask, "parse": Parse, "validate": Validate,
    "apply": Apply, "health": CheckHealth, "accept": Accept, "restore": Restore, "verdict": Verdict,
    "commit": Commit,
}  # fmt: skip
FOREIGN_STAGES: Mapping[str, Callable[[int], Any]] = {
    BASELINE: ForeignBaseline, "check": ForeignCheck, "work": Work, "health": ForeignHealth, "verdict": ForeignVerdict,
}  # fmt: skip
