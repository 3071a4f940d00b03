"""The flows and projections of all applications that come with phasegate, for commands that change one run of any of them.

An application's projections are part of every commit of its runs, also when somebody only pauses one. Working is another matter:
a worker needs the shared objects of one application, and gets that application's own registry.
"""

from __future__ import annotations

from phasegate import Registry
from phasegate.apps.discovery.flow import build_registry as build_discovery
from phasegate.apps.outreach.flow import build_registry as build_outreach


def build_registry() -> Registry:
    """A registry that knows them all."""
    registries = (build_outreach(), build_discovery())
    together = Registry(schemas=[schema for each in registries for schema in each.schemas])
    for each in registries:
        for flow in each.flows:
            together.add(flow)
        for projection in each.projections:
            together.projection(projection)
    return together
