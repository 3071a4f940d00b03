"""Whatever a repository holds and however small the window is: what is chosen fits, and is the same every time."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.build.context.records import Selection
from phasegate.apps.build.context.selecting import select
from phasegate.apps.build.context.tokens import estimate
from phasegate.apps.build.errors import ContextError
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.prompting.rendering import Prompt, compose
from phasegate.apps.build.schema import PhaseSpec

NAMES = ["a.py", "src/b.py", "src/c.md", "docs/d.txt", "e.bin", "f.json", "login.py"]


@dataclass(frozen=True)
class Case:
    files: dict[str, bytes]
    spec: PhaseSpec
    listed: list[str]
    extra: list[str]
    window: int
    share: float


@st.composite
def cases(draw: st.DrawFn) -> Case:
    line = st.sampled_from(["value = 1\n", "日本語\n", "login\r\n", "x" * 300 + "\n", "\n", "\0"])
    content = st.builds(lambda text, times: (text * times).encode(), line, st.integers(0, 800))
    files = draw(st.dictionaries(st.sampled_from(NAMES), content, max_size=7))
    some = st.lists(st.sampled_from([*NAMES, "gone.py", "src/", "../x", ".env", "docs/**"]), max_size=5)
    deliverables = draw(st.lists(st.sampled_from([*NAMES, "new.py", "docs/"]), unique=True, max_size=6))
    scope = draw(st.none() | st.just(("src/", "a.py")))
    spec = PhaseSpec(
        "1", "x", draw(st.sampled_from(["Add login", "word " * 300])), deliverables=tuple(deliverables), scope=scope,
        read_only=tuple(draw(st.lists(st.sampled_from(NAMES), max_size=2))),
    )  # fmt: skip
    window = draw(st.integers(1, 60_000) | st.integers(60_000, 400_000))
    return Case(files, spec, draw(some), draw(some), window, draw(st.sampled_from([1.0, 0.5, 0.25])))


def made(case: Case, root: Path) -> Selection | ContextError:
    try:
        return select(
            case.spec, Root(root), case.listed, Protection(None), Policy(full_text_max_lines=100), window=case.window,
            share=case.share, extra=case.extra,
        )  # fmt: skip
    except ContextError as error:
        return error


def filled(case: Case, place: str) -> Path:
    root = Path(place)
    for name, content in case.files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    return root


@settings(max_examples=60)
@given(cases())
def test_a_selection_fits_has_deliverables_first_and_is_always_the_same(case: Case) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = filled(case, place)
        found, again = made(case, root), made(case, root)
    if isinstance(found, ContextError):
        assert isinstance(again, ContextError)
        assert (again.message, again.details, found.retryable) == (found.message, found.details, False)
        return
    assert found == again
    assert 0 <= found.used <= found.available
    assert found.available + found.output_tokens < case.window
    assert sum(each.tokens for each in found.files) <= found.used
    priorities = [each.priority for each in found.files]
    wanted = [each for each in found.files if each.priority == 1]
    assert priorities[: len(wanted)] == [1] * len(wanted)
    assert {each.path for each in wanted} == set(case.spec.deliverables) & set(case.files)
    assert all(each.shown in ("full", "numbered", "name") for each in wanted)
    for each in found.files:
        if each.shown == "full":
            assert each.text == each.original == case.files[each.path].decode().replace("\r\n", "\n")
        assert (each.original is not None) == (each.shown in ("full", "numbered"))
    assert set(found.missing).isdisjoint(case.files)


@settings(max_examples=60)
@given(cases())
def test_a_prompt_and_its_answer_fit_into_the_window(case: Case) -> None:
    def composed() -> tuple[Selection, Prompt]:
        return compose(
            case.spec, Root(root), case.listed, Protection(None), Policy(full_text_max_lines=100), window=case.window,
            share=case.share, extra=case.extra, delimiter_seed="seed", hints=["mind the tests"],
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as place:
        root = filled(case, place)
        try:
            selection, prompt = composed()
        except ContextError:
            return
        assert composed() == (selection, prompt)
    # Files whose kind counts for less than plain text are taken as they count.
    less = sum(max(0, estimate(each.text) - estimate(each.text, each.path)) for each in selection.files)
    assert prompt.tokens - less + selection.output_tokens <= case.window
