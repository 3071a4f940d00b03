"""Commit what a phase has changed to git, where the policy wants that; the phase has succeeded by then, whatever git says."""

from __future__ import annotations

from dataclasses import dataclass

from phasegate import Context, Outcome
from phasegate.apps.build.committing import commit
from phasegate.apps.build.flow import DONE
from phasegate.apps.build.health import commands
from phasegate.apps.build.health.commands import CommandResult
from phasegate.apps.build.schema import Command
from phasegate.apps.build.stages.common import Stage


@dataclass(frozen=True)
class Commit(Stage):
    """Gives ``problem``, what kept the phase from being committed, if anything did."""

    def work(self, context: Context) -> Outcome:
        """``done``."""
        shop, check = self.shop(context), self.given(context, "check")
        paths = [each["path"] for each in self.given(context, "validate").get("files", ())]
        if not (shop.policy.git_commit and paths and self.given(context, "verdict")["result"]["success"]):
            return Outcome(DONE, {})
        message = f"{check['name']}\n\nRun {context.run.id}, phase {check['phase_id']}."

        def run(command: Command) -> CommandResult:  # nobody stops git half-way: it would leave its locks behind
            return commands.run(command, shop.root.path, shop.policy)

        with context.deps.changing(context):
            problem = commit(shop.root.path, paths, message, run)
        if problem is not None:
            context.log.warning("build.not_committed", reason=problem)
        return Outcome(DONE, {"committed": problem is None, "problem": problem})
