"""What people and programs can do with discovery flows: one object per tenant, on one engine."""

from __future__ import annotations

from phasegate.apps.discovery.service.creating import Creating
from phasegate.apps.discovery.service.inventory import Inventories
from phasegate.apps.discovery.service.lifecycle import Lifecycle
from phasegate.apps.discovery.service.mappings import Mappings
from phasegate.apps.discovery.service.repairing import Repairing


class Discovery(Creating, Lifecycle, Mappings, Inventories, Repairing):
    """The discovery flows of one tenant.

    ``engine`` is one that ``open_engine`` gives. Every method works for the tenant alone: what belongs to somebody else is not
    found. What is asked for is committed when a method returns, and audited whether it succeeds or not; it is carried out by
    the engine's workers, or by ``work`` in this process.
    """
