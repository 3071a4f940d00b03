"""Running the test commands and judging what they say against what they said before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from phasegate.apps.build.health import baseline
from phasegate.apps.build.health.baseline import Delta, Verdict
from phasegate.apps.build.health.context import CheckResult, CheckStatus, HealthContext
from phasegate.apps.build.health.testreports import Report, junit_file, read_report
from phasegate.apps.build.schema import Command

_MOST_JUNIT_BYTES = 16 << 20
#: The worst first.
_ORDER: tuple[CheckStatus, ...] = ("fail", "warn", "skip", "pass")


def report_of(command: Command, context: HealthContext) -> Report:
    """Run a test command and read what it says. A JUnit file that it names counts if this run wrote it."""
    named = junit_file(command.argv)
    place = context.root.path / named if named else None
    before = _stamp(place)
    result = context.run(command)
    return read_report(result, _fresh(place, before))


def tests(context: HealthContext) -> CheckResult:
    """Whether every test command is as content as before. What is worse is looked at once more before it counts.

    The reports are added to ``context.reports``. ``details`` has for each command its report's end, its verdict and severity.
    """
    commands = context.all_commands
    if not commands:
        return CheckResult("tests", "skip", "no test command is given")
    verdicts = {command.name: _verdict(command, context) for command in commands}
    status = min((each.status for each in verdicts.values()), key=_ORDER.index)
    message = "; ".join(f"{name}: {each.message}" for name, each in verdicts.items() if each.status == status)
    details = {name: _details(each, context.reports.get(name)) for name, each in verdicts.items()}
    lists = {
        "regressions": _all(each.regressions for each in verdicts.values()),
        "flaky": _all(each.flaky for each in verdicts.values()),
    }
    return CheckResult("tests", status, message, details={**lists, "commands": details})


def _verdict(command: Command, context: HealthContext) -> Verdict:
    before = context.baseline.reports.get(command.name) if context.baseline else None
    report = report_of(command, context)
    delta = baseline.compare(before, report)
    again = _again(command, context, before, report, delta)
    verdict = baseline.judge(delta, again)
    # A test that passes at the second time is no part of the next baseline.
    settled = [name for name in report.failing if name not in verdict.flaky]
    context.reports[command.name] = Report.from_told({**report.told(), "failing": settled})
    return verdict


def _again(
    command: Command, context: HealthContext, before: Report | None, report: Report, delta: Delta
) -> Delta | None:
    """What a second run says; None where none is needed, or where it would only take as long again."""
    if not delta.regressed or report.timed_out or report.missing is not None:
        return None
    return baseline.compare(before, report_of(command, context))


def _details(verdict: Verdict, report: Report | None) -> dict[str, object]:
    return {
        "status": verdict.status, "message": verdict.message, "severity": verdict.severity,
        "exit": report.exit if report else None, "runner": report.runner if report else None,
        "output": report.output if report and verdict.status == "fail" else "",
    }  # fmt: skip


def _all(lists: Iterable[tuple[str, ...]]) -> list[str]:
    return sorted({name for each in lists for name in each})


def _stamp(place: Path | None) -> tuple[int, int, int] | None:
    try:
        status = place.stat() if place else None
    except (OSError, ValueError):
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None


def _fresh(place: Path | None, before: tuple[int, int, int] | None) -> bytes | None:
    """The file's content if it is another file than before."""
    now = _stamp(place)
    if place is None or now is None or now == before or now[1] > _MOST_JUNIT_BYTES:
        return None
    try:
        return place.read_bytes()
    except OSError:
        return None
