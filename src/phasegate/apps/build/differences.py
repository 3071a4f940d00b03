"""Changes as people read them: unified diffs that take no longer for awkward texts, and as much of them as there is room for.

Pure. Lines end with a line feed and with nothing else, as those who read diffs have it.
"""

from __future__ import annotations

import difflib
import io
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from phasegate.llm import redact

#: Comparisons that one file is worth, about a second of them. Where lines are so alike that it would take more, the old ones are
#: shown as removed and the new ones as added.
_MOST_WORK = 4_000_000
#: As many of the files that are not shown whole are named.
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Piece:
    """The diff of one file: its beginning as ``text``, and the ``length`` of all of it, in characters."""

    path: str
    text: str
    length: int


def piece(path: str, lines: Iterator[str], most: int) -> Piece:
    """The diff of one file, of which whole lines are kept until there are ``most`` characters."""
    kept, length = [], 0
    for line in lines:
        if length < most:
            kept.append(line)
        length += len(line)
    return Piece(path, "".join(kept), length)


def shown(summary: str, pieces: Sequence[Piece], most: int, *, more: str = "") -> str:
    """The summary, and of the diffs as many characters as then come to ``most``, the shortest first; no secrets are in it.

    When that is not everything, the last line says how many characters of which files are not shown, and then ``more``.
    """
    head = f"{redact(summary)}\n"
    room, texts, missing = max(0, most - len(head)), [head], []
    for each in sorted(pieces, key=lambda one: one.length):
        whole = redact(each.text) if room else each.text
        texts.append(whole[:room])
        left = each.length - len(each.text) + max(0, len(whole) - room)
        room -= len(texts[-1])
        missing += [(each.path, left)] if left else []
    text = "".join(texts)
    if not missing:
        return text
    end = "" if text.endswith("\n") else "\n"
    return f"{text}{end}{redact(_not_shown(missing))}{more}\n"


def _not_shown(missing: Sequence[tuple[str, int]]) -> str:
    said = [f"{count:,} characters of {path}" for path, count in missing[:_MOST_NAMED]]
    others = missing[_MOST_NAMED:]
    if others:
        said.append(f"{sum(count for _, count in others):,} characters of {len(others)} more files")
    return f"... not shown: {', '.join(said)}"


def unified(before: str, after: str, old: str, new: str) -> Iterator[str]:
    """The lines of a unified diff of two texts; none when they are the same. ``old`` and ``new`` are what its head calls them."""
    one, other = list(io.StringIO(before, newline="\n")), list(io.StringIO(after, newline="\n"))
    head = [f"--- {old}\n", f"+++ {new}\n"]
    for group in _Matcher(None, one, other, autojunk=False).get_grouped_opcodes(3):
        yield from head
        head = []
        yield f"@@ -{_range(group[0][1], group[-1][2])} +{_range(group[0][3], group[-1][4])} @@\n"
        for tag, i, i_end, j, j_end in group:
            if tag == "equal":
                yield from _marked(" ", one[i:i_end])
            else:
                yield from _marked("-", one[i:i_end])
                yield from _marked("+", other[j:j_end])


def _range(start: int, end: int) -> str:
    """Lines as the head of a hunk names them; those of an empty range are behind the line before it."""
    count = end - start
    return f"{start + 1}" if count == 1 else f"{start + 1 if count else start},{count}"


def _marked(mark: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"


class _Matcher(difflib.SequenceMatcher[str]):
    """Finds what two texts have in common without comparing each line with each."""

    a: Sequence[str]
    b: Sequence[str]

    def get_matching_blocks(self) -> list[difflib.Match]:
        """The runs of equal lines, no two of which adjoin, and an empty one at the end."""
        found: list[difflib.Match] = []
        for a, b, size in _runs(self.a, self.b):
            last = found[-1] if found else difflib.Match(0, 0, 0)
            if found and (last.a + last.size, last.b + last.size) == (a, b):
                found[-1] = difflib.Match(last.a, last.b, last.size + size)
            elif size:
                found.append(difflib.Match(a, b, size))
        return [*found, difflib.Match(len(self.a), len(self.b), 0)]


def _runs(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Runs of equal lines: where each begins in the old and in the new text, and how many lines it has, which may be none.

    Lines that are only once in each text hold the two together; what lies between two of them is compared by itself.
    """
    work, a, b = _MOST_WORK, 0, 0
    for i, j in [*_anchors(old, new), (len(old), len(new))]:
        one, other = old[a:i], new[b:j]
        head = _alike(one, other)
        tail = _alike(one[head:][::-1], other[head:][::-1])
        yield a, b, head
        one, other = one[head : len(one) - tail], other[head : len(other) - tail]
        needed = _work(one, other)
        if 0 < needed <= work:
            work -= needed
            for run in difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
                yield a + head + run.a, b + head + run.b, run.size
        yield i - tail, j - tail, tail + (i < len(old))
        a, b = i + 1, j + 1


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines two texts have in common at their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _work(one: Sequence[str], other: Sequence[str]) -> int:
    """How many comparisons it takes at most to match two texts; 0 when no line of them is the same."""
    there = Counter(other)
    equal = sum(there[line] for line in one)
    return min(len(one), len(other)) * (len(one) + equal) if equal else 0


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The places of lines that are once in each text, as many as come in the same order in both."""
    here, there = Counter(old), Counter(new)
    place = {line: j for j, line in enumerate(new)}
    return _rising([(i, place[line]) for i, line in enumerate(old) if here[line] == 1 == there[line]])


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest selection of which the second members rise."""
    # Of the selections of each length, the lowest last member, its number, and for each member the one before it.
    lowest, numbers, before = list[int](), list[int](), list[int]()
    for number, (_, j) in enumerate(pairs):
        length = bisect_left(lowest, j)
        before.append(numbers[length - 1] if length else -1)
        lowest[length : length + 1], numbers[length : length + 1] = [j], [number]
    chosen, number = [], numbers[-1] if numbers else -1
    while number >= 0:
        chosen.append(pairs[number])
        number = before[number]
    return chosen[::-1]
