"""What a run remembers of where its documents are made."""

from __future__ import annotations

import copy
import json

from phasegate.apps.documents.definition.validator import WorkflowValidator
from phasegate.apps.documents.studio import Studio
from tests.apps.documents.conference import DEFINITION


def test_a_model_that_is_named_is_asked_instead_of_a_recording() -> None:
    recorded = Studio("prompts", replay="answers")
    assert recorded.with_options(models=("openai:x",)) == Studio("prompts", models=("openai:x",))
    assert recorded.with_options(models=("openai:x",), replay="others").replay == "others"
    assert recorded.with_options(models=(), replay=None, record=None) == recorded


def test_a_scope_is_gone_through_once() -> None:
    definition = json.loads(DEFINITION.read_text(encoding="utf-8"))
    again = copy.deepcopy(definition["steps"][2])
    again["step_id"], again["steps"] = "per_track_again", again["steps"][:1]
    again["steps"][0]["step_id"] = "outline_again"
    definition["steps"].append(again)
    found = {(each.code.value, each.path) for each in WorkflowValidator().validate(definition).errors}
    assert ("ITERATION_SCOPE_MISMATCH", "steps[3].scope") in found
