"""Validate what the model proposes, on what the files would be, before anything is written; and say how risky it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from phasegate import Context, Outcome
from phasegate.apps.build import deliverables, differences, risk
from phasegate.apps.build.applying import staging
from phasegate.apps.build.errors import PhaseExecutorError, UnsafePathError
from phasegate.apps.build.flow import DONE, NOOP, RISKY
from phasegate.apps.build.paths.names import normalise
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.schema import Answer, Change, FileFacts, PhaseSpec, Planned, digest
from phasegate.apps.build.stages.common import Stage, runner, unfit
from phasegate.apps.build.validation import syntax, world
from phasegate.apps.build.validation.plausibility import joined, line_changes
from phasegate.apps.build.validation.structure import check_changes, check_scope
from phasegate.apps.build.workshop import Workshop
from phasegate.llm import redact

#: Characters of a difference that are kept; whoever wants all of it looks at the change itself.
MOST_DIFF = 200_000
#: Characters of it that are shown to whoever is asked for approval.
MOST_SHOWN = 20_000
#: What they are told when that is not all.
_MORE = "; `phasegate build diff` shows more"


@dataclass(frozen=True)
class Validate(Stage):
    """Gives the changes that would be made, their sha256, the risk, and the difference as people read it."""

    def work(self, context: Context) -> Outcome:
        """``done``; ``risky`` when a person has to approve; ``noop`` when nothing would change; ``unfit`` with every problem."""
        shop, spec, protection = self.shop(context), self.spec(context), self.protection(context)
        answer = Answer.from_told(self.given(context, "parse")["answer"])
        warnings = list(answer.warnings)
        proposed = [change.told() for change in answer.changes]
        has = _delivered(spec, answer.changes, shop.root.folds)
        errors: list[PhaseExecutorError] = list(check_changes(proposed, protection, shop.root, shop.policy))
        if errors:
            return unfit(errors, warnings=warnings, delivered=has)
        # Checked above; reading them again gives the one spelling of each path.
        changes = [Change(normalise(c.path), c.mode, c.content) for c in answer.changes]
        errors += check_scope(changes, spec, shop.root.folds)
        seen = _seen(self.given(context, "ask"), shop.root, changes)
        resolved, found = world.resolve(changes, seen, shop.root, spec, shop.policy)
        errors += found.errors
        delivered = deliverables.check(spec, changes, shop.root, answer)
        errors += delivered.errors
        warnings += [*found.warnings, *delivered.warnings]
        if errors:
            return unfit(errors, warnings=warnings, delivered=has)
        facts = {path: each for path, (each, _) in seen.items()}
        planned = staging.plan(resolved, facts, shop.policy)
        if not planned:
            said = "everything is on disk already as the model wants it" if changes else "the model changed nothing"
            warnings.append(f"no_effective_change: {said}")
            return self._unchanged(context, spec, answer, warnings, has)
        return self._weighed(context, spec, planned, resolved, answer, warnings, has)

    def _unchanged(
        self, context: Context, spec: PhaseSpec, answer: Answer, warnings: list[str], delivered: Mapping[str, bool]
    ) -> Outcome:  # fmt: skip
        """The gates of a phase that leaves everything as it is: what it must deliver is there, and its criteria are met."""
        shop = self.shop(context)
        found = joined(
            deliverables.check_present(spec, shop.root), deliverables.check_criteria(spec, shop.root, runner(shop))
        )
        warnings = [*warnings, *found.warnings]
        if found.errors:
            return unfit(found.errors, warnings=warnings, delivered=delivered)
        return Outcome(NOOP, {"changes": [], "summary": redact(answer.summary), "warnings": warnings})

    def _weighed(
        self, context: Context, spec: PhaseSpec, planned: Sequence[Planned], resolved: Sequence[Change],
        answer: Answer, warnings: list[str], delivered: Mapping[str, bool],
    ) -> Outcome:  # fmt: skip
        shop, past = self.shop(context), self.past(context)
        originals = world.originals([each.path for each in planned if each.op != "create"], shop.root)
        last = past.used + 1 >= self.given(context, "check")["attempts"]
        weighed = risk.assess(
            planned,
            originals,
            spec,
            last_of=last and past.used >= 2,
            symbols_removed=risk.names_removed(planned, originals),
            policy=shop.policy,
        )
        summary, pieces = risk.summary(planned, originals), difference(planned, originals)
        by_path = {change.path: change for change in resolved}
        told = [by_path[each.path].told() for each in planned]
        if weighed.level == "notify":
            warnings.append(f"risk {weighed.score}: {', '.join(weighed.reasons)}")
        return Outcome(
            RISKY if weighed.level == "approve" else DONE,
            {
                "changes": told, "before": [asdict(each.before) for each in planned],
                "declared": {change.path: change.mode for change in answer.changes},
                "sha256": change_sha256(told, [each.before.sha256 for each in planned]),
                "files": [_file(each, originals.get(each.path)) for each in planned],
                "unreadable": [path for path, text in originals.items() if syntax.problem(path, text)],
                "risk": {"score": weighed.score, "reasons": list(weighed.reasons), "level": weighed.level},
                "diff": differences.shown(summary, pieces, MOST_DIFF), "summary": redact(answer.summary),
                "shown": differences.shown(summary, pieces, MOST_SHOWN, more=_MORE), "warnings": warnings,
                "delivered": delivered,
                "requested_at": context.now().isoformat(),
            },
        )  # fmt: skip


def change_sha256(changes: Sequence[Mapping[str, Any]], before: Sequence[str | None]) -> str:
    """What an approval is bound to: every change, and what it changes."""
    return digest({"changes": list(changes), "before": list(before)})


def replanned(told: Mapping[str, Any], shop: Workshop) -> list[Planned]:
    """The operations of a validated output, with their bytes."""
    facts = {each["path"]: FileFacts(**each) for each in told["before"]}
    changes = [Change(each["path"], each["mode"], each["new_content"]) for each in told["changes"]]
    return staging.plan(changes, facts, shop.policy)


def difference(planned: Sequence[Planned], originals: Mapping[str, str]) -> list[differences.Piece]:
    """The changes as unified diffs, file by file."""
    return [differences.piece(each.path, _diff(each, originals.get(each.path, "")), MOST_DIFF) for each in planned]


def _diff(planned: Planned, original: str) -> Iterator[str]:
    old = "/dev/null" if planned.op == "create" else f"a/{planned.path}"
    new = "/dev/null" if planned.op == "delete" else f"b/{planned.path}"
    return differences.unified(original, _after(planned), old, new)


def _after(planned: Planned) -> str:
    """The text that will be there, with line ends as in the original it is compared with."""
    if planned.data is None:
        return ""
    text = planned.data.decode(planned.before.encoding if planned.before.exists else "utf-8", "replace")
    return text.replace("\r\n", "\n")


def _file(planned: Planned, original: str | None) -> dict[str, Any]:
    added, removed = line_changes(original, None if planned.data is None else _after(planned))
    return {
        "path": planned.path, "mode": planned.op, "bytes_before": planned.before.size if planned.before.exists else None,
        "bytes_after": None if planned.data is None else len(planned.data), "sha256_before": planned.before.sha256,
        "sha256_after": planned.sha256_after, "lines_added": added, "lines_removed": removed,
    }  # fmt: skip


def _seen(asked: Mapping[str, Any], root: Root, changes: Sequence[Change]) -> dict[str, tuple[FileFacts, Any]]:
    """What the model saw of each file, and of those it changes without having seen them what there is now."""
    seen = {each["facts"]["path"]: (FileFacts(**each["facts"]), each["shown"]) for each in asked["seen"]}
    for change in changes:
        if change.path not in seen:
            seen[change.path] = (root.facts(change.path), "omitted")
    return seen


def _delivered(spec: PhaseSpec, changes: Sequence[Change], folds: bool) -> dict[str, bool]:
    """Which deliverables the answer has, also those that are on disk as it gives them. Paths that are none deliver nothing."""
    written = []
    for change in changes:
        with suppress(UnsafePathError):
            written += [normalise(change.path)] if change.mode != "delete" else []
    return {
        each: any(deliverables.covers_deliverable(each, path, folds) for path in written) for each in spec.deliverables
    }
