"""Whether files can be read as what their names say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tracemalloc

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Found
from phasegate.apps.build.validation import syntax

POLICY = Policy()
needs_libyaml = pytest.mark.skipif(not yaml.__with_libyaml__, reason="needs PyYAML with libyaml")

BAD = [
    ("a.py", "def f(:\n"),
    ("a.py", "return 1\n"),
    ("a.py", "x = 1\n\ty = 2\n"),
    ("a.pyi", "class\n"),
    ("a.py", "x = '\\N{no}'\n"),
    ("a.json", ""),
    ("a.json", "{'a': 1}"),
    ("a.json", '{"a": 1,}'),
    ("a.json", '{"a": NaN}'),
    ("a.json", '{"a": 1} x'),
    ("a.json", "[" * 100_000),
    ("A.JSON", "{"),
    ("a.toml", "a = \n"),
    ("a.toml", "[x]\n[x]\n"),
    ("a.toml", "a = 1\na = 2\n"),
    ("a.yaml", "a: [1, 2\nb: 3\n"),
    ("a.yml", 'a: "open\n'),
    ("a.yml", "\ta: 1\n"),
    ("a.yaml", "a:\n    b: 1\n  c: 2\n"),
]
GOOD = [
    ("a.py", ""),
    ("a.py", "x = 1\n"),
    ("a.py", "\ufeffx = 1\n"),
    ("a.py", "x = '\\d'\n"),
    ("a.json", "[]"),
    ("a.json", '\ufeff{"a": 1}\n'),
    ("a.toml", "a = 1\n"),
    ("a.toml", 'a = "x"\r\n'),
    ("a.yaml", "a: 1\nb:\n  - x: 1\n    y: 2\n  - z\n"),
    ("a.yaml", ""),
    ("a.yaml", "a: !Ref b\n---\nb: 'it''s'\n"),
    ("tsconfig.json", "{ // words\n}"),
    (".vscode/settings.json", "{ // words\n}"),
    ("chart/templates/a.yaml", "{{- if .x }}\na: 1\n{{- end }}\n"),
    ("a.txt", "{"),
    ("a.js", "}"),
    ("noext", "("),
]


@pytest.mark.parametrize(("path", "text"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_read_is_an_error(path: str, text: str) -> None:
    (error,) = syntax.check(path, text, POLICY).errors
    assert error.code == "E_SYNTAX"
    assert error.retryable
    assert error.path == path


@pytest.mark.parametrize(("path", "text"), GOOD, ids=range(len(GOOD)))
def test_what_can_be_read_is_none(path: str, text: str) -> None:
    assert syntax.check(path, text, POLICY) == Found()


def test_it_is_a_warning_where_nobody_asks_for_it() -> None:
    found = syntax.check("a.py", "def", Policy(require_parses=False))
    assert found.errors == ()
    assert len(found.warnings) == 1


def test_a_file_that_could_not_be_read_before_is_not_charged() -> None:
    assert syntax.check("a.json", "{ // b\n}", POLICY, before="{ // a\n}").errors == ()
    assert syntax.check("a.json", "{ // b\n}", POLICY, before="{}").errors


def test_nothing_of_the_file_is_executed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not syntax.check("a.py", "print('ran')\nraise SystemExit\n", POLICY).errors
    assert capsys.readouterr().out == ""


@given(st.sampled_from(["a.py", "a.json", "a.toml", "a.yaml"]), st.text(max_size=80))
@settings(max_examples=100)
def test_any_text_is_judged(path: str, text: str) -> None:
    assert len(syntax.check(path, text, POLICY).errors) <= 1


# JSON writes characters beyond these as two halves, which are none in YAML.
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=12,
)  # fmt: skip


@given(VALUES)
@settings(max_examples=50)
def test_what_a_library_writes_as_yaml_is_read_with_and_without_libyaml(value: object) -> None:
    for text in (yaml.safe_dump(value), yaml.safe_dump(value, default_flow_style=True), json.dumps(value)):
        assert syntax.problem("a.yaml", text) is None, text
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(yaml, "__with_libyaml__", False)
            assert syntax.problem("a.yaml", text) is None, text


@pytest.fixture(params=[pytest.param(True, marks=needs_libyaml), False], ids=["libyaml", "python"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML with the C library, and as it is where that is missing."""
    monkeypatch.setattr(yaml, "__with_libyaml__", request.param)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "text",
    [
        "a: |\n  {[\"'\n  x: y: z\nb: 1\n",
        "a: >-\n  it's\n\n  more\n",
        "key: it's fine\n",
        "- a: 1\n  b: 2\n-   c: 3\n    d: 4\n",
        "a: [1,\n  {b: 2}, 'c']\n",
        "# [\na: 1 # {\n",
        "a:\n  b:\n    c: 1\n  d: 2\ne: 3\n",
        'a: "x\\"y"\n',
        "run: |\n    if [ x ]; then\n",
        "a: http://x/y\nb: a#b\n",
        "- - a\n  - b\n- c\n",
        "list:\n- a: 1\n  b: 2\n- a: 3\nother: 1\n",
        "a: !Ref b\n---\nb: 'it''s'\n",
        "a: !!python/object/apply:os.system ['x']\n",
        "a: |\n  x\n  \ty\n",
        "a: 1\r\nb:\r\n  - 2\r\n",
        "a: \U0001f600 # \u00fc\n",
    ],
    ids=range(17),
)
def test_ordinary_yaml_passes(text: str) -> None:
    assert syntax.problem("a.yml", text) is None


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2\nb: 3\n", 2), ("a: {b: 1]\n", 1), ("a: 1\nb: 'open\n", 3), ('a: "open\n', 2), ("\ta: 1\n", 1),
        ("a: 1\nb:\n\t- 2\n", 3), ("a:\n    b: 1\n  c: 2\n", 3), ("a: b: c\n", 1), ("a: 1\n- b\n", 2),
    ],
    ids=range(9),
)  # fmt: skip
def test_mistakes_in_yaml_are_told_with_their_line(text: str, line: int) -> None:
    assert (syntax.problem("a.yaml", text) or "").startswith(f"it is no YAML: line {line}, column ")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("text", ["a: \0\n", "a: \x07\n", "a: \ud800\n"], ids=["zero", "bell", "half"])
