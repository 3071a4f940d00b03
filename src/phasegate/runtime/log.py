"""Announcements rendered as log lines: the code announces what happened, this file decides what that looks like.

One line per announcement, key=value, UTC times; no secrets: announcements carry names and numbers, never payloads.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

_LEVELS = {
    "attempt.failed": logging.WARNING,
    "attempt.lost": logging.WARNING,
    "run.failed": logging.WARNING,
    "worker.fenced": logging.WARNING,
    "worker.failed": logging.ERROR,
    "store.trouble": logging.ERROR,
    "ray.trouble": logging.ERROR,
    "worker.started": logging.INFO,
    "worker.stopped": logging.INFO,
    "gate.opened": logging.INFO,
}


#: Characters of a text that stand in a log line; all of it stands in the run's history.
LONGEST = 500


def logger() -> Any:
    """The logger of the runtime; configured by ``configure``, silent below warnings until then."""
    return _Lazy()


def configure(verbose: bool = False) -> None:
    """Log to standard error: warnings, or everything when ``verbose``."""
    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.WARNING),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        # Looked up for every line: a program may replace its standard error, and the former one may be closed by then.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


class _Lazy:
    """structlog on first use: a program that logs nothing does not pay for importing it."""

    def __init__(self, **bound: Any) -> None:
        self._bound = bound

    def bind(self, **more: Any) -> _Lazy:
        """This logger with more keys on every line."""
        return _Lazy(**self._bound, **more)

    def __getattr__(self, level: str) -> Any:
        import structlog

        if not structlog.is_configured():
            configure()
        return getattr(structlog.get_logger().bind(**self._bound), level)


def announce(kind: str, **values: Any) -> None:
    """Something happened; render it if anybody wants to read it."""
    level = _LEVELS.get(kind, logging.DEBUG)
    if level < logging.WARNING and "structlog" not in sys.modules:
        return
    try:
        _Lazy().log(
            level,
            kind,
            **{name: mask(value)[:LONGEST] if isinstance(value, str) else value for name, value in values.items()},
        )
    except Exception:
        return  # a log that cannot be written (a closed pipe, a full disk) must not stop the work it tells of


# What a secret looks like in the text of an error: named as such, or between the user and the host of an address.
_SECRET = re.compile(
    r"""(?ix)
    (?P<name> (?:password|passwd|secret|token|api[_-]?key|authorization) ["']? \s* [:=] \s* ["']? (?:(?:bearer|basic)\s+)? )
    [^\s"',;&]+
    | (?P<user> ://[^\s/:@]* ) : [^\s/@]+ (?=@)"""
)


def mask(text: str) -> str:
    """The text with what looks like a secret replaced by asterisks."""
    return _SECRET.sub(lambda found: f"{found['name']}***" if found["name"] else f"{found['user']}:***", text)
