"""What the model is shown: read safely, chosen by importance, cut to fit, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.build.context.records import ContextFile, Selection
from phasegate.apps.build.context.relevance import relevance, topic, words
from phasegate.apps.build.context.selecting import select
from phasegate.apps.build.context.showing import excerpt, lines_of, numbered
from phasegate.apps.build.context.tokens import estimate
from phasegate.apps.build.errors import ContextError
from phasegate.apps.build.paths.protection import Protection
from phasegate.apps.build.paths.root import Root
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import PhaseSpec

POLICY = Policy()
WINDOW = 200_000


def phase(*deliverables: str, **fields: Any) -> PhaseSpec:
    return PhaseSpec("1", "x", fields.pop("description", "Add login"), deliverables=deliverables, **fields)


def write(root: Path, path: str, content: str | bytes = "x = 1\n") -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content if isinstance(content, bytes) else content.encode())


def chosen(root: Path, spec: PhaseSpec, *listed: str, **options: Any) -> Selection:
    protection = options.pop("protection", None) or Protection(spec.protected_paths)
    options = {"policy": POLICY, "window": WINDOW, **options}
    return select(spec, Root(root), listed, protection, **options)


def shown(selection: Selection) -> dict[str, str]:
    return {each.path: each.shown for each in selection.files}


def of(selection: Selection, path: str) -> ContextFile:
    return next(each for each in selection.files if each.path == path)


def test_deliverables_come_first_then_what_may_be_written_then_what_may_be_read(tmp_path: Path) -> None:
    for name in ("a.py", "src/b.py", "src/c.py", "docs/d.md"):
        write(tmp_path, name)
    spec = phase("src/c.py", scope=("src/",), read_only=("docs/d.md",))
    selection = chosen(tmp_path, spec, "a.py", "src/b.py")
    assert [(each.path, each.priority) for each in selection.files] == [
        ("src/c.py", 1), ("src/b.py", 2), ("a.py", 3), ("docs/d.md", 3),
    ]  # fmt: skip
    assert [each.writable for each in selection.files] == [True, True, False, False]
    assert set(shown(selection).values()) == {"full"}


def test_protected_files_may_be_read_but_count_as_read_only(tmp_path: Path) -> None:
    write(tmp_path, "secrets/plan.txt", "plan")
    selection = chosen(tmp_path, phase(protected_paths=("secrets/",)), "secrets/plan.txt")
    assert (of(selection, "secrets/plan.txt").priority, of(selection, "secrets/plan.txt").text) == (3, "plan")


@pytest.mark.parametrize(
    "path", [".env", ".env.local", "certs/a.pem", "b.key", "id_rsa", "id_rsa.pub", ".git/config", "state/history.db"]
)
def test_files_that_may_hold_secrets_are_skipped_with_a_warning(tmp_path: Path, path: str) -> None:
    write(tmp_path, path, "hunter2")
    protection = Protection(None, floor=["state/history.db"])
    selection = chosen(tmp_path, phase(path), path, protection=protection)
    assert selection.files == ()
    assert path not in selection.names
    assert selection.warnings[0].startswith(f"context_secret: {path}")


@pytest.mark.parametrize("entry", ["../x.py", "/etc/passwd", "C:/x", "~/x", "src/../../x"])
def test_what_is_outside_is_not_read_and_no_error(tmp_path: Path, entry: str) -> None:
    write(tmp_path, "a.py")
    selection = chosen(tmp_path, phase(), entry, "a.py")
    assert list(shown(selection)) == ["a.py"]
    assert [each.split(":")[0] for each in selection.warnings] == ["context_outside_root"]


def test_links_are_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("hunter2")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "file.txt").symlink_to(outside / "secret.txt")
    (root / "real").mkdir()
    (root / "real" / "link.txt").symlink_to(outside / "secret.txt")
    selection = chosen(root, phase(), "link/secret.txt", "file.txt", "link", "link/**", "real/")
    assert selection.files == ()
    assert selection.names == ()
    assert {each.split(":")[0] for each in selection.warnings} == {"context_unreadable"}


def test_an_entry_is_read_once_however_it_is_spelled(tmp_path: Path) -> None:
    write(tmp_path, "src/a.py")
    selection = chosen(tmp_path, phase("src/a.py"), "src/a.py", "./src//a.py", "src\\a.py")
    assert shown(selection) == {"src/a.py": "full"}


def test_a_directory_is_its_files_by_name_and_with_stars_all_below(tmp_path: Path) -> None:
    for name in ("src/b.py", "src/a.py", "src/deep/c.py", "src/.git/x"):
        write(tmp_path, name)
    assert list(shown(chosen(tmp_path, phase(), "src"))) == ["src/a.py", "src/b.py"]
    assert list(shown(chosen(tmp_path, phase(), "src/"))) == ["src/a.py", "src/b.py"]
    assert set(shown(chosen(tmp_path, phase(), "src/**"))) == {"src/a.py", "src/b.py", "src/deep/c.py"}


def test_of_a_large_directory_forty_files_are_taken(tmp_path: Path) -> None:
    for number in range(41):
        write(tmp_path, f"src/{number:02}.py")
    selection = chosen(tmp_path, phase(), "src/")
    assert len(selection.files) == 40
    assert "src/40.py" not in shown(selection)
    assert selection.warnings[0].startswith("context_directory_cut: src/")


def test_a_missing_file_is_told_to_the_model_if_it_may_be_written(tmp_path: Path) -> None:
    spec = phase("src/new.py", scope=("src/",))
    selection = chosen(tmp_path, spec, "src/other.py", "docs/gone.md")
    assert selection.missing == ("src/new.py", "src/other.py")
    assert [each for each in selection.warnings if each.startswith("context_missing")] == [
        "context_missing: docs/gone.md: there is no such file"
    ]
    assert chosen(tmp_path, phase(), "gone.py").missing == ()


@pytest.mark.parametrize("data", [b"\0\1\2", b"\xff\xfe\xfa", b"caf\xe9\n", b"text" * 3_000 + b"\0"])
def test_what_is_no_text_is_shown_by_name_only(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, "a.bin", data)
    file = of(chosen(tmp_path, phase(), "a.bin"), "a.bin")
    assert (file.shown, file.text, file.original, file.facts.size) == ("name", "", None, len(data))


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfa\r\nb\r\n", "a\nb\n".encode("utf-16"), b"a\nb\n"], ids=["mark", "utf-16", "plain"]
)
def test_texts_are_decoded_and_have_plain_line_feeds(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, "a.txt", data)
    file = of(chosen(tmp_path, phase(), "a.txt"), "a.txt")
    assert (file.text, file.original, file.facts.lines) == ("a\nb\n", "a\nb\n", 2)


def test_mixed_line_ends_stay(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", b"a\r\nb\n")
    assert of(chosen(tmp_path, phase(), "a.txt"), "a.txt").text == "a\r\nb\n"


def test_an_empty_file_is_shown_in_full(tmp_path: Path) -> None:
    write(tmp_path, "pkg/__init__.py", "")
    file = of(chosen(tmp_path, phase("pkg/__init__.py")), "pkg/__init__.py")
    assert (file.shown, file.text, file.original) == ("full", "", "")


def test_of_a_large_file_only_the_ends_are_shown(tmp_path: Path) -> None:
    write(tmp_path, "big.txt", "".join(f"line {n}\n" for n in range(150_000)))
    file = of(chosen(tmp_path, phase(), "big.txt"), "big.txt")
    assert (file.shown, file.original, file.facts.lines) == ("excerpt", None, 150_000)
    assert "line 199\n" in file.text
    assert "line 200\n" not in file.text
    assert "line 149950\n" in file.text
    assert "line 149949\n" not in file.text


def test_a_deliverable_that_is_larger_than_any_answer_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "big.txt", "x\n" * 600_000)
    with pytest.raises(ContextError, match=r"big\.txt \(1200000 bytes\)") as caught:
        chosen(tmp_path, phase("big.txt"))
    assert caught.value.code == "E_CONTEXT_OVERFLOW"
    assert shown(chosen(tmp_path, phase("big.txt", allow_existing_deliverables=True))) == {"big.txt": "excerpt"}


def test_without_listed_files_those_of_the_scope_are_taken(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/b.py", "lib/c.py", "docs/d.md"):
        write(tmp_path, name)
    spec = phase("src/a.py", scope=("src/", "lib/c.py"), read_only=("docs/",))
    assert set(shown(chosen(tmp_path, spec))) == {"src/a.py", "src/b.py", "lib/c.py", "docs/d.md"}
    assert set(shown(chosen(tmp_path, spec, "lib/c.py"))) == {"src/a.py", "lib/c.py", "docs/d.md"}
    own = phase("src/a.py", context_files=("src/b.py",))
    assert set(shown(chosen(tmp_path, own))) == {"src/a.py", "src/b.py"}


def test_no_room_for_the_phase_itself_means_no_call(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        chosen(tmp_path, phase(), window=1_000)
    assert (caught.value.code, caught.value.retryable) == ("E_CONTEXT_OVERFLOW", False)
    with pytest.raises(ContextError):
        chosen(tmp_path, phase(description="word " * 9_000), window=20_000)


def test_deliverables_that_do_not_fit_are_named_with_their_sizes(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "value = 1  \n" * 900)
    write(tmp_path, "b.py", "value = 1  \n" * 400)
    with pytest.raises(ContextError) as caught:
        chosen(tmp_path, phase("a.py", "b.py"), window=15_000)
    assert "a.py (10800 bytes), b.py (4800 bytes)" in caught.value.message
    assert [each["path"] for each in caught.value.details["files"]] == ["a.py", "b.py"]
    assert not caught.value.retryable


def test_long_deliverables_that_do_not_fit_are_to_be_edited_by_lines(tmp_path: Path) -> None:
    write(tmp_path, "long.py", "".join(f"value_{n} = {n}\n" for n in range(6_000)))
    write(tmp_path, "read.py", "y = 2\n")
    assert chosen(tmp_path, phase("long.py")).format == "files"
    selection = chosen(tmp_path, phase("long.py", read_only=("read.py",)), window=40_000)
    assert selection.format == "edits"
    file = of(selection, "long.py")
    assert file.shown == "numbered"
    assert file.text.startswith("   1| value_0 = 0\n")
    assert "[lines 101 to 5900 are not shown]\n" in file.text
    assert selection.originals["long.py"].count("\n") == 6_000
    assert of(selection, "read.py").text == "y = 2\n"


def test_a_long_file_whose_rewriting_would_not_fit_into_an_answer_is_edited_by_lines(tmp_path: Path) -> None:
    write(tmp_path, "long.py", "".join(f"value_{n} = {n}\n" for n in range(12_000)))
    selection = chosen(tmp_path, phase("long.py"))
    assert (selection.format, selection.exceeded) == ("edits", False)


def test_many_deliverables_are_asked_for_line_by_line(tmp_path: Path) -> None:
    assert chosen(tmp_path, phase(*(f"{n}.py" for n in range(4)))).format == "files"
    assert chosen(tmp_path, phase(*(f"{n}.py" for n in range(5)))).format == "lines"
    many = phase(*(f"{n}.py" for n in range(40)))
    assert chosen(tmp_path, many).exceeded
    assert not chosen(tmp_path, many, only=["1.py"]).exceeded
    assert chosen(tmp_path, many, only=["1.py"]).format == "files"


def test_a_file_to_read_that_does_not_fit_is_cut_or_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "x = 1\n")
    write(tmp_path, "long.py", "".join(f"value_{n} = {n}\n" for n in range(9_000)))
    write(tmp_path, "wide.py", "y" * 200_000)
    selection = chosen(tmp_path, phase("a.py", read_only=("long.py", "wide.py")), window=30_000)
    assert shown(selection) == {"a.py": "full", "long.py": "excerpt", "wide.py": "omitted"}
    text = of(selection, "long.py").text
    assert "value_199 = 199\n[lines 201 to 8950 are not shown]\nvalue_8950 = 8950\n" in text
    assert (selection.report["cut"], selection.report["omitted"]) == (["long.py"], ["wide.py"])
    assert of(selection, "long.py").original is None
    assert "long.py" not in selection.originals


def test_within_a_class_what_has_to_do_with_the_phase_comes_first_then_the_smaller(tmp_path: Path) -> None:
    write(tmp_path, "zebra/login.py", "x = 1\n")
    write(tmp_path, "a.py", "def logout(): ...\n# session of the login\n")
    write(tmp_path, "b.py", "x = 11\n")
    write(tmp_path, "c.py", "x = 1\n")
    write(tmp_path, "d.py", "x = 1\n")
    selection = chosen(tmp_path, phase(description="Add login"), "a.py", "b.py", "d.py", "c.py", "zebra/login.py")
    assert [each.path for each in selection.files] == ["zebra/login.py", "a.py", "d.py", "c.py", "b.py"]


def test_what_the_model_asked_for_is_shown_before_everything_else_that_may_be_written(tmp_path: Path) -> None:
    write(tmp_path, "login.py", "def login(): ...\n")
    write(tmp_path, "odd.py", "x = 1\n")
    selection = chosen(tmp_path, phase(), "login.py", extra=["odd.py", "gone.py"])
    assert [each.path for each in selection.files] == ["odd.py", "login.py"]
    assert not any("gone" in each for each in selection.warnings)


def test_a_long_file_that_the_model_asked_for_is_numbered_when_it_does_not_fit(tmp_path: Path) -> None:
    write(tmp_path, "long.py", "".join(f"value_{n} = {n}\n" for n in range(6_000)))
    selection = chosen(tmp_path, phase("new.py"), window=40_000, extra=["long.py"])
    assert (selection.format, shown(selection)) == ("edits", {"long.py": "numbered"})


def test_half_the_room_is_used_after_the_provider_complained(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path, f"{number:02}.py", "value = 1\n" * 1_000)
    listed = [f"{number:02}.py" for number in range(30)]
    whole = chosen(tmp_path, phase(), *listed, window=100_000)
    half = chosen(tmp_path, phase(), *listed, window=100_000, share=0.5)
    assert half.available == whole.available // 2
    assert len(half.of("full")) < len(whole.of("full"))
    assert half.used <= half.available


def test_a_call_that_is_too_large_is_reduced_with_a_warning(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, f"{number}.txt", "word\n" * 100_000)
    selection = chosen(tmp_path, phase(), *(f"{number}.txt" for number in range(4)))
    assert [each for each in selection.warnings if each.startswith("context_reduced")]
    assert selection.report["tier"] == 200_000


def test_names_of_other_files_are_told_without_those_that_change_by_themselves(tmp_path: Path) -> None:
    for name in ("a.py", "src/b.py", ".autonomous_runs/state.json", ".venv/x.py", "node_modules/y.js", ".env", "k.pem"):
        write(tmp_path, name)
    selection = chosen(tmp_path, phase("a.py"))
    assert selection.names == ("src/b.py",)
    write(tmp_path, ".autonomous_runs/more.json")
    assert chosen(tmp_path, phase("a.py")) == selection


def test_the_report_says_what_was_sent_and_is_json(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    selection = chosen(tmp_path, phase("a.py", "new.py"))
    report = json.loads(json.dumps(dict(selection.report)))
    assert report["files"][0]["path"] == "a.py"
    assert report["files"][0]["sha256"] == selection.seen["a.py"][0].sha256
    assert (report["missing"], report["used"], report["available"]) == (["new.py"], selection.used, selection.available)
    assert report["output_tokens"] == selection.output_tokens
    assert report["estimated_output"] == selection.estimated_output


def test_a_deliverable_that_is_no_text_costs_a_warning(tmp_path: Path) -> None:
    write(tmp_path, "logo.png", b"\x89PNG\0")
    selection = chosen(tmp_path, phase("logo.png"))
    assert shown(selection) == {"logo.png": "name"}
    assert selection.warnings[0].startswith("context_binary: logo.png")


def test_words_are_what_may_tell_something() -> None:
    assert words("The userLogin of auth_service.py, and 2FA für alle") == {
        "user",
        "login",
        "auth",
        "service",
        "für",
        "alle",
    }
    spec = phase("src/auth/session.py", description="Add a login", acceptance_criteria=("Sessions expire",))
    assert topic(spec) == {"add", "login", "auth", "session", "sessions", "expire"}


def test_relevance_counts_words_of_the_path_thrice_and_of_the_beginning_once() -> None:
    about = frozenset({"login", "session", "mail"})
    assert relevance("src/login_session.py", "", about) == 6
    assert relevance("src/x.py", "login login mail", about) == 2
    assert relevance("src/x.py", " " * 6_000 + "login", about) == 0
    assert relevance("login.mail", "", about) == 3


def test_an_excerpt_is_the_first_200_and_the_last_50_lines() -> None:
    lines = [f"{n}\n" for n in range(1, 252)]
    assert excerpt("".join(lines[:250]), POLICY) is None
    cut = excerpt("".join(lines), POLICY)
    assert cut == "".join([*lines[:200], "[lines 201 to 201 are not shown]\n", *lines[201:]])


def test_numbered_lines_count_from_one_and_leave_out_nothing_of_a_short_file() -> None:
    assert numbered("a\n\n  b", frozenset()) == "1| a\n2| \n3|   b\n"
    assert numbered("", frozenset()) == ""
    text = "".join(f"x{n}\n" for n in range(299))
    assert len(numbered(text, frozenset()).splitlines()) == 299


def test_of_a_long_numbered_file_the_ends_and_what_matters_are_shown() -> None:
    lines = [f"x{n}" for n in range(1, 1_001)]
    lines[499] = "def login(): ..."
    text = "\n".join(lines)
    result = numbered(text, frozenset({"login"})).splitlines()
    assert result[0] == "   1| x1"
    assert result[99:101] == [" 100| x100", "[lines 101 to 489 are not shown]"]
    assert " 500| def login(): ..." in result
    assert result[101] == " 490| x490"
    assert result[-101] == "[lines 511 to 900 are not shown]"
    assert result[-1] == "1000| x1000"
    assert len([each for each in result if each.startswith("[")]) == 2


def test_lines_end_at_line_feeds_only() -> None:
    assert lines_of("a\x0cb\u2028c\rd\ne") == ["a\x0cb\u2028c\rd", "e"]
    assert lines_of("") == []


def test_what_was_chosen_takes_what_was_counted(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "value = 1\n" * 100)
    file = of(chosen(tmp_path, phase("a.py")), "a.py")
    assert file.tokens > estimate(file.text, "a.py")
