"""Where a process lives: what must be equal for its number to mean anything to another process."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """The name of this machine, and marks that tell apart machines, starts of them, and containers that share the name.

    Process numbers are told apart by the kernel's namespace of process numbers, which is one kernel's; where the system has no
    such thing, the name must do.
    """
    marks = [mark for mark in (_boot(), _namespace()) if mark]
    return "/".join([socket.gethostname(), *marks])


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except (OSError, UnicodeDecodeError):
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""
