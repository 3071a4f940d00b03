"""Where log lines go, for programs that use the façade."""

from __future__ import annotations


def log_to_stderr(*, verbose: bool = False) -> None:
    """Log to standard error, one line per event: warnings, or everything when ``verbose``."""
    from phasegate.runtime.log import configure

    configure(verbose)
