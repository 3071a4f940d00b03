"""``phasegate discovery``: bring an inventory in, decide about it, look at it."""

from __future__ import annotations

from phasegate.apps.discovery.cli import caring, deciding, looking, steering
from phasegate.cli.session import add, application

app = application(
    """Turn an inventory export into clean assets, with people who approve mappings, assets and conflicts.

Exit codes: 0 done or waiting for a person, 1 failed, 2 the request cannot be.
""",
    tenant=False,
)
add(app, {
    "Bring in": (steering.run,),
    "Decide": (deciding.approve, deciding.reject, deciding.edit, deciding.decide_data, deciding.resolve),
    "Look": (
        looking.status, looking.flows, looking.profile, looking.skipped, looking.mappings, looking.preview,
        looking.conflicts, looking.assets, looking.dependencies, looking.debts, looking.export, looking.audit,
    ),
    "Change": (steering.pause, steering.resume, steering.retry, steering.execute, steering.cancel, steering.delete),
    "Care": (caring.health, caring.repair),
})  # fmt: skip
