"""A mapping that is cheap to copy with a few changes.

A run with 10,000 items has 20,000 phase instances, and every fact changes one. Copying a dict of that size for each fact
would make the cost of a run quadratic; sharing one dict between two snapshots would make snapshots lie. So a snapshot is
a shared base, never changed, under a small top layer of its own. When the top layer outgrows the square root of the whole
it becomes part of a new base: the cost of one change stays near the square root of the size, with a tiny constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt
from typing import Generic, TypeVar

#: Up to this size one dict is cheaper than two layers.
SMALL = 32

K = TypeVar("K")
V = TypeVar("V")


class Layered(Mapping[K, V], Generic[K, V]):
    """An immutable mapping; ``changed`` gives another one. Keys are never removed, and no value is None."""

    __slots__ = ("_base", "_size", "_top")

    def __init__(self, base: dict[K, V] | None = None) -> None:
        self._base: dict[K, V] = base if base is not None else {}
        self._top: dict[K, V] = {}
        self._size = len(self._base)

    def changed(self, changes: Mapping[K, V]) -> Layered[K, V]:
        """This mapping with ``changes`` laid over it."""
        if not changes:
            return self
        if self._size <= SMALL:
            return Layered({**self._base, **self._top, **changes})
        top = {**self._top, **changes}
        if len(top) > 16 + 2 * isqrt(len(self._base)):
            return Layered({**self._base, **top})
        new: Layered[K, V] = Layered(self._base)
        new._top = top
        new._size = len(self._base) + sum(key not in self._base for key in top)
        return new

    def __getitem__(self, key: K) -> V:
        top = self._top
        return top[key] if key in top else self._base[key]

    def get(self, key: K, default: V | None = None) -> V | None:  # type: ignore[override]
        """The value of ``key``, or ``default``."""
        if self._top:
            found = self._top.get(key)
            if found is not None:
                return found
        return self._base.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._top or key in self._base

    def __iter__(self) -> Iterator[K]:
        yield from self._base
        yield from (key for key in self._top if key not in self._base)

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"Layered({dict(self)!r})"
