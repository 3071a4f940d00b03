"""Records the answers of the build example: python record_build.py REPOSITORY FOLDER

REPOSITORY is pytimeparse 1.1.8 as ``make demo-build`` unpacks it; it stays as it is. The answers are invented, so that the
example runs without a key. With a model of your own, ``phasegate build run ... --model provider:name --record FOLDER`` records in
the same form. What the model was shown of the package is left out of the recordings: they are found by a hash of it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phasegate.apps.build import PhaseExecutor
from phasegate.apps.build.approval import Answer, ApprovalRequest
from phasegate.apps.build.plans import policy_of, read_plan
from phasegate.llm import Client, Recorder, Request, Response

DATA = Path(__file__).parent.parent / "data" / "build"
PLAN = DATA / "plan.yaml"
#: Where a prompt repeats the files of an answer, which have been the package's before they were changed.
LAST_ANSWER = re.compile(
    r"^The files of the last answer.*?(?=^Nothing of the failed attempt)", re.DOTALL | re.MULTILINE
)

SIGN_TEST = '''\
"""Signs count for the whole expression."""

import unittest

from ..timeparse import timeparse


class TestSign(unittest.TestCase):
    def test_fraction_and_whole_seconds(self):
        self.assertEqual(timeparse('-1.5 hours 30 seconds'), -5430)

    def test_plus_and_none(self):
        self.assertEqual(timeparse('+1.5 hours 30 seconds'), 5430)
        self.assertEqual(timeparse('1.5 hours 30 seconds'), 5430)
'''
SIGN: list[dict[str, Any]] = [
    {
        "type": "modify",
        "file_path": "pytimeparse/timeparse.py",
        "operations": [
            {
                "type": "replace",
                "old_text": "return (\n                    sign * int(sum(",
                "new_text": "return sign * (\n                    int(sum(",
            }
        ],
    },
    {"type": "create", "file_path": "pytimeparse/tests/test_sign.py", "content": SIGN_TEST},
]
MODULE = '''\
"""Writes a number of seconds as a time expression that ``timeparse`` reads."""

UNITS = (('w', 604800), ('d', 86400), ('h', 3600), ('m', 60), ('s', 1))


def timeformat(seconds):
    """
    Write a whole number of seconds as a time expression.

    >>> timeformat(5400)
    '1h 30m'
    """
'''
# What comes to mind first: with negative numbers, divmod does not do what one wants here.
CARELESS = """\
    parts = []
    for unit, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append('{0}{1}'.format(count, unit))
    return ' '.join(parts) or '0s'
"""
CAREFUL = """\
    sign, seconds = ('-', -seconds) if seconds < 0 else ('', seconds)
    parts = []
    for unit, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append('{0}{1}'.format(count, unit))
    return sign + (' '.join(parts) or '0s')
"""
FORMAT_TEST = '''\
"""Seconds as time expressions."""

import unittest

from ..timeformat import timeformat
from ..timeparse import timeparse


class TestTimeformat(unittest.TestCase):
    def test_parts(self):
        self.assertEqual(timeformat(5400), '1h 30m')
        self.assertEqual(timeformat(694861), '1w 1d 1h 1m 1s')

    def test_nothing(self):
        self.assertEqual(timeformat(0), '0s')

    def test_negative(self):
        self.assertEqual(timeformat(-90), '-1m 30s')

    def test_there_and_back(self):
        for seconds in (0, 1, 59, 60, 3600, 90061, -1, -90, -694861):
            self.assertEqual(timeparse(timeformat(seconds)), seconds)
'''
README = """\
A number of seconds is written as a time expression by ``format``::

    >>> from pytimeparse import format
    >>> format(5400)
    '1h 30m'

"""


class Invented(Client):
    """Answers as a good model might, but for one oversight."""

    async def generate(self, request: Request) -> Response:
        """The changes of the phase that the request is about."""
        text = answer(request.user)
        prompt, given = len(request.system + request.user) // 4, len(text) // 4
        return Response(text, prompt, given, prompt + given, model="invented", stop_reason="complete", seconds=0.0)


def answer(prompt: str) -> str:
    """The answer to a prompt, told by its phase and by whether it says what was wrong."""
    phase = prompt.partition("Id: ")[2].partition("\n")[0]
    if phase == "sign":
        return lines("Applied the sign to the seconds, too.", SIGN)
    if phase == "format":
        return formatting(CAREFUL if "test_negative" in prompt else CARELESS)
    heading = "Future work\n-----------\n"
    insert = {"type": "replace", "old_text": heading, "new_text": README + heading}
    return lines(
        "Told of format in the README.", [{"type": "modify", "file_path": "README.rst", "operations": [insert]}]
    )


def formatting(body: str) -> str:
    """The answer of the phase ``format``."""
    offered = "from .timeparse import timeparse as parse"
    also = {"type": "insert_after", "anchor": offered, "content": "from .timeformat import timeformat as format\n"}
    return lines(
        "Added timeformat, with tests.",
        [
            {"type": "create", "file_path": "pytimeparse/timeformat.py", "content": MODULE + body},
            {"type": "modify", "file_path": "pytimeparse/__init__.py", "operations": [also]},
            {"type": "create", "file_path": "pytimeparse/tests/test_timeformat.py", "content": FORMAT_TEST},
        ],
    )


def lines(summary: str, operations: Sequence[Mapping[str, Any]]) -> str:
    """An answer in lines of JSON."""
    head = {"type": "meta", "summary": summary, "total_operations": len(operations)}
    return "".join(f"{json.dumps(each)}\n" for each in (head, *operations))


class Everything:
    """Approves whatever is asked."""

    def decide(self, request: ApprovalRequest) -> Answer:
        """Yes."""
        return "approved"


def record(repository: Path, folder: Path) -> Mapping[str, Any]:
    """Execute the plan on a copy of ``repository`` with the invented answers, and record them in ``folder``; what came of it."""
    plan = read_plan(PLAN)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "repository"
        shutil.copytree(repository, copy)
        with PhaseExecutor(
            Recorder(Invented(), folder), copy, Path(scratch) / "build.db", policy=policy_of(plan.policy), rules=plan.rules,
            approval_provider=Everything(),
        ) as executor:  # fmt: skip
            result = executor.run_plan(list(plan.phases))
    for path in folder.glob("*.json"):
        leave_out_files(path)
    return result


def leave_out_files(path: Path) -> None:
    """Take the package's files out of a recording; whoever replays it does not need them."""
    recording = json.loads(path.read_text(encoding="ascii"))
    user = LAST_ANSWER.sub("", recording["request"]["user"])
    recording["request"]["user"] = user.partition("\n# Files\n")[0] + "\n"
    path.write_text(json.dumps(recording, indent=2, sort_keys=True) + "\n", encoding="ascii")


if __name__ == "__main__":
    found = record(Path(sys.argv[1]), Path(sys.argv[2]))
    for each in found["phase_results"]:
        print(each["phase_id"], each["status"], f"after {each['retry_count'] + 1} attempts", *each["errors"])
