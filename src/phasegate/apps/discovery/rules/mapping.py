"""Which field of an asset each column of an inventory means: by what people decided, by its heading, by its values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from phasegate.apps.discovery.rules.heading_lookup import EQUAL, by_heading, plain, unit_of
from phasegate.apps.discovery.rules.mapping_checks import field_type, weighed
from phasegate.apps.discovery.schema import CUSTOM, FIELDS, UNMAPPED

#: The least confidence of each band; below the last there is none.
BANDS: tuple[tuple[str, float], ...] = (("high", 0.9), ("medium", 0.7), ("low", 0.5))
#: Below this a person is asked.
CLARIFY = 0.6
#: A suggestion is kept above this.
KEPT = 0.5
LEARNED = 0.9
#: What a guess about a column that tells assets apart never reaches.
CERTAIN = 0.8

# A second field that people decided on; what a person's decision counts against other columns.
_SECOND, _DECIDED = 0.75, 0.98
# No column says more after so many values.
_VALUES_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Learned:
    """What people of a tenant decided about a column before, ``count`` times: that it is the field, or that it is not."""

    source_field: str
    target_field: str
    approved: bool
    count: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The field one column means, from 0 to 1 how surely, and why; UNMAPPED with 0 when none can be named.

    ``match_type`` is learned, direct (the heading is the field's name), inferred or none. ``alternatives`` are up to three
    other fields with their confidences, best first; ``field_type`` is what the values are.
    """

    source_field: str
    target_field: str
    confidence: float
    match_type: str
    reasoning: str
    alternatives: tuple[tuple[str, float], ...]
    field_type: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    field: str
    confidence: float
    match_type: str
    reasoning: str

    @property
    def claim(self) -> float:
        """What counts when two columns mean one field: a person's decision is worth more than every guess."""
        return _DECIDED if self.match_type == "learned" else self.confidence


def suggest(
    headings: Sequence[str],
    samples: Mapping[str, Sequence[str]] = {},
    learned: Iterable[Learned] = (),
) -> tuple[Suggestion, ...]:
    """One suggestion for each heading, in their order; no field is suggested twice, but for custom attributes.

    ``samples`` are values by heading; they raise or lower what the heading says. What the tenant's people decided comes
    before any rule, and what they rejected at least as often as they approved it is not suggested. When two columns mean
    one field, the column with its very name keeps it, then one that people decided, then the more certain one.
    """
    decided = _Decisions(learned)
    values = [samples.get(heading, ())[:_VALUES_LOOKED_AT] for heading in headings]
    ranked = [_candidates(heading, each, decided) for heading, each in zip(headings, values, strict=True)]
    found = zip(headings, ranked, _shared_out(ranked), map(field_type, values), strict=True)
    return tuple(_suggestion(*each) for each in found)


def band(confidence: float) -> str:
    """high, medium, low or none."""
    return next((name for name, least in BANDS if confidence >= least), "none")


def needs_clarification(suggestion: Suggestion) -> bool:
    """Whether a person is asked what the column means."""
    return suggestion.confidence < CLARIFY


def heading_unit(heading: str) -> str | None:
    """The unit a heading names, in small letters ("RAM (MB)" has mb); None without one."""
    return unit_of(heading)


def _candidates(heading: str, samples: Sequence[str], decided: _Decisions) -> list[_Candidate]:
    """The fields the heading may mean, in the order of preference: what was learned, then by confidence."""
    guessed = sorted(_guessed(heading, samples), key=lambda each: -each.confidence)
    found: dict[str, _Candidate] = {}
    for each in (*decided.of(heading), *guessed):
        if not decided.rejected(heading, each.field):
            found.setdefault(each.field, each)
    return list(found.values())


def _guessed(heading: str, values: Sequence[str]) -> Iterator[_Candidate]:
    for entry, confidence, reasoning in by_heading(heading):
        if confidence >= EQUAL:
            yield _Candidate(entry.field, EQUAL, "direct", reasoning)
        else:
            changed, remark = weighed(entry, confidence, values)
            yield _Candidate(entry.field, round(changed, 2), "inferred", reasoning + remark)


class _Decisions:
    """What a tenant's people decided, by column: how many approvals a field has more than rejections."""

    def __init__(self, learned: Iterable[Learned]) -> None:
        self._votes: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for each in learned:
            votes, times = self._votes[plain(each.source_field)], max(each.count, 1)
            votes[each.target_field] = votes.get(each.target_field, 0) + (times if each.approved else -times)

    def of(self, heading: str) -> Iterator[_Candidate]:
        """The fields approved for the column, the most often approved one first and the others with less confidence."""
        votes = [(field, more) for field, more in self._of(heading).items() if field in FIELDS or field == CUSTOM]
        approved = sorted((each for each in votes if each[1] > 0), key=lambda each: -each[1])
        for place, (field, _) in enumerate(approved):
            confidence = _SECOND if place else LEARNED
            yield _Candidate(field, confidence, "learned", "people of this tenant approved it before")

    def rejected(self, heading: str, field: str) -> bool:
        return self._of(heading).get(field, 1) <= 0

    def _of(self, heading: str) -> dict[str, int]:
        return self._votes.get(plain(heading), {})


def _shared_out(ranked: Sequence[Sequence[_Candidate]]) -> list[_Candidate | None]:
    """A candidate for each column, each field once: a more certain column takes a field from a less certain one.

    Every column asks for its candidates in its order; one that loses a field asks for its next. The outcome does not
    depend on who asks first.
    """
    chosen: list[_Candidate | None] = [None] * len(ranked)
    holder: dict[str, int] = {}
    asked = [0] * len(ranked)
    waiting = list(reversed(range(len(ranked))))
    while waiting:
        place = waiting.pop()
        chosen[place] = None
        while asked[place] < len(ranked[place]):
            candidate = ranked[place][asked[place]]
            asked[place] += 1
            if candidate.confidence <= KEPT:
                continue
            other = holder.get(candidate.field)
            if candidate.field != CUSTOM and other is not None:
                held = chosen[other]
                if held is not None and (held.claim, -other) > (candidate.claim, -place):
                    continue
                waiting.append(other)
            holder[candidate.field] = place
            chosen[place] = candidate
            break
    return chosen


def _suggestion(heading: str, ranked: Sequence[_Candidate], chosen: _Candidate | None, found: str) -> Suggestion:
    others = sorted((each for each in ranked if each is not chosen), key=lambda each: -each.confidence)
    alternatives = tuple((each.field, each.confidence) for each in others[:3])
    if chosen is None:
        reasoning = "the fields it may mean are taken or doubtful" if others else "no field is known for it"
        return Suggestion(heading, UNMAPPED, 0.0, "none", reasoning, alternatives, found)
    return Suggestion(
        heading, chosen.field, chosen.confidence, chosen.match_type, chosen.reasoning, alternatives, found
    )