def test_characters_that_yaml_cannot_have_are_a_mistake(text: str) -> None:
    cause = syntax.problem("a.yaml", text) or ""
    assert cause.startswith("it is no YAML: ")
    assert cause.isprintable()


def laughs(levels: int) -> str:
    """YAML of a few lines that stands for ten to the power of so many values."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.usefixtures("library")
def test_a_billion_laughs_cost_nothing() -> None:
    tracemalloc.start()
    try:
        assert syntax.problem("a.yaml", laughs(60)) is None
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


DEEP = [
    "[" * 100_000,
    "{" * 100_000,
    "- " * 100_000,
    "[" * 100_000 + "]" * 100_000,
    "\n".join(" " * depth + "a:" for depth in range(2_000)),
    "? " * 100_000,
]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_yaml_of_any_depth_is_a_mistake(text: str) -> None:
    # libyaml may come to its own limit first, with its own words.
    assert re.search("nested too deeply|maximum nesting depth", syntax.problem("a.yaml", text) or "")


@needs_libyaml
@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_yaml_of_any_depth_leaves_the_process_alive(text: str) -> None:
    code = "import sys; from phasegate.apps.build.validation import syntax; syntax.problem('a.yaml', sys.stdin.read())"
    ended = subprocess.run([sys.executable, "-c", code], input=text, text=True, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.usefixtures("library")
def test_moderate_depth_is_no_mistake() -> None:
    assert syntax.problem("a.yaml", "[" * 200 + "]" * 200) is None


def test_the_library_is_imported_only_for_yaml() -> None:
    code = (
        "import sys; from phasegate.apps.build.validation import syntax; syntax.problem('a.json', '{}'); "
        "before = 'yaml' in sys.modules; syntax.problem('a.yaml', ''); print(before, 'yaml' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert ended.stdout == "False True\n"
