"""``phasegate documents``: make a project's documents, decide on them, look at them."""

from __future__ import annotations

from phasegate.apps.documents.cli import deciding, looking, making
from phasegate.cli.session import add, application

app = application("""Produce JSON documents step by step with a language model, with people who answer and accept.

Exit codes: 0 done or waiting for a person, 1 failed or not done yet, 2 the request cannot be.
""")
add(
    app,
    {
        "Make": (making.run, making.validate),
        "Decide": (deciding.accept, deciding.reject, deciding.answer),
        "Look": (looking.show, looking.diff, looking.export, looking.stale, looking.costs),
    },
)
