"""From the text of an answer to its changes, in every form."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build import answers
from phasegate.apps.build.answers.formats import EXAMPLES, LINE_EDITS, STATEMENTS, TEXT_EDITS
from phasegate.apps.build.answers.parsing import EXCERPT, merge, parse
from phasegate.apps.build.errors import InvalidJSONError, TruncatedResponseError
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import MODES, Answer, Change, Format
from tests.apps.build.answer_cases import edits, entry, files, lines, operation, read, refused
from tests.chaos_build import answers as chaos

FORMATS: tuple[Format, ...] = get_args(Format)
ORIGINALS = {"src/greeting.py": "def greet() -> str:\n    pass\n", "f.txt": "a\nb\n"}
WHOLE: dict[Format, str] = {
    "files": files(entry()),
    "edits": edits(operation("append", content="c\n")),
    "lines": lines(operation("create", "a.py", content="x = 1\n")),
}
DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"

# ---------------------------------------------------------------- forms


@pytest.mark.parametrize("format", FORMATS)
def test_the_example_of_a_form_is_read(format: Format) -> None:
    answer = read(EXAMPLES[format], format, ORIGINALS)
    assert [change.path for change in answer.changes] == ["src/greeting.py"]
    assert 'return "hello"\n' in str(answer.changes[0].content)
    assert answer.warnings == ()


@pytest.mark.parametrize("format", FORMATS)
def test_the_statement_of_a_form_speaks_of_no_other(format: Format) -> None:
    statement = STATEMENTS[format].lower()
    own = {"files": ["new_content"], "edits": ["start_line"], "lines": ["total_operations"]}
    foreign = {"files": ["operations", "start_line", "anchor"], "edits": ["total_operations", "anchor"],
               "lines": ["new_content", "start_line", '"files"', '"path"']}  # fmt: skip
    assert all(word in statement for word in own[format])
    assert [word for word in foreign[format] if word in statement] == []
    assert [word for word in ("diff", "patch", "manifest", "markdown") if word in statement] == []


def test_the_statements_name_every_mode_and_edit_the_parser_knows() -> None:
    assert all(f'"{mode}"' in STATEMENTS[format] for mode in MODES for format in FORMATS)
    assert all(f'"{kind}"' in STATEMENTS["edits"] for kind in LINE_EDITS)
    assert all(f'"{kind}"' in STATEMENTS["lines"] for kind in TEXT_EDITS)
    for format in FORMATS:
        assert all(
            f'"{key}"' in STATEMENTS[format] for key in ("summary", "refusal", "no_changes_reason", "already_satisfied")
        )


@pytest.mark.parametrize("format", FORMATS)
def test_what_stands_around_an_answer_does_not_change_it(format: Format) -> None:
    whole = read(WHOLE[format], format, ORIGINALS)
    for around, method in (
        ("Sure:\n\n{}\n\nbye", "balanced"),
        ("```json\n{}\n```", "fence"),
        ("```\n{}\n```", "fence"),
    ):
        answer = read(around.replace("{}", WHOLE[format]), format, ORIGINALS)
        assert (answer.changes, answer.repair_method) == (whole.changes, method)


def test_reading_touches_no_disk() -> None:
    imports: set[str] = set()
    for path in Path(answers.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imports.add(node.module or "")
            elif isinstance(node, ast.Import):
                imports |= {alias.name for alias in node.names}
            assert not (isinstance(node, ast.Name) and node.id == "open"), path.name
    assert {name.partition(".")[0] for name in imports} <= {
        "__future__", "bisect", "collections", "contextlib", "dataclasses", "itertools", "json", "phasegate", "re", "typing",
    }  # fmt: skip
    # Of the paths it knows only how they are spelt.
    assert {name for name in imports if name.startswith("phasegate.apps.build.paths")} == {
        "phasegate.apps.build.paths.names"
    }


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text", ["", " \n\t", "\ufeff", "\u00a0\u2003"], ids=["nothing", "space", "mark", "other-space"]
)
def test_an_empty_answer_is_an_error(format: Format, text: str) -> None:
    error = refused(text, format)
    assert (error.code, error.category) == ("E_EMPTY_RESPONSE", "model")
    assert refused(text, format, stop="max_tokens").category == "capacity"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        DIFF,
        f"diff --git a/x b/x\nindex 1..2\n{DIFF}",
        "@@ -1,2 +1,2 @@\n-a\n+b\n",
        f"```diff\n{DIFF}```",
        f"Here is the patch:\n\n{DIFF}",
        "diff --git a/t.json b/t.json\n--- a/t.json\n+++ b/t.json\n@@ -1 +1 @@\n+" + files(entry()) + "\n",
        "Here:\n@@ -1 +1 @@\n {\n+" + lines(operation("create", "a", content="")).replace("\n", "\n+") + "\n",
    ],
    ids=[str(number) for number in range(7)],
)
def test_a_diff_is_an_error_whatever_it_is_about(format: Format, text: str) -> None:
    error = refused(text, format)
    assert (error.code, error.category) == ("E_DIFF_RESPONSE", "model")


def test_a_diff_inside_of_a_file_is_none() -> None:
    assert read(files(entry("x.patch", "create", DIFF))).changes[0].content == DIFF
    assert read(f"{DIFF}\nNo, as you wish:\n{files(entry())}").changes[0].path == "a.py"


def test_what_is_no_json_is_told_with_its_place_and_what_stands_around() -> None:
    text = "\n\n" + files(entry(content="x" * 500)).replace('"mode": "create"', '"mode": create')
    error = refused(text)
    assert (error.code, error.details["line"]) == ("E_JSON_INVALID", 3)
    assert text.splitlines()[2][error.details["column"] - 1 :].startswith("create")
    assert "create" in error.details["excerpt"]
    assert len(error.details["excerpt"]) == EXCERPT
    assert error.details["repairs"] == ["control", "commas", "literals", "quotes", "backslashes"]
    assert f"line 3, column {error.details['column']}" in error.message


def test_no_secret_of_an_answer_gets_into_its_error() -> None:
    text = '{"summary": "s", "files": [api_key = "sk-abcdefghijklmnop1234"]}'
    error = refused(text)
    assert "abcdefghijklmnop" not in json.dumps(error.told())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"summary": "a", "summary": "b", "files": []}', "twice"),
        ('{"summary": "a", "files": [], "notes": NaN}', "NaN"),
        ('{"summary": "a", "files": [], "notes": ' + "[" * 50 + "]" * 50 + "}", "levels"),
        ('{"summary": "\\ud800", "files": []}', "surrogate"),
        ('{"summary": "a", "files": [], "notes": 1e999}', "large"),
    ],
    ids=["duplicate", "constant", "depth", "surrogate", "number"],
)
def test_what_others_would_read_otherwise_is_an_error(text: str, word: str) -> None:
    for around in ("{}", "```json\n{}\n```", "Well: {} so"):
        error = refused(around.replace("{}", text, 1) if around != "{}" else text)
        assert error.code == "E_JSON_INVALID"
        assert word in error.message


def test_an_answer_as_long_as_allowed_is_read_and_a_longer_one_is_not() -> None:
    text = files(entry())
    for format, each in WHOLE.items():
        policy = Policy(max_answer_bytes=len(each))
        parse(each, format, policy=policy, originals=ORIGINALS)
        with pytest.raises(InvalidJSONError, match="at most"):
            parse(f"{each} ", format, policy=policy, originals=ORIGINALS)
    assert read(text).changes


def test_prose_without_an_answer_is_an_error() -> None:
    assert refused("I am afraid I cannot do that.").code == "E_JSON_INVALID"
    assert refused('For example ```json\n{"x": 1}\n```').code == "E_JSON_SHAPE"


# ---------------------------------------------------------------- what was cut


@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "Well:\n{}\nbye"], ids=["bare", "fence", "prose"])
@pytest.mark.parametrize("stop", ["complete", "max_tokens", "unknown", "content_filter"])
def test_no_answer_cut_at_any_place_is_taken_for_a_whole(around: str, stop: Any) -> None:
    text = files(entry("a.md", "create", "# A\n```json\n{}\n```\n"), entry("b.py", "modify", 'f("}]}")\n'))
    whole = read(text).changes
    before = around.partition("{}")[0]
    for cut in range(1, len(text)):
        error = refused(before + text[:cut], stop=stop)
        assert isinstance(error, TruncatedResponseError)
        assert (error.code, error.category) == ("E_TRUNCATED", "capacity")
        kept = [Change(each["path"], each["mode"], each["new_content"]) for each in error.details["salvaged"]]
        assert kept == list(whole[: len(kept)])


def test_what_is_complete_before_a_cut_is_kept_and_the_entry_it_fell_into_named() -> None:
    text = files(entry("a.py"), entry("b.py", "delete", None), entry("c.py"), entry("d.py", mode="x"), entry("e.py"))
    cut = text.index('"e.py"') + len('"e.py", "mode": "create", "new_content": "x')
    error = refused(text[:cut])
    assert [each["path"] for each in error.details["salvaged"]] == ["a.py", "b.py", "c.py"]
    assert (error.details["cut"], error.path, error.details["summary"]) == ("e.py", "e.py", "Does it.")
    assert "3 complete entries" in error.message


def test_an_entry_that_ends_with_the_text_is_not_kept() -> None:
    text = files(entry("a.py"), entry("b.py"))
    error = refused(text[: text.index('{"path": "b.py"') - 2])
    assert error.details["salvaged"] == []
    assert error.details["cut"] == "a.py"


def test_nothing_is_kept_of_the_edits_of_a_file() -> None:
    text = edits(operation("append", content="c"), operation("append", content="d"))
    error = refused(text[:-10], "edits", ORIGINALS)
    assert (error.code, error.details["salvaged"]) == ("E_TRUNCATED", [])


def test_a_complete_answer_that_used_up_the_tokens_is_taken_with_a_warning() -> None:
    for text in (files(entry()), f"```json\n{files(entry())}\n```", f"Well: {files(entry())}"):
        answer = read(text, stop="max_tokens")
        assert len(answer.changes) == 1
        assert any("most tokens" in warning for warning in answer.warnings)


def test_an_answer_that_used_up_the_tokens_is_not_repaired() -> None:
    text = files(entry("a.py"), entry("b.py")).replace("}]}", "},]}")
    assert read(text).repair_method == "direct+commas"
    error = refused(text, stop="max_tokens")
    assert error.code == "E_TRUNCATED"
    assert [each["path"] for each in error.details["salvaged"]] == ["a.py", "b.py"]


def test_a_model_that_used_up_the_tokens_before_it_came_to_the_point_was_cut() -> None:
    assert refused("Let me think about", stop="max_tokens").code == "E_TRUNCATED"


def test_a_draft_does_not_stand_in_for_the_answer_that_was_cut() -> None:
    text = f"```json\n{files(entry('draft.py'))}\n```\nBetter:\n```json\n{files(entry())}"
    assert refused(text[:-2]).code == "E_TRUNCATED"
    assert read(text).changes[0].path == "a.py"
    assert any("further" in warning for warning in read(text).warnings)


# ---------------------------------------------------------------- merging


def test_answers_that_continue_one_another_become_one() -> None:
    one = Answer("One.", (Change("a", "create", "1"),), warnings=("w",), repair_method="salvage")
    two = Answer(
        "Two.", (Change("a", "create", "1"), Change("b", "delete")), "nothing left", ("c",), warnings=("w", "v")
    )
    both = merge([one, two])
    assert both.changes == (Change("a", "create", "1"), Change("b", "delete"))
    assert (both.summary, both.already_satisfied, both.warnings) == ("One. Two.", ("c",), ("w", "v"))
    assert (both.no_changes_reason, both.repair_method) == (None, "salvage, direct")


def test_two_different_changes_of_one_file_both_stay_for_the_check() -> None:
    one, two = (Answer(text, (Change("a", "create", text),)) for text in ("x", "y"))
    assert len(merge([one, two]).changes) == 2


@settings(max_examples=50)
@given(st.text(max_size=5), st.lists(st.text(max_size=5), max_size=3))
def test_one_answer_merged_is_itself(summary: str, contents: list[str]) -> None:
    answer = Answer(summary, tuple(Change(f"f{n}", "create", each) for n, each in enumerate(contents)))
    assert merge([answer]) == answer
    assert Answer.from_told(json.loads(json.dumps(answer.told()))) == answer


# ---------------------------------------------------------------- mutated answers


def test_mutated_answers_are_read_as_what_they_say_or_refused() -> None:
    found = chaos.attack(400)
    assert found.wrong == []
    assert found.outcomes["accepted"] > 20
    assert found.outcomes["salvaged"] > 20


def test_the_attack_sees_what_was_cut_and_what_nobody_wrote() -> None:
    text = files(entry(content="x = 1\ny = 2\n"))
    case = chaos.Case("files", text, 0, read(text).changes)
    cut = Change("a.py", "create", "x = 1\ny =")
    assert chaos.foreign(case, text[:-10], [cut], cut=len(text) - 10) is not None
    assert chaos.foreign(case, text, [cut], cut=None) is not None
    assert chaos.foreign(case, text, list(case.changes), cut=None) is None
    edit = Change("src/one.py", "modify", chaos.ORIGINALS["src/one.py"] + "nobody wrote this\n")
    assert chaos.foreign(case, text, [edit], cut=None) is not None
