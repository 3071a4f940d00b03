"""Estimates of tokens, the room for an answer, and the batches of a long one."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.context.batching import batches
from phasegate.apps.build.context.kinds import kind
from phasegate.apps.build.context.tokens import call_estimate, estimate, output_budget, tier
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Complexity, PhaseSpec

POLICY = Policy()
WIDE = 1_000_000


def phase(*deliverables: str, category: str = "feature", complexity: Complexity = "low") -> PhaseSpec:
    return PhaseSpec("1", "x", "x", category=category, complexity=complexity, deliverables=deliverables)


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        (None, 100), ("a.py", 120), ("a.ts", 120), ("a.js", 110), ("a.html", 110), ("a.sql", 110), ("a.json", 100),
        ("a.css", 100), ("a.yaml", 95), ("a.yml", 95), ("a.toml", 95), ("a.md", 90), ("a.txt", 80), ("a.go", 100),
        ("src/A.PY", 120), ("py", 100), ("a.py/b", 100),
    ],
)  # fmt: skip
def test_four_characters_are_a_token_more_or_less_by_the_ending(path: str | None, tokens: int) -> None:
    assert estimate("x" * 400, path) == tokens


def test_tokens_are_rounded_up_and_other_scripts_count_double() -> None:
    assert [estimate("x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert estimate("x", "a.txt") == 1
    assert estimate("日本語の") == 2
    assert estimate("日本語の" + "x" * 8) == 4


def test_a_tokenizer_of_the_caller_counts_instead() -> None:
    assert estimate("one two three", "a.py", tokenizer=lambda text: len(text.split())) == 3


@settings(max_examples=300)
@given(st.text(), st.text(), st.sampled_from([None, "a.py", "a.md", "a.txt", "a.yml"]))
def test_a_longer_text_never_has_fewer_tokens(text: str, more: str, path: str | None) -> None:
    assert estimate(text, path) <= estimate(text + more, path) <= estimate(text, path) + estimate(more, path)


def test_a_whole_call_has_fixed_parts_unless_the_prompt_was_measured() -> None:
    assert call_estimate("", []) == 13_530
    assert call_estimate("x" * 400, [1_000, 2_000]) == 16_940
    assert call_estimate("x" * 400, [1_000], prompt=700) == 10_670


@pytest.mark.parametrize(
    ("estimated", "tokens", "fits"),
    [
        (0, 50_000, True), (42_500, 50_000, True), (42_501, 100_000, True), (85_000, 100_000, True),
        (85_001, 150_000, True), (127_501, 200_000, True), (170_000, 200_000, True), (170_001, 200_000, False),
    ],
)  # fmt: skip
def test_the_tier_is_the_smallest_that_is_filled_to_85_per_cent(estimated: int, tokens: int, fits: bool) -> None:
    found = tier(estimated, WIDE)
    assert (found.tokens, found.fits) == (tokens, fits)


@given(st.integers(0, 400_000), st.integers(1, 300_000))
def test_no_tier_is_larger_than_the_window(estimated: int, window: int) -> None:
    found = tier(estimated, window)
    assert found.tokens <= window
    assert found.fits == (estimated <= found.tokens * 0.85)


@pytest.mark.parametrize(
    ("category", "complexity", "tokens"),
    [
        ("feature", "low", 8_192), ("feature", "medium", 12_288), ("feature", "high", 16_384),
        ("docs", "low", 4_096), ("tests", "low", 6_144), ("docs", "medium", 12_288),
    ],
)  # fmt: skip
def test_the_least_room_for_an_answer_is_by_complexity_and_category(
    category: str, complexity: Complexity, tokens: int
) -> None:
    budget = output_budget(phase(category=category, complexity=complexity), {}, POLICY, window=WIDE)
    assert (budget.tokens, budget.estimated) == (tokens, 0)


@pytest.mark.parametrize(
    ("path", "new", "changed"),
    [
        ("src/a.py", 2_000, 700), ("ui/a.tsx", 2_800, 1_100), ("tests/test_a.py", 1_400, 600), ("docs/a.md", 500, 400),
        ("pyproject.toml", 1_000, 500),
    ],
)  # fmt: skip
def test_each_deliverable_adds_what_its_kind_usually_takes(path: str, new: int, changed: int) -> None:
    assert output_budget(phase(path), {}, POLICY, window=WIDE).estimated == ceil(new * 1.2)
    assert output_budget(phase(path), {path: 10}, POLICY, window=WIDE, format="lines").estimated == ceil(changed * 1.2)


def test_a_file_that_is_written_whole_takes_at_least_what_it_has() -> None:
    whole = output_budget(phase("a.py"), {"a.py": 20_000}, POLICY, window=WIDE)
    edited = output_budget(phase("a.py"), {"a.py": 20_000}, POLICY, window=WIDE, format="edits")
    assert (whole.estimated, whole.tokens) == (ceil(24_000 * 1.2), ceil(24_000 * 1.2))
    assert (edited.estimated, edited.tokens) == (840, 8_192)


def test_files_that_are_no_deliverables_but_will_be_changed_count_too() -> None:
    assert output_budget(phase("a.py"), {"b.py": 10_000}, POLICY, window=WIDE).estimated == ceil(14_000 * 1.2)


def test_the_buffer_grows_with_what_is_uncertain() -> None:
    def estimated(*paths: str, category: str = "feature", context: int = 0) -> int:
        spec = phase(*paths, category=category)
        return output_budget(spec, {}, POLICY, window=WIDE, context_files=context).estimated

    assert estimated("a.py") == 2_400
    assert estimated("a.py", "src/") == ceil(3_000 * 1.4)
    assert estimated(*(f"{n}.py" for n in range(7))) == 16_800
    assert estimated(*(f"{n}.py" for n in range(8))) == 25_600
    assert estimated("a.md", context=4) == 600
    assert estimated("a.md", context=5) == 1_100
    assert estimated("a.py", category="docs", context=5) == 4_400
    assert estimated("a.py", context=5) == 2_400


def test_room_is_capped_by_the_policy_and_by_half_the_window() -> None:
    spec = phase(*(f"{n}.py" for n in range(40)))
    wide = output_budget(spec, {}, POLICY, window=WIDE)
    assert (wide.tokens, wide.exceeded) == (64_000, True)
    assert output_budget(spec, {}, POLICY, window=20_000).tokens == 10_000
    assert not output_budget(phase("a.py"), {}, POLICY, window=WIDE).exceeded
    assert output_budget(phase("a.py"), {}, POLICY, window=1).tokens == 1


def test_a_phase_that_says_how_much_it_wants_gets_that() -> None:
    spec = PhaseSpec("1", "x", "x", max_output_tokens=3_000, deliverables=tuple(f"{n}.py" for n in range(20)))
    assert output_budget(spec, {}, POLICY, window=WIDE).tokens == 3_000
    assert output_budget(spec, {}, POLICY, window=4_000).tokens == 2_000


def test_after_a_cut_answer_there_is_a_quarter_more() -> None:
    growth = POLICY.growth_after_truncation
    assert output_budget(phase(), {}, POLICY, window=WIDE, growth=growth).tokens == 10_240
    assert output_budget(phase(), {}, POLICY, window=17_000, growth=growth).tokens == 8_500


def test_the_room_for_a_batch_is_that_of_its_files() -> None:
    spec = phase(*(f"{n}.py" for n in range(40)))
    budget = output_budget(spec, {}, POLICY, window=WIDE, only=["1.py", "2.py"])
    assert (budget.estimated, budget.exceeded) == (4_800, False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/a.py", "backend"), ("a.sql", "backend"), ("src/util.ts", "backend"), ("frontend/util.ts", "frontend"),
        ("a.vue", "frontend"), ("tests/a.py", "test"), ("src/test_a.py", "test"), ("a.test.ts", "test"),
        ("a_test.go", "test"), ("tests/", "test"), ("docs/", "doc"), ("docs/conf.py", "doc"), ("README", "doc"),
        ("a.MD", "doc"), ("Makefile", "config"), ("a.yml", "config"), ("Dockerfile", "config"), ("src/", "other"),
        ("a.bin", "other"), ("", "other"), ("/", "other"),
    ],
)  # fmt: skip
def test_a_name_tells_what_a_file_is_for(path: str, expected: str) -> None:
    assert kind(path) == expected


def test_batches_are_programs_then_tests_then_documents() -> None:
    given = ["docs/a.md", "tests/test_a.py", *(f"src/{n}.py" for n in range(7)), "tests/test_b.py", "setup.cfg"]
    assert batches(given, POLICY) == [
        [f"src/{n}.py" for n in range(5)],
        ["src/5.py", "src/6.py", "setup.cfg"],
        ["tests/test_a.py", "tests/test_b.py"],
        ["docs/a.md"],
    ]
    assert batches([], POLICY) == []


PATHS = st.lists(
    st.sampled_from(["src/a.py", "b.ts", "tests/test_c.py", "docs/d.md", "e.toml", "f/", "g"]), max_size=30
)


@given(PATHS, st.integers(1, 7))
def test_batches_hold_everything_once_and_are_never_too_large(paths: list[str], size: int) -> None:
    made = batches(paths, Policy(batch_size=size))
    assert sorted(each for batch in made for each in batch) == sorted(paths)
    assert all(0 < len(batch) <= size for batch in made)
    order = [{"test": 1, "doc": 2}.get(kind(each), 0) for batch in made for each in batch]
    assert order == sorted(order)
    assert all(len({{"test": 1, "doc": 2}.get(kind(each), 0) for each in batch}) == 1 for batch in made)
