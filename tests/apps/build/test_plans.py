"""Plans and policies in files, and the plan of the example with its recorded answers."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.plans import MOST, MOST_BYTES, MOST_VALUES, Plan, policy_of, read_plan, read_policy, read_yaml
from phasegate.apps.build.policy import Policy
from phasegate.errors import InputError
from tests.apps.build.conftest import tree
from tests.apps.build.example import ANSWERS, PLAN, recording, stand_in

DOWNLOADED = PLAN.parents[3] / "demo" / "packages" / "pytimeparse-1.1.8.tar.gz"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plan.yaml"


# --- plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_is_a_list_of_phases_or_an_object_that_has_one(file: Path) -> None:
    file.write_text("- description: One.\n- description: Two.\n")
    assert read_plan(file) == Plan(({"description": "One."}, {"description": "Two."}))
    file.write_text(
        "phases: [{description: One.}]\nrules: [Be brief.]\nprotected_paths: [secrets/]\ncontext_files: [a.py]\n"
        "policy: {max_changes: 3}\ntiers: ['a:small', 'a:large']\n"
    )
    assert read_plan(file) == Plan(
        ({"description": "One."},), ("Be brief.",), ("secrets/",), ("a.py",), {"max_changes": 3}, ("a:small", "a:large")
    )
    file.write_text('{"phases": [{"description": "JSON is YAML"}]}')
    assert read_plan(file).phases == ({"description": "JSON is YAML"},)
    file.write_bytes("\ufeff- description: Übung\n".encode())
    assert read_plan(file).phases == ({"description": "Übung"},)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no plan"),
        ("5", "is no plan"),
        ("phases: 5", "is no plan"),
        ("{}", "is no plan"),
        ("[1, 2, 3]", "phase 1 is no object"),
        ("phases: [{description: x}, null]", "phase 2 is no object"),
        ("phasez: []\nphases: []", "a plan has no 'phasez'"),
        ("1: 2\nphases: []", "a plan has no 1"),
        ("phases: []\nrules: 5", "rules is a list of texts"),
        ("phases: []\nrules: [5]", "rules is a list of texts"),
        ("phases: []\ntiers: small", "tiers is a list of texts"),
        ("phases: [", "cannot be read as YAML"),
        ("- !!python/object/apply:os.system [ls]", "cannot be read as YAML"),
        ("&a [*a]", "with its aliases written out"),
        ("a: 1\n b: 2", "line 2"),
        ("x: 9999-99-99", "cannot be read as YAML"),
    ],
)
def test_what_is_no_plan_is_refused_with_what_is_wrong(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        read_plan(file)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read_are_told_apart(tmp_path: Path, file: Path) -> None:
    for path, said in ((file, "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=said):
            read_yaml(path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_yaml(file)
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(InputError, match="larger than 4 MiB"):
        read_yaml(file)


def test_a_few_lines_that_stand_for_a_million_values_are_refused(file: Path) -> None:
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for name, before in zip("bcdefghijklmnopq", "abcdefghijklmnop", strict=True):
        text += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    file.write_text(text)
    with pytest.raises(InputError, match=f"more than {MOST_VALUES:,} values"):
        read_yaml(file)
    file.write_text("phases:\n- {description: x, test_cmd: &t [true]}\n- {description: y, test_cmd: *t}\n")
    assert read_plan(file).phases[1]["test_cmd"] == [True]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.text()),
    max_leaves=5,
)
KEYS = st.sampled_from(["phases", "rules", "protected_paths", "context_files", "policy", "tiers", "else"])


@settings(max_examples=100)
@given(value=VALUES | st.dictionaries(KEYS, VALUES | st.lists(st.dictionaries(st.text(), VALUES))))
def test_whatever_a_file_says_it_is_a_plan_or_refused(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(value, allow_unicode=False))
    try:
        plan = read_plan(file)
        policy_of(plan.policy)
    except InputError:
        return
    assert all(isinstance(each, dict) for each in plan.phases)
    assert plan.policy is None or isinstance(plan.policy, dict)


# --- policies ---------------------------------------------------------------------------------------------------------


def test_policies_are_laid_over_one_another(file: Path) -> None:
    file.write_text("max_changes: 7\nauto_approve: true\nexecutable_globs: ['*.run']\ntest_timeout: 5\n")
    policy = policy_of(None, {"max_changes": 3, "max_shrink": 1}, read_policy(file))
    assert (policy.max_changes, policy.max_shrink, policy.auto_approve) == (7, 1.0, True)
    assert (policy.executable_globs, policy.test_timeout, policy.max_growth) == (("*.run",), 5.0, Policy().max_growth)
    assert policy_of() == Policy()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_change": 3}, "no limit 'max_change'"),
        ({5: 3}, "no limit 5"),
        ({"max_changes": "3"}, "max_changes cannot be '3'"),
        ({"max_changes": 1.5}, "cannot be 1.5"),
        ({"max_changes": True}, "cannot be True"),
        ({"max_changes": -1}, "cannot be -1"),
        ({"max_changes": None}, "cannot be None"),
        ({"max_changes": MOST + 1}, f"cannot be {MOST + 1}"),
        ({"max_changes": float("inf")}, "cannot be inf"),
        ({"approval_timeout": float("inf")}, "cannot be inf"),
        ({"approval_timeout": float("nan")}, "cannot be nan"),
        ({"auto_approve": 1}, "cannot be 1"),
        ({"auto_approve": "yes"}, "cannot be 'yes'"),
        ({"generated_globs": "*.lock"}, "cannot be '*.lock'"),
        ({"generated_globs": [5]}, "cannot be [5]"),
        ([1], "an object of limits"),
        ("text", "an object of limits"),
    ],
)
def test_limits_that_are_none_are_refused(given: Any, said: str) -> None:
    with pytest.raises(InputError) as raised:
        policy_of({"max_shrink": 0.5}, given)
    assert said in str(raised.value)


def test_what_is_said_of_a_mistyped_limit() -> None:
    with pytest.raises(InputError) as raised:
        policy_of({"max_change": 3})
    assert raised.value.hint == "did you mean 'max_changes'?"


def test_a_policy_file_is_an_object(file: Path) -> None:
    file.write_text("[auto_approve]")
    with pytest.raises(InputError, match="is no policy"):
        read_policy(file)


def test_every_limit_can_be_written_down() -> None:
    limits = {each.name: getattr(Policy(), each.name) for each in fields(Policy)}
    assert policy_of(yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(limits))))) == Policy()


# --- the example ------------------------------------------------------------------------------------------------------

RECORD = "PATH=.venv/bin:$PATH python examples/recordings/record_build.py demo/build examples/data/build/answers"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What comes of the example's plan on the stand-in, and its recordings."""
    folder = tmp_path_factory.mktemp("example")
    root = stand_in(folder / "repository")
    before = tree(root)
    result = recording.record(root, folder / "answers")
    assert tree(root) == before
    return {"result": result, "requests": requests(folder / "answers")}


