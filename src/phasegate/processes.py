"""What the machine says of other processes."""

from __future__ import annotations

import os


def alive(pid: int) -> bool:
    """Whether there is a process of this number on this machine, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
