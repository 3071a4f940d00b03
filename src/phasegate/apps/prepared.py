"""An engine whose database has what an application needs, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phasegate import Engine


def prepared(engine: Engine, prepare: Callable[[Engine], object]) -> Engine:
    """The engine, prepared. When that fails it is closed, and what ``prepare`` raises is raised."""
    try:
        prepare(engine)
    except BaseException:
        engine.close()
        raise
    return engine
