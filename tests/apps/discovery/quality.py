"""How well names are classified: ``python -m tests.apps.discovery.quality`` prints the figures and every miss.

The file was written by a person who did not know the rules: a row has a name, at most a CI type and an operating system, the
asset type that a careful reader gives it, and why. The rules have since been improved by its misses, so that names which
nobody has seen come out somewhat worse.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from phasegate.apps.discovery.rules.classification import Classification, classify
from phasegate.apps.discovery.schema import ASSET_TYPES

NAMES = Path(__file__).parents[2] / "data" / "inventory_names.csv"


@dataclass(frozen=True, slots=True)
class NamedAsset:
    """A row of the file, and what the rules make of it."""

    name: str
    ci_type: str
    operating_system: str
    expected: str
    why: str
    found: Classification

    @property
    def right(self) -> bool:
        return self.found.asset_type == self.expected


def names() -> list[NamedAsset]:
    """Every row of the file, classified."""
    with NAMES.open(encoding="utf-8", newline="") as file:
        return [_named_asset(row) for row in csv.DictReader(file)]


def _named_asset(row: dict[str, str]) -> NamedAsset:
    record = {"name": row["name"], "asset_type": row["ci_type"], "operating_system": row["operating_system"]}
    return NamedAsset(
        row["name"], row["ci_type"], row["operating_system"], row["asset_type"], row["why"], classify(record)
    )


def accuracy(assets: list[NamedAsset]) -> float:
    """The share of right rows."""
    return sum(each.right for each in assets) / len(assets)


def _print_types(assets: list[NamedAsset]) -> None:
    print(f"\n{'asset type':16} {'rows':>5} {'precision':>9} {'recall':>7}")
    for asset_type in ASSET_TYPES:
        expected = sum(each.expected == asset_type for each in assets)
        found = sum(each.found.asset_type == asset_type for each in assets)
        both = sum(each.right and each.expected == asset_type for each in assets)
        precision = f"{both / found:.3f}" if found else "-"
        recall = f"{both / expected:.3f}" if expected else "-"
        print(f"{asset_type:16} {expected:5} {precision:>9} {recall:>7}")


def _print_confusion(assets: list[NamedAsset]) -> None:
    print("\nexpected -> found")
    for (expected, found), count in sorted(Counter((each.expected, each.found.asset_type) for each in assets).items()):
        print(f"{count:5} {expected} -> {found}")


def _print_misses(assets: list[NamedAsset]) -> None:
    print("\nmisses")
    for each in assets:
        if not each.right:
            row = f"{each.name!r} (CI type {each.ci_type!r}, OS {each.operating_system!r})"
            print(f"{row}: {each.expected}, found {each.found.asset_type} by {each.found.rule} - {each.why}")


def main() -> None:
    """Print the figures."""
    assets = names()
    print(f"{len(assets)} names, accuracy {accuracy(assets):.4f}")
    _print_types(assets)
    _print_confusion(assets)
    _print_misses(assets)


if __name__ == "__main__":
    main()
