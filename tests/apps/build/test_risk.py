"""How risky changes are, and what follows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.policy import Policy
from phasegate.apps.build.risk import Risk, assess, auto_approvable, is_delicate, level, names_removed, summary
from phasegate.apps.build.schema import FileFacts, PhaseSpec, Planned

SPEC = PhaseSpec("one", "One", "Do one thing")
AUTOMATIC = Policy(auto_approve=True)


def created(path: str, text: str = "x\n") -> Planned:
    return Planned(path, "create", FileFacts(path), text.encode())


def modified(path: str, text: str = "x\n") -> Planned:
    return Planned(path, "modify", FileFacts(path, "0" * 64, 2, 1), text.encode())


def deleted(path: str) -> Planned:
    return Planned(path, "delete", FileFacts(path, "0" * 64, 2, 1))


def score(*planned: Planned, originals: dict[str, str] | None = None, **more: Any) -> int:
    return assess(planned, originals or {}, more.pop("spec", SPEC), **more).score


@pytest.mark.parametrize(("count", "points"), [(0, 0), (1, 10), (4, 10), (5, 30), (19, 30), (20, 60)])
def test_deleted_files_count_in_tiers(count: int, points: int) -> None:
    assert score(*(deleted(f"{n}.txt") for n in range(count))) == points


@pytest.mark.parametrize(("gone", "points"), [(50, 0), (51, 10), (100, 10), (101, 30), (200, 30), (201, 60)])
def test_deleted_lines_count_in_tiers(gone: int, points: int) -> None:
    assert score(modified("a.txt", ""), originals={"a.txt": "x\n" * gone}) == points


def test_lines_that_are_gone_are_counted_over_all_files() -> None:
    originals = {"a.txt": "x\n" * 300}
    assert score(modified("a.txt", ""), created("b.txt", "x\n" * 300), originals=originals) == 0
    assert score(deleted("a.txt"), originals=originals) == 10 + 60


@pytest.mark.parametrize(("count", "points"), [(20, 0), (21, 20)])
def test_many_files_count(count: int, points: int) -> None:
    assert score(*(created(f"{n}.txt") for n in range(count))) == points


@pytest.mark.parametrize(
    "path",
    [
        "Makefile",
        "pyproject.toml",
        "setup.py",
        "web/package.json",
        "requirements-dev.txt",
        "poetry.lock",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        "Jenkinsfile",
        "app/migrations/0001_first.py",
        "db/schema.sql",
        "src/auth/login.py",
        "src/user_permissions.py",
        "src/OAuthClient.ts",
        "Dockerfile",
        "docker-compose.yml",
        "deploy/run.sh",
        "infra/main.tf",
        "k8s/app.yaml",
        "go.mod",
        "conftest.py",
        "sitecustomize.py",
        "lib/x.pth",
        ".envrc",
        ".vscode/tasks.json",
        ".gitattributes",
    ],
)
def test_delicate_files_are_known_by_their_names(path: str) -> None:
    assert is_delicate(path)
    assert score(modified(path), created("tests/test_x.py")) == 30


@pytest.mark.parametrize(
    "path",
    [
        "src/author.py",
        "docs/auth_api.md",
        "tests/test_auth.py",
        "src/a.py",
        "makefile_notes.txt",
        "src/authors/list.py",
    ],
)
def test_other_files_are_not_delicate(path: str) -> None:
    assert not is_delicate(path)


def test_the_other_factors_have_their_points() -> None:
    assert score(created("a.py")) == 5
    assert score(created("a.py"), created("tests/test_a.py")) == 0
    assert score(created("a.py"), deleted("tests/test_a.py")) == 15
    assert score(created("a.md")) == 0
    assert score(created("a.txt"), symbols_removed=1) == 20
    assert score(created("a.txt"), last_of=True) == 10
    assert score(created("a.txt"), spec=PhaseSpec("one", "One", "x", requires_approval=True)) == 100


def test_a_very_risky_change_comes_to_an_approval() -> None:
    risk = assess([deleted("src/auth/login.py"), *(deleted(f"{n}.py") for n in range(20))], {}, SPEC, symbols_removed=3)
    assert risk.score == 100
    assert risk.level == "approve"
    assert len(risk.reasons) == 5


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0, "proceed"), (29, "proceed"), (30, "notify"), (59, "notify"), (60, "approve"), (100, "approve")],
)
def test_the_limits_belong_to_the_stricter_side(score: int, expected: str) -> None:
    assert level(score, Policy()) == expected
    assert level(score, Policy(notify_from_risk=0, approval_from_risk=0)) == "approve"


@given(
    st.lists(st.sampled_from([created("a.py"), deleted("b.py"), modified("Makefile"), created("tests/test_x.py")]), max_size=40),
    st.integers(0, 400), st.booleans(), st.integers(0, 3), st.booleans(),
)  # fmt: skip
@settings(max_examples=100)
def test_a_score_is_within_its_bounds_and_has_its_reasons(
    planned: list[Planned], lines: int, last_of: bool, removed: int, required: bool
) -> None:
    spec = PhaseSpec("one", "One", "x", requires_approval=required)
    risk = assess(planned, {"b.py": "x\n" * lines}, spec, last_of=last_of, symbols_removed=removed)
    assert 0 <= risk.score <= 100
    assert bool(risk.reasons) == (risk.score > 0)
    assert risk.level == level(risk.score, Policy())
    assert not required or risk.level == "approve"
    assert risk.score == min(100, sum(int(each.rsplit("+", 1)[1][:-1]) for each in risk.reasons))


LOW = Risk()


def test_nothing_is_approved_by_itself_unless_the_policy_says_so() -> None:
    planned = [created("tests/test_a.py"), created("docs/a.md")]
    assert auto_approvable(planned, LOW, AUTOMATIC)
    assert not auto_approvable(planned, LOW, Policy())
    assert not auto_approvable([], LOW, AUTOMATIC)
    assert not auto_approvable(planned, Risk(30, ("x",), "notify"), AUTOMATIC)
    assert auto_approvable(planned, Risk(29, ("x",), "proceed"), AUTOMATIC)


def test_only_short_change_sets_pass_by_themselves() -> None:
    assert auto_approvable([created("docs/a.md", "x\n" * 60), created("docs/b.md", "x\n" * 40)], LOW, AUTOMATIC)
    assert not auto_approvable([created("docs/a.md", "x\n" * 60), created("docs/b.md", "x\n" * 41)], LOW, AUTOMATIC)


@pytest.mark.parametrize(
    "planned",
    [
        created("src/a.py"),
        created("tests/helper.py"),
        created("tests/test_a.txt"),
        created("docs/a.txt"),
        created("a.md"),
        created("tests/models/test_a.py"),
        created("docs/config/a.md"),
        created("tests/.env/test_a.py"),
        created("docs/.git/a.md"),
        created("docs/.github/a.md"),
        modified("docs/a.md"),
        deleted("docs/a.md"),
        created("src/tests/test_a.py"),
        created("tests/migrations/test_a.py"),
        Planned("docs/a.md", "create", FileFacts("docs/a.md", "0" * 64), b"x"),
    ],
    ids=lambda each: f"{each.op} {each.path} {each.before.exists}",
)
def test_nothing_but_new_tests_and_documents_passes_by_itself(planned: Planned) -> None:
    assert not auto_approvable([created("docs/fine.md"), planned], LOW, AUTOMATIC)


def test_names_that_are_gone_are_counted_and_changes_are_told() -> None:
    originals = {"a.py": "def f(): pass\ndef g(): pass\n", "b.py": "x = 1\n"}
    planned = [modified("a.py", "def f(): pass\n"), deleted("b.py"), created("c.py", "y = 1\n")]
    assert names_removed(planned, originals) == 2
    assert summary(planned, originals) == "modify a.py (+0 -1)\ndelete b.py (+0 -1)\ncreate c.py (+1 -0)"
