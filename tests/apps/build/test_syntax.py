"""Whether files can be read as what their names say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Found
from phasegate.apps.build.validation import syntax, yaml_scan

POLICY = Policy()

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


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3), max_leaves=12,
)  # fmt: skip


@given(VALUES)
@settings(max_examples=60)
def test_the_scan_without_a_library_refuses_nothing_that_is_yaml(value: object) -> None:
    yaml = pytest.importorskip("yaml")
    for text in (yaml.safe_dump(value), yaml.safe_dump(value, default_flow_style=True), json.dumps(value)):
        assert yaml_scan.problem(text) is None, text


@pytest.mark.parametrize(("path", "text"), [case for case in BAD if case[0].startswith("a.y")], ids=range(4))
def test_without_a_library_the_commonest_mistakes_are_seen(
    path: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syntax, "_yaml_library", lambda: None)
    assert [each.code for each in syntax.check(path, text, POLICY).errors] == ["E_SYNTAX"]


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
    ],
    ids=range(12),
)
def test_without_a_library_ordinary_files_pass(text: str) -> None:
    assert yaml_scan.problem(text) is None
