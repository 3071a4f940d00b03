"""The build example of the repository, and a stand-in for the package that it works on: the registry is not asked in tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"
PLAN = EXAMPLES / "data" / "build" / "plan.yaml"
ANSWERS = PLAN.parent / "answers"

_spec = importlib.util.spec_from_file_location("record_build", EXAMPLES / "recordings" / "record_build.py")
assert _spec is not None
assert _spec.loader is not None
recording = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recording)

TIMEPARSE = r"""
import re

UNITS = {'weeks': ('w', 604800), 'days': ('d', 86400), 'hours': ('h', 3600), 'mins': ('m', 60), 'secs': ('s', 1)}
MULTIPLIERS = {name: size for name, (_, size) in UNITS.items()}
PATTERN = re.compile(
    r'\s*(?P<sign>[+-])?\s*'
    + r'\s*'.join('(?:(?P<%s>[0-9.]+)[ ]*%s[a-z]*)?' % (name, letter) for name, (letter, _) in UNITS.items()) + '$')


def timeparse(sval):
    match = PATTERN.match(sval)
    if not match:
        return None
    mdict = match.groupdict()
    sign = -1 if mdict.pop('sign') == '-' else 1
    if all(v.isdigit() for v in mdict.values() if v):
        return sign * sum(MULTIPLIERS[k] * int(v) for k, v in mdict.items() if v)
    elif True:
        if True:
                return (
                    sign * int(sum([MULTIPLIERS[k] * float(v) for (k, v) in
                             list(mdict.items()) if k != 'secs' and v is not None])) +
                    (int(mdict['secs'], 10) if mdict['secs'] else 0))
"""
STAND_IN = {
    "README.rst": "A stand-in\n==========\n\nFuture work\n-----------\n\nNone.\n",
    "pytimeparse/__init__.py": "from .timeparse import timeparse as parse\n",
    "pytimeparse/timeparse.py": TIMEPARSE.lstrip("\n"),
    "pytimeparse/tests/__init__.py": "",
    "pytimeparse/tests/testtimeparse.py": (
        "import unittest\n\nfrom ..timeparse import timeparse\n\n\n"
        "class TestTimeparse(unittest.TestCase):\n"
        "    def test_hours(self):\n        self.assertEqual(timeparse('1h 30m'), 5400)\n\n"
        "    def test_nothing(self):\n        self.assertIsNone(timeparse('soon'))\n"
    ),
}  # fmt: skip


def stand_in(root: Path) -> Path:
    """The stand-in, in a folder that is made."""
    for name, text in STAND_IN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
