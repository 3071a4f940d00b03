"""Whether a model that was asked to repair the spelling of an answer did only that."""

from __future__ import annotations

import json
import re

from phasegate.apps.build.errors import InvalidJSONError
from phasegate.apps.build.schema import Answer

_ESCAPE = re.compile(r'\\(?:u[0-9a-fA-F]{4}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|["\\/bfnrt])')


def check_repaired(raw: str, repaired: Answer) -> Answer:
    """The repaired answer, when every path and every content in it stands in the raw one as a whole string.

    Raises ``InvalidJSONError`` otherwise: what a repair adds or takes away is not what was answered.
    """
    said = {raw, _ESCAPE.sub(_unescaped, raw)}
    for change in repaired.changes:
        for text in (change.path, change.content):
            if text is not None and not any(f'"{text}"' in each for each in said):
                cause = "the repair call changed more than the spelling of the answer"
                raise InvalidJSONError("E_JSON_INVALID", cause, path=change.path)
    return repaired


def _unescaped(escape: re.Match[str]) -> str:
    return str(json.loads(f'"{escape[0]}"'))
