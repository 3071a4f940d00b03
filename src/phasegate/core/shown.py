"""What a gate shows, as a hash, and what a settled gate gives."""

from __future__ import annotations

import hashlib
import json

from phasegate.core.draft import Draft
from phasegate.core.flow import Phase
from phasegate.core.run import PhaseRun, Scope


def gate_answer(instance: PhaseRun, by: str = "") -> dict[str, object]:
    """The output of a settled gate: the outcome and what the persons who chose it said."""
    votes = [vote for vote in instance.votes if vote.outcome == instance.outcome]
    comments = [vote.comment for vote in votes if vote.comment]
    return {
        "outcome": instance.outcome,
        "by": [vote.by for vote in votes] or [by],
        "comment": "\n".join(comments),
        "answers": next((vote.answers for vote in votes if vote.answers is not None), None),
    }


def shown_digest(draft: Draft, phase: Phase, scope: Scope) -> str:
    """The sha256 of what a gate shows: the hashes of the outputs it names, item by item."""
    shows = phase.gate.shows if phase.gate else ()
    return digest(
        {n: [[list(i.scope), i.outcome, i.sha256] for i in draft.sources(phase.name, scope, n)] for n in shows}
    )


def digest(value: object) -> str:
    """The sha256 of a JSON value in canonical form, as hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
