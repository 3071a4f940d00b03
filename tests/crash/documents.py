"""The conference example as a program that dies at one of its commits; started again it goes on where it was."""

from __future__ import annotations

from pathlib import Path

from phasegate.apps.documents import studio
from phasegate.testing import CrashPoint
from tests.apps.documents.conference import Counting, begin, finish


def main(address: str, log: str, commit: int = 0, after: bool = False, counted: str = "") -> None:
    """Every request to the model is a line in ``log``. Dies at the commit of that number, before it or ``after`` it; how many
    there were is written into the file ``counted``."""
    with studio.open_engine(address, None) as engine:
        point = CrashPoint(engine, commit=commit or None, after=after)
        finish(engine, begin(engine, Counting(log=Path(log))))
    if counted:
        Path(counted).write_text(str(point.commits), encoding="utf-8")
