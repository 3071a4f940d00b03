"""A phase is read into its final form, and everything that is wrong with it is said before anything costs money."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.errors import PhaseExecutorError
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import PhaseSpec
from phasegate.apps.build.spec import RETRY_KEY, read_spec
from phasegate.apps.build.spec_rules import check_on_disk, in_scope

USUAL = Protection(None)


def read(given: object, **options: Any) -> tuple[PhaseSpec | None, list[PhaseExecutorError], list[str]]:
    return read_spec(given, protection=options.pop("protection", USUAL), **options)


def good(fields: dict[str, Any] | None = None, **options: Any) -> PhaseSpec:
    spec, errors, _ = read({"description": "Add a login form", **(fields or {})}, **options)
    assert not errors, errors
    assert spec is not None
    return spec


def codes(fields: dict[str, Any], **options: Any) -> list[str]:
    spec, errors, _ = read({"description": "Add a login form", **fields}, **options)
    assert (spec is None) == bool(errors)
    return [error.code for error in errors]


def warnings(fields: dict[str, Any]) -> list[str]:
    return read({"description": "Add a login form", **fields})[2]


def test_a_description_alone_is_a_phase_with_all_defaults() -> None:
    spec = good({"description": "  Add a login form\nand test it  "}, index=2)
    assert spec == PhaseSpec("3-add-a-login-form-and-test-it", "Add a login form", "Add a login form\nand test it")
    assert (spec.category, spec.complexity, spec.allow_delete, spec.allow_noop) == ("feature", "medium", True, False)
    assert spec.scope is None
    assert spec.context_files is None


@pytest.mark.parametrize(
    "given", [None, 3, "Add it", ["Add it"], object()], ids=["none", "int", "str", "list", "object"]
)
def test_what_is_no_mapping_is_refused(given: object) -> None:
    spec, errors, _ = read(given)
    assert spec is None
    assert [each.code for each in errors] == ["E_SPEC_TYPE"]
    assert not errors[0].retryable


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "E_SPEC_DESCRIPTION"),
        ("", "E_SPEC_DESCRIPTION"),
        (" \n\t", "E_SPEC_DESCRIPTION"),
        (7, "E_SPEC_TYPE"),
        ("x" * 50_001, "E_SPEC_DESCRIPTION"),
    ],
    ids=["missing", "empty", "blank", "number", "long"],
)
def test_a_description_is_needed(given: object, code: str) -> None:
    assert codes({"description": given}) == [code]


def test_a_description_may_have_exactly_the_most_characters() -> None:
    assert codes({"description": "x" * 50_000}) == []
    assert codes({"description": "x" * 11}, policy=Policy(max_description_chars=10)) == ["E_SPEC_DESCRIPTION"]


def test_category_wins_over_task_category() -> None:
    assert good({"category": "Docs", "task_category": "tests"}).category == "docs"
    assert good({"task_category": "Schema Change"}).category == "schema_change"
    assert good({"category": "House Style"}).category == "House Style"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        *[(each, "low") for each in ("low", "simple", "Trivial", " easy ")],
        *[(each, "medium") for each in ("medium", "moderate", "normal", "average", None)],
        *[(each, "high") for each in ("high", "complex", "difficult", "HARD")],
    ],
)
def test_complexities_have_other_names(given: str | None, meant: str) -> None:
    spec, _, told = read({"description": "x", "complexity": given})
    assert spec is not None
    assert (spec.complexity, told) == (meant, [])


@pytest.mark.parametrize("given", ["huge", "", 3, ["low"], {}], ids=["word", "empty", "number", "list", "mapping"])
def test_any_other_complexity_is_medium_with_a_warning(given: object) -> None:
    spec, errors, told = read({"description": "x", "complexity": given})
    assert spec is not None
    assert spec.complexity == "medium"
    assert not errors
    assert len(told) == 1
    assert "complexity" in told[0]


def test_criteria_are_a_list_or_one_text_and_may_stand_in_the_scope() -> None:
    assert good({"acceptance_criteria": "It works"}).acceptance_criteria == ("It works",)
    spec = good({"acceptance_criteria": [" a ", "", "  ", "b"], "scope": {"acceptance_criteria": ["b", "c"]}})
    assert spec.acceptance_criteria == ("a", "b", "c")


def test_criteria_for_a_program_are_kept_apart() -> None:
    spec = good({"acceptance_criteria": ["words", {"check": "file_exists", "path": "./src//a.py"}]})
    assert spec.acceptance_criteria == ("words",)
    assert spec.checks == ({"check": "file_exists", "path": "src/a.py"},)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"path": "a"}, "E_SPEC_CRITERION"),
        ({"check": "magic"}, "E_SPEC_CRITERION"),
        ({"check": ["file_exists"]}, "E_SPEC_CRITERION"),
        ({"check": "contains", "text": object()}, "E_SPEC_CRITERION"),
        ({"check": "contains", "path": "a", "pattern": "("}, "E_SPEC_CRITERION"),
        ({"check": "json_path", "path": "a", "query": "name"}, "E_SPEC_CRITERION"),
        ({"check": "command", "command": "a | b"}, "E_SPEC_CRITERION"),
        ({"check": "file_exists"}, "E_SPEC_CRITERION"),
        ({"check": "file_exists", "path": "../a"}, "E_SPEC_PATH"),
        (5, "E_SPEC_TYPE"),
    ],
    ids=["no check", "unknown", "list", "object", "pattern", "query", "shell", "no path", "unsafe", "number"],
)
def test_a_criterion_that_means_nothing_is_refused(given: object, code: str) -> None:
    assert codes({"acceptance_criteria": [given]}) == [code]


def test_deliverables_come_as_a_list_or_in_buckets_and_from_the_scope() -> None:
    assert good({"deliverables": ["src/a.py", "./src//a.py", "docs/"]}).deliverables == ("src/a.py", "docs/")
    buckets = {"code": ["src/b.py", "src/a.py"], "tests": "tests/test_a.py", "docs": None}
    spec = good({"deliverables": buckets, "scope": {"deliverables": ["README.md"]}})
    assert spec.deliverables == ("src/b.py", "src/a.py", "tests/test_a.py", "README.md")


def test_remarks_behind_a_deliverable_are_taken_away() -> None:
    given = ["tests/test_a.py (10+ tests)", "src/a.py with structured logs", "src/b.py updated"]
    assert good({"deliverables": given}).deliverables == ("tests/test_a.py", "src/a.py", "src/b.py")


def test_prose_among_the_deliverables_becomes_a_criterion() -> None:
    fields = {"deliverables": ["Logging configuration", "src/a.py"], "acceptance_criteria": ["It works"]}
    spec = good(fields)
    assert spec.deliverables == ("src/a.py",)
    assert spec.acceptance_criteria == ("It works", "Logging configuration")
    assert any("Logging configuration" in each for each in warnings(fields))


@pytest.mark.parametrize("given", [5, True, [5], ["a.py", None], {"code": 5}, {"code": [["a.py"]]}], ids=str)
def test_deliverables_of_another_type_are_refused(given: object) -> None:
    assert "E_SPEC_TYPE" in codes({"deliverables": given})


@pytest.mark.parametrize("path", ["../a.py", "/etc/passwd", "src/../../a.py", "C:/a.py", "~/a.py", "src/a?.py"])
def test_an_unsafe_deliverable_is_refused(path: str) -> None:
    assert codes({"deliverables": [path]}) == ["E_SPEC_PATH"]


@pytest.mark.parametrize(
    "path", [".git/config", ".autonomous_runs/x.py", "autopack.db", "./.autonomous_runs/x/", "src/.GIT/hooks/x.sh"]
)
def test_a_protected_deliverable_is_refused_before_any_call(path: str) -> None:
    spec, errors, _ = read({"description": "x", "deliverables": [path]})
    assert spec is None
    assert [each.code for each in errors] == ["E_SPEC_PROTECTED"]
    assert errors[0].details["entry"] in errors[0].message
    assert not errors[0].retryable


def test_a_directory_that_has_something_protected_in_it_can_be_delivered() -> None:
    protection = Protection(["config/production.yaml"])
    assert codes({"deliverables": ["config/"]}, protection=protection) == []
    assert codes({"deliverables": ["a.d"]}, protection=Protection(["a.d/b"])) == ["E_SPEC_PROTECTED"]
    assert codes({"deliverables": ["config/production.yaml"]}, protection=protection) == ["E_SPEC_PROTECTED"]


def test_a_deliverable_must_lie_within_the_scope() -> None:
    scope = {"scope": {"paths": ["src/", "docs/a.md"]}}
    assert codes({**scope, "deliverables": ["src/a.py", "docs/a.md", "docs/"]}) == []
    assert codes({**scope, "deliverables": ["srcs/a.py"]}) == ["E_SPEC_SCOPE"]
    assert codes({**scope, "deliverables": ["tests/"]}) == ["E_SPEC_SCOPE"]


def test_a_deliverable_must_not_be_read_only() -> None:
    scope = {"scope": {"read_only_context": ["src/"]}}
    assert codes({**scope, "deliverables": ["src/a.py"]}) == ["E_SPEC_READ_ONLY"]


@pytest.mark.parametrize(
    ("one", "other"), [("src/a.py", "src/a.py/b.py"), ("src/a.py/b.py", "src/a.py"), ("src/a.py", "src/a.py/")]
)
def test_a_deliverable_cannot_be_both_a_file_and_a_directory(one: str, other: str) -> None:
    assert codes({"deliverables": [one, other]}) == ["E_SPEC_NESTED"]


def test_a_directory_and_a_file_in_it_can_both_be_delivered() -> None:
    assert codes({"deliverables": ["src/", "src/a.py"]}) == []


def test_case_matters_only_where_the_disk_says_so() -> None:
    assert good({"deliverables": ["src/A.py", "src/a.py"]}).deliverables == ("src/A.py", "src/a.py")
    assert good({"deliverables": ["src/A.py", "src/a.py"]}, folds=True).deliverables == ("src/A.py",)


def test_an_id_is_stable_unique_and_may_be_given() -> None:
    assert good(index=0).phase_id == good(index=0).phase_id == "1-add-a-login-form"
    assert good({"description": "日本語"}, index=4).phase_id == "5-phase"
    assert good({"phase_id": " login "}, taken=["other"]).phase_id == "login"
    assert good({"phase_id": 7}).phase_id == "7"
    assert codes({"phase_id": "login"}, taken=["login"]) == ["E_SPEC_ID"]


@pytest.mark.parametrize("given", ["", "a\nb", "x" * 201, [], True], ids=["empty", "lines", "long", "list", "bool"])
def test_an_id_is_one_short_line(given: object) -> None:
    assert codes({"phase_id": given}) == ["E_SPEC_TYPE"]


def test_a_name_is_the_first_line_of_the_description_and_short() -> None:
    assert good({"description": f"{'x' * 100}\nmore"}).name == "x" * 80
    assert good({"name": "Login"}).name == "Login"


def test_the_scope_is_normalised_and_an_empty_one_refused() -> None:
    assert good({"scope": {"paths": ["./src\\app/", "docs/**", "docs/"]}}).scope == ("src/app/", "docs/")
    assert codes({"scope": {"paths": []}}) == ["E_SPEC_SCOPE"]
    assert codes({"scope": {"paths": ["src/../../etc"]}}) == ["E_SPEC_PATH"]
    assert codes({"scope": 5}) == ["E_SPEC_TYPE"]
    assert good({"scope": ["src/"]}).scope == ("src/",)


def test_a_scope_that_is_a_text_is_kept_as_a_note() -> None:
    spec, errors, told = read({"description": "x", "scope": "only the parser", "notes": "mind the tests"})
    assert not errors
    assert spec is not None
    assert spec.scope is None
    assert spec.notes == ("mind the tests", "Scope: only the parser")
    assert len(told) == 1


def test_read_only_context_has_two_forms_and_one_meaning() -> None:
    given = ["src/a.py", {"path": "./docs/", "reason": "style"}, {"path": "src/a.py"}]
    assert good({"scope": {"read_only_context": given}}).read_only == ("src/a.py", "docs/")
    assert codes({"scope": {"read_only_context": [{"reason": "x"}]}}) == ["E_SPEC_TYPE"]
    fields = {"scope": {"read_only_context": ["/etc/passwd"]}}
    assert codes(fields) == []
    assert "context_outside_root" in warnings(fields)[0]


def test_context_and_protected_paths_may_stand_in_the_phase() -> None:
    spec = good({"context_files": ["a.py", "../b"], "protected_paths": ["secrets/"]})
    assert spec.context_files == ("a.py", "../b")
    assert spec.protected_paths == ("secrets/",)
    assert codes({"context_files": "a.py"}) == ["E_SPEC_TYPE"]
    assert codes({"protected_paths": "secrets/"}) == ["E_SPEC_TYPE"]
    assert codes({"protected_paths": ["../x"]}) == ["E_SPEC_PATH"]


@pytest.mark.parametrize("field", ["notes", "depends_on", "context_files", "acceptance_criteria"])
def test_a_list_of_the_wrong_type_is_refused(field: str) -> None:
    assert codes({field: 5}) == ["E_SPEC_TYPE"]
    assert codes({field: [{}, "fine"]}) != []


def test_a_command_is_a_list_or_a_string_without_a_shell() -> None:
    assert good({"test_cmd": ["pytest", "-q"]}).test_cmd == ("pytest", "-q")
    assert good({"scope": {"test_cmd": "pytest -q 'a b'"}}).test_cmd == ("pytest", "-q", "a b")
    assert good({"test_cmd": "pytest", "scope": {"test_cmd": "other"}}).test_cmd == ("pytest",)
    assert codes({"test_cmd": "pytest; rm -rf ."}) == ["E_SPEC_COMMAND"]
    assert codes({"test_cmd": 5}) == ["E_SPEC_TYPE"]
    assert codes({"test_cmd": []}) == ["E_SPEC_COMMAND"]


@pytest.mark.parametrize(
    "field",
    [
        "allow_delete",
        "allow_noop",
        "allow_existing_deliverables",
        "allow_mass_change",
        "allow_symbol_removal",
        "requires_approval",
    ],
)
def test_a_word_that_sounds_like_true_is_not_taken_for_it(field: str) -> None:
    assert codes({field: "false"}) == ["E_SPEC_TYPE"]
    assert getattr(good({field: True}), field) is True
    assert getattr(good({field: False}), field) is False


@pytest.mark.parametrize(
    ("field", "fine", "wrong"),
    [
        ("max_attempts", 1, [0, -1, 1.5, True, "2"]),
        ("max_output_tokens", 5000, [0, "many", 1e9]),
        ("temperature", 0, [-0.1, float("nan"), float("inf"), "hot", 10**400]),
        ("timeout_s", 0.5, [0, -1, float("inf"), False]),
    ],
)
def test_numbers_have_bounds(field: str, fine: float, wrong: list[object]) -> None:
    assert getattr(good({field: fine}), field) == fine
    assert [codes({field: each}) for each in wrong] == [["E_SPEC_TYPE"]] * len(wrong)


def test_a_phase_cannot_wait_for_itself() -> None:
    assert good({"phase_id": "b", "depends_on": ["a", 3]}).depends_on == ("a", "3")
    assert codes({"phase_id": "a", "depends_on": "a"}) == ["E_SPEC_ID"]


def test_unknown_keys_cost_one_warning_each() -> None:
    told = warnings({"deliverable": ["a.py"], "zzz": 1, "scope": {"path": []}, RETRY_KEY: {"attempt": 2}})
    assert len(told) == 3
    assert "did you mean 'deliverables'?" in told[0]
    assert "zzz" in told[1]
    assert "scope.'path'" in told[2]


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = codes({"description": "", "deliverables": ["../a", ".git/x"], "notes": 3, "max_attempts": 0})
    assert sorted(found) == ["E_SPEC_DESCRIPTION", "E_SPEC_PATH", "E_SPEC_PROTECTED", "E_SPEC_TYPE", "E_SPEC_TYPE"]


def test_a_secret_in_a_phase_does_not_appear_in_an_error() -> None:
    _, errors, _ = read({"description": "x", "deliverables": ["/password=hunter2hunter2/a.py"]})
    assert errors
    assert "hunter2" not in " ".join(each.message for each in errors)


def test_halves_of_characters_never_get_into_a_phase() -> None:
    spec = good({"description": "a\ud800b\0c", "notes": ["\udfff"]})
    json.dumps(spec.told(), ensure_ascii=False).encode()
    assert "\0" not in spec.description


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["src/a.py", "../x", "docs/", "low", ".git/config", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=5,
)  # fmt: skip
NAMES = st.sampled_from([
    "description", "category", "task_category", "complexity", "acceptance_criteria", "deliverables", "phase_id", "name",
    "context_files", "protected_paths", "scope", "test_cmd", "notes", "allow_delete", "max_attempts", "model", "temperature",
    "timeout_s", "depends_on", "other", RETRY_KEY,
])  # fmt: skip
SCOPES = st.dictionaries(
    st.sampled_from(["paths", "read_only_context", "test_cmd", "acceptance_criteria", "deliverables", "x"]), JSON
)


@settings(max_examples=150)
@given(st.dictionaries(NAMES, JSON | SCOPES, max_size=8), st.booleans())
def test_whatever_is_given_is_read_or_refused_and_never_changed(fields: dict[str, Any], described: bool) -> None:
    fields = {**fields, "description": "Add it"} if described else fields
    before = copy.deepcopy(fields)
    spec, errors, told = read_spec(fields, index=1, protection=USUAL)
    assert repr(fields) == repr(before)
    assert (spec is None) == bool(errors)
    assert all(error.code.startswith("E_SPEC_") and not error.retryable for error in errors)
    assert all(isinstance(each, str) for each in told)
    if spec is not None:
        assert PhaseSpec.from_told(json.loads(json.dumps(spec.told()))).sha256 == spec.sha256
        assert all(USUAL.match(path) is None for path in spec.deliverables)


def test_a_scope_covers_its_files_and_what_is_below_its_directories() -> None:
    assert in_scope("anything", None)
    assert in_scope("src/a/b.py", ("src/",))
    assert not in_scope("srcs/a.py", ("src/",))
    assert in_scope("SRC/a.py", ("src/",), folds=True)
    assert not in_scope("a.py", ())


def test_what_the_disk_makes_impossible_is_found_before_the_first_call(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "file.py").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "src")
    root = Root(tmp_path)

    def found(*paths: str) -> list[str | None]:
        return [each.path for each in check_on_disk(good({"deliverables": list(paths)}), root).errors]

    assert found("src/new.py", "file.py", "src/", "new/deep/a.py", "fresh/") == []
    wrong = ["link/a.py", "file.py/a.py", "link/"]
    assert found(*wrong) == wrong
    assert check_on_disk(PhaseSpec("1", "x", "x", deliverables=("src",)), root).errors[0].code == "E_SPEC_PATH"
    assert "'src/'" in check_on_disk(PhaseSpec("1", "x", "x", deliverables=("src",)), root).errors[0].message
