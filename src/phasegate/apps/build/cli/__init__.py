"""``phasegate build``: have a model change a repository, decide about it, look at it."""

from __future__ import annotations

from phasegate.apps.build.cli import deciding, looking, running
from phasegate.cli.session import add, application

app = application(
    """Have a language model change a repository: checked, applied whole or not at all, kept healthy or undone.

Exit codes: 0 done or waiting for a person, 1 failed, 2 the request cannot be.
""",
    tenant=False,
)
add(
    app,
    {
        "Build": (running.run, running.resume),
        "Decide": (deciding.approve, deciding.reject),
        "Look": (looking.show, looking.diff, looking.history),
        "Repair": (deciding.restore,),
    },
)
