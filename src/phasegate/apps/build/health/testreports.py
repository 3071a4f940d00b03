"""What a test command found, read from what it printed or from its JUnit file. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from xml.etree import ElementTree

from phasegate.apps.build.health.commands import CommandResult
from phasegate.llm import redact

Runner = Literal["pytest", "unittest", "junit", "unknown"]
#: So much of the end of the output is kept for whoever must mend it.
KEPT_LINES = 80
_KEPT_WIDTH = 400

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COUNT = r"\d+ (?:failed|passed|skipped|deselected|xfailed|xpassed|errors?|warnings?|rerun)"
#: A count of anything else, as plugins add them: "2 subtests passed".
_OTHER = r"\d+ [a-z]+(?: [a-z]+)?"
_PYTEST_END = re.compile(
    rf"^=*\s*(?:no tests ran|(?:{_OTHER}, )*?{_COUNT}(?:, {_OTHER})*|no tests collected\b.*)(?: in [\d.]+s.*)?\s*=*$"
)
_PYTEST_FOUND = re.compile(r"(?:^|\s)collected (\d+) items?|\[(\d+) items?\]")
_PYTEST_NAMED = re.compile(r"^(FAILED|ERROR|SUBFAILED|SUBFAIL)\b ?(.+)$")
_SUMMARY, _BEGIN = "short test summary info", "test session starts"
_UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
_UNITTEST_NAMED = re.compile(r"^(?:FAIL|ERROR): (?P<name>\S+) \((?P<where>[^)]*)\)(?P<sub>.*)$")
_LOADER = "unittest.loader._FailedTest"


@dataclass(frozen=True, slots=True)
class Report:
    """What one run of a test command found. Lists are sorted.

    ``failing`` are tests that failed or could not be set up, ``collection`` what could not even be imported, ``collected``
    how many tests there are (None if nobody says). With the runner ``unknown`` only ``exit`` tells anything.
    """

    runner: Runner = "unknown"
    exit: int | None = 0
    failing: tuple[str, ...] = ()
    collection: tuple[str, ...] = ()
    collected: int | None = None
    timed_out: bool = False
    missing: str | None = None
    output: str = ""

    @property
    def green(self) -> bool:
        """Whether the command ran and was content."""
        return self.exit == 0

    def told(self) -> dict[str, Any]:
        """The report as JSON; ``from_told`` is the inverse."""
        return {**asdict(self), "failing": list(self.failing), "collection": list(self.collection)}

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Report:
        """The inverse of ``told``."""
        return cls(**{**told, "failing": tuple(told["failing"]), "collection": tuple(told["collection"])})


def read_report(result: CommandResult, junit: bytes | None = None) -> Report:
    """The report of a command that was run; a JUnit file that can be read counts more than the text."""
    text = _ANSI.sub("", result.output).replace("\r\n", "\n")
    read = (read_junit(junit) if junit is not None else None) or _read_pytest(text) or _read_unittest(text)
    return replace(
        read or Report(), exit=result.exit, timed_out=result.timed_out, missing=result.missing, output=shown(text)
    )


def shown(text: str) -> str:
    """The last lines of an output, without secrets and without very long lines."""
    lines = redact("\n".join(text.rstrip().split("\n")[-KEPT_LINES:])).split("\n")
    return "\n".join(line if len(line) <= _KEPT_WIDTH else f"{line[:_KEPT_WIDTH]}..." for line in lines)


def junit_file(argv: Sequence[str]) -> str | None:
    """The JUnit file that a command names in its arguments, if it does."""
    for at, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name in ("--junitxml", "--junit-xml", "--junit", "--xunit-file"):
            return value if equals else next(iter(argv[at + 1 : at + 2]), None)
    return None


def _read_pytest(text: str) -> Report | None:
    """The report of all sessions in an output: a command may start pytest several times."""
    lines = text.split("\n")
    ends = [line for line in lines if _PYTEST_END.match(line)]
    begins = [at for at, line in enumerate(lines, 1) if _SUMMARY in line and line.startswith("=")]
    if not ends and not begins:
        return None
    names = [(m[1], _node(m[2])) for begin in begins for m in _named_from(lines[begin:])]
    failing = {name for kind, name in names if kind != "ERROR" or "::" in name}
    collection = {name for kind, name in names if kind == "ERROR" and "::" not in name}
    return Report("pytest", None, _sorted(failing), _sorted(collection), _pytest_collected(text, ends))


def _named_from(lines: Sequence[str]) -> Iterator[re.Match[str]]:
    """What one summary names: lines up to the end of its session, or to the next one."""
    for line in lines:
        if _PYTEST_END.match(line) or (line.startswith("=") and (_SUMMARY in line or _BEGIN in line)):
            return
        if named := _PYTEST_NAMED.match(line):
            yield named


def _node(text: str) -> str:
    """The name of a test without the message behind it; a parameter of the test may have the same dash in it."""
    pieces = text.split(" - ")
    for count in range(1, len(pieces)):
        name = " - ".join(pieces[:count])
        if name.count("[") == name.count("]"):
            return name.strip()
    return text.strip()


def _pytest_collected(text: str, ends: Sequence[str]) -> int | None:
    found = [int(one or other) for one, other in _PYTEST_FOUND.findall(text)]
    if found:
        return sum(found)
    return sum(int(n) for end in ends for n, what in re.findall(r"(\d+) (\w+)", end) if what in _RAN) if ends else None


_RAN = frozenset({"failed", "passed", "skipped", "xfailed", "xpassed"})


def _read_unittest(text: str) -> Report | None:
    ran = _UNITTEST_RAN.findall(text)
    if not ran:
        return None
    failing, collection = set(), set()
    for each in (m for line in text.split("\n") if (m := _UNITTEST_NAMED.match(line))):
        if each["where"].startswith(_LOADER):
            collection.add(each["name"])
        else:
            failing.add(_unittest_name(each["name"], each["where"]) + each["sub"].rstrip())
    # The loader counts what it could not load as a test.
    return Report("unittest", None, _sorted(failing), _sorted(collection), max(0, int(ran[-1]) - len(collection)))


def _unittest_name(name: str, where: str) -> str:
    return where if where.endswith(f".{name}") else f"{where}.{name}"


def read_junit(data: bytes) -> Report | None:
    """The report in a JUnit file; None if it is none. Files with definitions of their own are not read."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return None
    try:
        tree = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None
    if tree.tag not in ("testsuites", "testsuite"):
        return None
    cases = list(_cases(tree))
    failing = {name for name, state in cases if state == "failing"}
    collection = {name for name, state in cases if state == "collection"}
    return Report("junit", None, _sorted(failing), _sorted(collection), len(cases) - len(collection))


def _cases(tree: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for case in tree.iter("testcase"):
        where, name = case.get("classname", ""), case.get("name", "")
        error = case.find("error")
        if error is not None and "collection failure" in error.get("message", ""):
            yield name, "collection"
        else:
            bad = error is not None or case.find("failure") is not None
            yield f"{where}.{name}" if where else name, "failing" if bad else "fine"


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
