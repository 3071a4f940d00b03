"""Reading the description of a phase: everything that is wrong with it is found before it costs anything.

What a phase must deliver, what it may write and what is protected are resolved here together, once, so that a phase that could
never succeed is refused at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from itertools import chain, count
from typing import Any

from phasegate.apps.build import criteria
from phasegate.apps.build.deliverables import clean
from phasegate.apps.build.errors import PhaseExecutorError, SpecError, UnsafePathError
from phasegate.apps.build.health.commands import parse_command
from phasegate.apps.build.paths.names import key, normalise
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Complexity, PhaseSpec
from phasegate.apps.build.spec_fields import Fields, described, is_json, is_list, writable
from phasegate.apps.build.spec_rules import deliverable_errors

#: The key by which an orchestrator hands the feedback on the last attempt to an executor.
RETRY_KEY = "_retry"
#: Categories that have a meaning; any other is kept as it is written.
CATEGORIES = frozenset({
    "docs", "feature", "refactor", "tests", "bugfix", "config", "schema_change", "frontend", "backend", "research",
})  # fmt: skip
_COMPLEXITIES: dict[str, Complexity] = {
    "low": "low", "simple": "low", "trivial": "low", "easy": "low",
    "medium": "medium", "moderate": "medium", "normal": "medium", "average": "medium",
    "high": "high", "complex": "high", "difficult": "high", "hard": "high",
}  # fmt: skip
_LONGEST_ID, _LONGEST_NAME, _LONGEST_SLUG = 200, 80, 40


def read_spec(
    given: object, *, index: int = 0, protection: Protection, taken: Collection[str] = (), folds: bool = False,
    policy: Policy | None = None,
) -> tuple[PhaseSpec | None, list[PhaseExecutorError], list[str]]:  # fmt: skip
    """The phase that a mapping describes, all errors, and all warnings; the phase is None exactly if there are errors.

    ``index`` is the phase's place in its run, from 0; ``taken`` are the ids of the phases before it; ``protection`` is the one
    that will be in force; ``folds`` says that the disk ignores case. Never raises, and does not change what it was given.
    """
    if not isinstance(given, Mapping):
        return None, [SpecError("E_SPEC_TYPE", f"a phase must be a mapping, not {described(given)}")], []
    errors: list[PhaseExecutorError] = []
    warnings: list[str] = []
    reader = _Reader(Fields(given, errors, warnings), protection, folds)
    spec = reader.read(index, taken, policy or Policy())
    return (None if errors else spec), errors, warnings


class _Reader:
    """Reads one description. What it notes goes into the errors and warnings of its fields."""

    def __init__(self, fields: Fields, protection: Protection, folds: bool) -> None:
        self._fields, self._protection, self._folds = fields, protection, folds
        self._notes: list[str] = []
        self._scope = self._read_scope()

    def read(self, index: int, taken: Collection[str], policy: Policy) -> PhaseSpec:
        fields, scope = self._fields, self._scope
        description = self._description(policy)
        deliverables, prose = self._deliverables()
        criteria, checks = self._criteria()
        phase_id = self._phase_id(index, description, taken)
        spec = PhaseSpec(
            phase_id=phase_id,
            name=(fields.text("name") or _first_line(description))[:_LONGEST_NAME],
            description=description,
            category=self._category(),
            complexity=self._complexity(),
            acceptance_criteria=tuple(dict.fromkeys([*criteria, *prose])),
            checks=tuple(checks),
            deliverables=deliverables,
            context_files=fields.texts("context_files", wrap=False),
            protected_paths=self._protected_paths(),
            scope=self._paths(scope, "paths"),
            read_only=self._read_only(),
            test_cmd=self._test_cmd(),
            notes=(*(fields.texts("notes") or ()), *self._notes),
            allow_delete=fields.flag("allow_delete", True),
            allow_noop=fields.flag("allow_noop", False),
            allow_existing_deliverables=fields.flag("allow_existing_deliverables", False),
            allow_mass_change=fields.flag("allow_mass_change", False),
            allow_symbol_removal=fields.flag("allow_symbol_removal", False),
            max_attempts=fields.whole("max_attempts"),
            model=fields.text("model"),
            max_output_tokens=fields.whole("max_output_tokens"),
            temperature=fields.number("temperature", zero=True),
            timeout_s=fields.number("timeout_s", zero=False),
            requires_approval=fields.flag("requires_approval", False),
            depends_on=fields.texts("depends_on", numbers=True) or (),
        )
        if phase_id in spec.depends_on:
            fields.error("E_SPEC_ID", f"the phase {phase_id!r} depends on itself")
        fields.errors += deliverable_errors(spec, self._protection, self._folds)
        fields.warn_of_unknown(ignored=(RETRY_KEY,))
        scope.warn_of_unknown()
        return spec

    def _read_scope(self) -> Fields:
        """The fields of ``scope``. A mere text is an old form: it is kept as a note and restricts nothing."""
        given = self._fields.take("scope")
        fields: Mapping[Any, Any] = {}
        if isinstance(given, str):
            if given.strip():
                self._notes.append(f"Scope: {writable(given).strip()}")
                self._fields.warnings.append("scope is a text; it is shown to the model and restricts nothing")
        elif isinstance(given, Mapping):
            fields = given
        elif is_list(given):
            fields = {"paths": given}
        elif given is not None:
            self._fields.wrong("scope", "a mapping with paths", given)
        return Fields(fields, self._fields.errors, self._fields.warnings, within="scope.")

    def _description(self, policy: Policy) -> str:
        given = self._fields.take("description")
        text = writable(given).strip() if isinstance(given, str) else ""
        if given is not None and not isinstance(given, str):
            self._fields.wrong("description", "text", given)
        elif not text:
            self._fields.error("E_SPEC_DESCRIPTION", "the description is missing or blank; say what is to be done")
        elif len(text) > policy.max_description_chars:
            most = policy.max_description_chars
            self._fields.error(
                "E_SPEC_DESCRIPTION", f"the description has {len(text)} characters; at most {most} are allowed"
            )
        return text

    def _phase_id(self, index: int, description: str, taken: Collection[str]) -> str:
        given = self._fields.take("phase_id")
        if isinstance(given, int) and not isinstance(given, bool):
            given = str(given)
        if given is None:
            made = f"{index + 1}-{_slug(description)}"
            return next(each for each in chain([made], (f"{made}-{n}" for n in count(2))) if each not in taken)
        text = given.strip() if isinstance(given, str) else ""
        if not text or not text.isprintable() or len(text) > _LONGEST_ID:
            self._fields.wrong("phase_id", f"one line of at most {_LONGEST_ID} characters", given)
        elif text in taken:
            self._fields.error("E_SPEC_ID", f"the phase id {text!r} is used twice; ids are unique within a run")
        return text

    def _category(self) -> str:
        text = self._fields.text("category", "task_category") or "feature"
        known = re.sub(r"[\s-]+", "_", text.casefold())
        return known if known in CATEGORIES else text

    def _complexity(self) -> Complexity:
        given = self._fields.take("complexity")
        known = _COMPLEXITIES.get(given.strip().casefold()) if isinstance(given, str) else None
        if given is not None and known is None:
            self._fields.warnings.append(f"complexity {described(given)} is not low, medium or high; medium is taken")
        return known or "medium"

    def _criteria(self) -> tuple[list[str], list[Mapping[str, Any]]]:
        """Criteria in words, and those that a program can check."""
        words: list[str] = []
        checks: list[Mapping[str, Any]] = []
        for fields in (self._fields, self._scope):
            given = fields.take("acceptance_criteria")
            entries = [given] if isinstance(given, str | Mapping) else given
            if entries is not None and not is_list(entries):
                fields.wrong("acceptance_criteria", "a list of text", given)
                continue
            for entry in entries or ():
                if isinstance(entry, str):
                    words += [writable(entry).strip()]
                elif isinstance(entry, Mapping):
                    checks += self._check(fields, entry)
                else:
                    fields.wrong("acceptance_criteria[]", "text, or a mapping with 'check'", entry)
        return [each for each in words if each], checks

    def _check(self, fields: Fields, entry: Mapping[Any, Any]) -> list[Mapping[str, Any]]:
        """A criterion for a program: one that can be checked, of values that can be stored, about a safe path."""
        check = dict(entry)
        if not is_json(check) or not all(isinstance(each, str) for each in check):
            fields.error("E_SPEC_CRITERION", "a criterion has values that are not JSON")
            return []
        if "path" in check:
            path = self._path(fields, check["path"])
            if path is None:
                return []
            check["path"] = path
        fault = criteria.problem(check)
        if fault is not None:
            fields.error("E_SPEC_CRITERION", f"a criterion cannot be checked: {fault}")
            return []
        return [check]

    def _deliverables(self) -> tuple[tuple[str, ...], list[str]]:
        """The paths to deliver, in order, each once; and what stood among them and is no path."""
        paths: dict[str, str] = {}
        prose: list[str] = []
        for fields in (self._fields, self._scope):
            for entry in self._flattened(fields):
                cleaned, words = clean(writable(entry))
                if words:
                    prose.append(words)
                    fields.warnings.append(f"the deliverable {words[:100]!r} is no path; it counts as a criterion")
                path = self._path(fields, cleaned) if cleaned else None
                if path:
                    paths.setdefault(key(path, self._folds), path)
        return tuple(paths.values()), prose

    def _flattened(self, fields: Fields) -> list[str]:
        """The entries of a list of deliverables, or of a mapping of such lists."""
        given = fields.take("deliverables")
        buckets = given.items() if isinstance(given, Mapping) else [(None, given)]
        entries: list[str] = []
        for bucket, value in buckets:
            name = "deliverables" if bucket is None else f"deliverables.{writable(str(bucket))[:40]}"
            listed = [value] if isinstance(value, str) else value
            if listed is None:
                continue
            if not is_list(listed):
                fields.wrong(name, "a list of paths", value)
                continue
            for each in listed:
                if isinstance(each, str):
                    entries.append(each)
                else:
                    fields.wrong(f"{name}[]", "a path", each)
        return entries

    def _protected_paths(self) -> tuple[str, ...] | None:
        given = self._fields.take("protected_paths")
        if given is None:
            return None
        try:
            Protection(given)
        except PhaseExecutorError as error:
            self._fields.errors.append(error)
            return None
        return tuple(given)

    def _paths(self, fields: Fields, name: str) -> tuple[str, ...] | None:
        """A list of paths to write; ``/**`` at the end means the same as a slash."""
        entries = fields.texts(name)
        if entries is None:
            return None
        if not entries:
            fields.error(
                "E_SPEC_SCOPE",
                f"scope.{name} is empty, so that nothing may be written; leave it out for no restriction",
            )
        paths = [self._path(fields, each.removesuffix("**") if each.endswith("/**") else each) for each in entries]
        return tuple(dict.fromkeys(each for each in paths if each))

    def _read_only(self) -> tuple[str, ...]:
        """Paths that are shown and not to be changed, given as texts or as mappings with ``path``. One that is not safe is left
        out with a warning: nothing could change it either."""
        given = self._scope.take("read_only_context")
        entries = [given] if isinstance(given, str | Mapping) else given
        if entries is not None and not is_list(entries):
            self._scope.wrong("read_only_context", "a list of paths", given)
            return ()
        paths: dict[str, None] = {}
        for entry in entries or ():
            path = entry.get("path") if isinstance(entry, Mapping) else entry
            if not isinstance(path, str):
                self._scope.wrong("read_only_context[]", "a path, or a mapping with 'path'", entry)
                continue
            try:
                plain = path.strip()
                paths[normalise(plain.removesuffix("**") if plain.endswith("/**") else plain, directory=True)] = None
            except UnsafePathError as error:
                self._scope.warnings.append(f"context_outside_root: {error.path}: {error.cause}")
        return tuple(paths)

    def _test_cmd(self) -> tuple[str, ...] | None:
        own, scoped = self._fields.take("test_cmd"), self._scope.take("test_cmd")
        given = scoped if own is None else own
        if given is None:
            return None
        if not isinstance(given, str) and not (is_list(given) and all(isinstance(each, str) for each in given)):
            self._fields.wrong("test_cmd", "a command or a list of its arguments", given)
            return None
        try:
            return parse_command(given if isinstance(given, str) else list(given)).argv
        except PhaseExecutorError as error:
            self._fields.error("E_SPEC_COMMAND", f"test_cmd cannot be run: {error.cause}")
            return None

    def _path(self, fields: Fields, raw: object) -> str | None:
        try:
            return normalise(raw.strip() if isinstance(raw, str) else raw, directory=True)
        except UnsafePathError as error:
            fields.error("E_SPEC_PATH", f"this path is not safe: {error.cause}", path=error.path, **error.details)
            return None


def _first_line(text: str) -> str:
    return text.splitlines()[0].strip() if text else ""


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_SLUG].strip("-") or "phase"
