"""The outreach pipeline: companies from a row of a file to the outreach log.

Importing this imports next to nothing; the functions load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegate.apps.lazily import lazily

if TYPE_CHECKING:
    from phasegate.apps.outreach.compat import (
        execute_all_implemented,
        execute_phase_by_name,
        retry_failed_phase,
        run_outreach_phase,
        run_phase_sequence,
    )
    from phasegate.apps.outreach.doubts import find_doubts
    from phasegate.apps.outreach.flow import build_registry
    from phasegate.apps.outreach.importing import load_companies, load_people
    from phasegate.apps.outreach.intents import find_intent
    from phasegate.apps.outreach.opening import open_engine, use_engine
    from phasegate.apps.outreach.rule_checks import check_rules

_HOMES = {
    "build_registry": "flow",
    "check_rules": "rule_checks",
    "execute_all_implemented": "compat",
    "execute_phase_by_name": "compat",
    "find_doubts": "doubts",
    "find_intent": "intents",
    "load_companies": "importing",
    "load_people": "importing",
    "open_engine": "opening",
    "retry_failed_phase": "compat",
    "run_outreach_phase": "compat",
    "run_phase_sequence": "compat",
    "use_engine": "opening",
}

__all__ = [
    "build_registry",
    "check_rules",
    "execute_all_implemented",
    "execute_phase_by_name",
    "find_doubts",
    "find_intent",
    "load_companies",
    "load_people",
    "open_engine",
    "retry_failed_phase",
    "run_outreach_phase",
    "run_phase_sequence",
    "use_engine",
]


__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
