"""Whatever a definition looks like, checking it gives a verdict and loading it gives a workflow or one kind of error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasegate.apps.documents.definition.loader import LoadedWorkflow, WorkflowLoader
from phasegate.apps.documents.definition.validator import ValidationResult, WorkflowValidator
from phasegate.apps.documents.errors import WorkflowLoadError
from tests.apps.documents.definitions import Definition, detailed, example

VALIDATOR = WorkflowValidator(manifest=["Some Document v1.0"])
LENIENT = WorkflowValidator({})
LOADER = WorkflowLoader(VALIDATOR)
BASES = [example(), detailed()]

# Names of the definitions themselves, so that a change often leaves the shape as it was and only the sense is lost.
names = st.sampled_from(
    ["event", "track", "talk", "project", "part", "detail", "plan", "note", "text", "track_plan", "talk_list", "nowhere",
     "track_outline", "brief", "per_track", "make_note", "tracks", "parts", "", "a b", "x.y", "Some Document v1.0"]
)  # fmt: skip
scalars = st.one_of(
    names,
    st.text(max_size=8),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.just(10**4000),
    st.just("\ud800"),
)
fields = st.sampled_from(
    ["parent", "scope", "steps", "inputs", "iterate_over", "may_own", "schema", "doc_type", "entity_type", "role", "x"]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields | names, inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*way, key)
        yield from places(each, (*way, key))


def at(value: Any, way: Iterable[Any]) -> Any:
    for key in way:
        value = value[key]
    return value


@st.composite
def damaged(draw: st.DrawFn) -> Definition:
    """A good definition with a few of its parts replaced, removed, doubled, or copied to somewhere else."""
    definition = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        ways = list(places(definition))
        kind = draw(st.sampled_from(["name", "name", "name", "twin", "twin", "copy", "value", "remove"]))
        if kind == "name":  # one text for another
            ways = [way for way in ways if isinstance(at(definition, way), str)]
        elif kind == "twin":  # one more of a list
            ways = [way for way in ways if isinstance(way[-1], int)]
        if not ways:
            break
        *way, last = draw(st.sampled_from(ways))
        target = at(definition, way)
        if kind == "remove":
            del target[last]
        elif kind == "twin":
            target.append(copy.deepcopy(target[last]))
        elif kind == "copy":
            target[last] = copy.deepcopy(at(definition, draw(st.sampled_from(ways))))
        else:
            target[last] = draw(names if kind == "name" else values)
    return definition


def attempt(load: Callable[[], LoadedWorkflow]) -> LoadedWorkflow | WorkflowLoadError:
    try:
        return load()
    except WorkflowLoadError as error:
        return error


def check(definition: object) -> ValidationResult:
    """The verdict, which agrees with the loader's."""
    verdict = VALIDATOR.validate(definition)
    assert verdict.valid is not bool(verdict.errors)
    assert all(str(each).isprintable() and each.message for each in (*verdict.errors, *verdict.warnings))
    assert len(set(verdict.errors)) == len(verdict.errors)
    blocking = [error for error in verdict.errors if error.code != "PROMPT_NOT_IN_MANIFEST"]
    outcome = attempt(lambda: LOADER.load_dict_checked(definition))
    if isinstance(outcome, WorkflowLoadError):
        assert blocking
        assert outcome.errors == verdict.errors
    else:
        assert not blocking
        assert VALIDATOR.validate_workflow(outcome.workflow) == verdict
    return verdict


@settings(max_examples=700)
@given(damaged())
def test_a_damaged_definition_gets_a_verdict(definition: Definition) -> None:
    check(definition)
    LENIENT.validate(definition)


@settings(max_examples=500)
@given(values)
def test_any_value_gets_a_verdict(value: object) -> None:
    assert not check(value)
    LENIENT.validate(value)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | damaged().map(lambda definition: json.dumps(definition, skipkeys=True).encode())
       | st.tuples(st.integers(0, 2000), st.binary(max_size=3)).map(lambda cut: splice(*cut)))  # fmt: skip
def test_any_file_is_loaded_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "workflow.json"
    path.write_bytes(content)
    outcome = attempt(lambda: LOADER.load_checked(path))
    assert isinstance(outcome, LoadedWorkflow) or str(path) in str(outcome)


def splice(at: int, piece: bytes) -> bytes:
    """The example as text with some bytes of it overwritten."""
    text = json.dumps(example()).encode()
    return text[:at] + piece + text[at + len(piece) :]


@pytest.mark.parametrize("levels", [10, 500, 100_000])
@pytest.mark.parametrize("field", ["steps", "scopes", "extra", "schema"])
def test_depth_is_no_trouble(levels: int, field: str, tmp_path: Path) -> None:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value} if field in ("scopes", "schema") else [value]
    definition = example()
    if field in ("steps", "scopes"):
        definition[field] = value
    elif field == "extra":
        definition["steps"][0]["extra"] = value
    else:
        definition["document_types"]["event_brief"]["schema"] = value
    assert check(definition).valid is False or levels == 10
    text = json.dumps(example()).replace('"steps": [', '"steps": [' + "[" * levels, 1)
    (tmp_path / "deep.json").write_text(text + "]" * levels)
    with pytest.raises(WorkflowLoadError):
        LOADER.load(tmp_path / "deep.json")


def test_damage_reaches_the_rules() -> None:
    """The definitions above are not all refused for their shape: otherwise the rules would hardly be tried."""
    seen: dict[str, int] = {}

    @settings(max_examples=200, database=None)
    @given(damaged())
    def count(definition: Definition) -> None:
        for error in VALIDATOR.validate(definition).errors:
            seen[error.code] = seen.get(error.code, 0) + 1

    count()
    assert len(seen) >= 15
