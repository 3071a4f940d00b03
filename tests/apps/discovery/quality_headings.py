"""How well columns are recognised: ``python -m tests.apps.discovery.quality_headings`` prints the figures and every miss."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from phasegate.apps.discovery.rules.mapping import CERTAIN, Suggestion, suggest
from phasegate.apps.discovery.schema import CUSTOM, IDENTIFIERS, UNMAPPED

HEADINGS = Path(__file__).parents[2] / "data" / "inventory_headings.csv"


@dataclass(frozen=True, slots=True)
class Judged:
    """One labelled column and what is suggested for it beside the other columns of its file."""

    file: str
    target: str
    suggestion: Suggestion

    @property
    def right(self) -> bool:
        suggested = self.suggestion.target_field
        return suggested == self.target or (self.target == CUSTOM and suggested == UNMAPPED)

    @property
    def confidently_wrong(self) -> bool:
        """A column that tells assets apart is missed, or one is made up, so surely that nobody may look at it."""
        about = {self.target, self.suggestion.target_field}
        return not self.right and self.suggestion.confidence >= CERTAIN and not about.isdisjoint(IDENTIFIERS)


def judged_headings(path: Path = HEADINGS) -> list[Judged]:
    """Every labelled column; the columns of one file are looked at together."""
    files: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            files[row["file"]].append(row)
    judged = []
    for file, rows in files.items():
        samples = {row["heading"]: (row["samples"] or "").split("|") for row in rows}
        suggestions = suggest([row["heading"] for row in rows], samples)
        judged += [Judged(file, row["target"], each) for row, each in zip(rows, suggestions, strict=True)]
    return judged


def accuracy(judged: list[Judged]) -> float:
    return sum(each.right for each in judged) / len(judged)


def report(judged: list[Judged]) -> str:
    """The figures, then the misses, one a line."""
    wrong = [each for each in judged if each.confidently_wrong]
    lines = [f"{len(judged)} columns, {accuracy(judged):.1%} right, {len(wrong)} identifiers confidently wrong"]
    for each in judged:
        if not each.right:
            found = each.suggestion
            mark = "  <- confident, identifier" if each.confidently_wrong else ""
            suggested = f"{found.target_field} ({found.confidence:.2f}, {found.reasoning})"
            lines.append(f"{each.file}: {found.source_field!r} is {each.target}, suggested {suggested}{mark}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(judged_headings()))