def requests(folder: Path) -> dict[tuple[str, bool], Any]:
    """Recordings by the phase they are about, and whether the model is told what was wrong."""
    found = {}
    for path in folder.glob("*.json"):
        recorded = json.loads(path.read_text())
        user = recorded["request"]["user"]
        found[user.partition("Id: ")[2].partition("\n")[0], "# Your last attempt failed" in user] = recorded
    return found


def test_the_example_fails_its_tests_once_and_succeeds(recorded: Mapping[str, Any]) -> None:
    result = recorded["result"]
    assert [each["errors"] for each in result["phase_results"]] == [[], [], []]
    assert [(each["phase_id"], each["retry_count"]) for each in result["phase_results"]] == [
        ("sign", 0), ("format", 1), ("readme", 0),
    ]  # fmt: skip
    assert result["phase_results"][2]["approval"]["outcome"] == "approved"
    assert {len(each["health"]["checks"]) > 5 for each in result["phase_results"]} == {True}


def test_the_recordings_are_those_of_the_prompts_as_they_are(recorded: Mapping[str, Any]) -> None:
    """As far as that can be told without the package: the same prompts but for the files, and the same answers."""
    fresh, kept = recorded["requests"], requests(ANSWERS)
    assert fresh.keys() == kept.keys() == {("sign", False), ("format", False), ("format", True), ("readme", False)}
    for name in fresh:
        new, old = fresh[name]["request"], kept[name]["request"]
        assert without_files(new.pop("user")) == without_files(old.pop("user")), f"a prompt has changed: {RECORD}"
        assert new == old, f"a request has changed: {RECORD}"
        texts = [[answer["text"] for answer in each[name]["responses"]] for each in (fresh, kept)]
        assert texts[0] == texts[1], f"an answer has changed: {RECORD}"


def without_files(prompt: str) -> str:
    """A prompt without what depends on which files there are, and on how many tests are in them."""
    shown = prompt.partition("\n# What you are shown\n")[0]
    return re.sub(r"^[.F]+$|^Ran \d+ tests", "", shown, flags=re.MULTILINE)


def test_the_recordings_have_nothing_of_the_package(recorded: Mapping[str, Any]) -> None:
    for each in requests(ANSWERS).values():
        assert "# Files" not in each["request"]["user"]
        assert "Will Roberts" not in json.dumps(each)


@pytest.mark.skipif(not DOWNLOADED.is_file(), reason="make demo-build has not downloaded the package here")
def test_the_recordings_are_found_by_the_prompts_of_the_package(tmp_path: Path) -> None:
    with tarfile.open(DOWNLOADED) as archive:
        archive.extractall(tmp_path, filter="data")
    recording.record(tmp_path / "pytimeparse-1.1.8", tmp_path / "answers")
    names = [sorted(path.name for path in folder.glob("*.json")) for folder in (ANSWERS, tmp_path / "answers")]
    assert names[0] == names[1], f"a prompt has changed: {RECORD}"
    shutil.rmtree(tmp_path / "pytimeparse-1.1.8")
