from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.build.applying.staging import plan
from phasegate.apps.build.errors import ContentError
from phasegate.apps.build.paths.reading import read_content
from phasegate.apps.build.policy import Policy
from phasegate.apps.build.schema import Change, FileFacts, Planned

POLICY = Policy()


def known(data: bytes, mode: int = 0o644) -> FileFacts:
    read = read_content([data])
    return FileFacts("a.py", read.sha256, read.size, read.lines, read.encoding, read.newline, mode)


def planned(content: str, before: FileFacts | None = None, path: str = "a.py") -> Planned:
    change = Change(path, "modify" if before else "create", content)
    return plan([change], {path: before} if before else {}, POLICY)[0]


@pytest.mark.parametrize(
    ("before", "content", "after"),
    [
        (b"a\r\nb\r\n", "x\ny\n", b"x\r\ny\r\n"),
        (b"a\r\nb\r\n", "x\r\ny\n", b"x\r\ny\r\n"),
        (b"a\nb\n", "x\r\ny\r\n", b"x\ny\n"),
        (b"a\nb\r\n", "x\r\ny\n", b"x\r\ny\n"),
        (b"no line end", "x\r\ny\n", b"x\ny\n"),
        (b"a\n", "no line end", b"no line end"),
        (b"a\n", "", b""),
        (b"", "x\n", b"x\n"),
        (b"\xef\xbb\xbfa\n", "x\n", b"\xef\xbb\xbfx\n"),
        (b"\xef\xbb\xbfa\n", "\ufeffx\n", b"\xef\xbb\xbfx\n"),
        (b"a\n", "\ufeffx\n", b"x\n"),
        ("\ufeffa\r\n".encode("utf-16-le"), "\u00fc\n", "\ufeff\u00fc\r\n".encode("utf-16-le")),
        (b"a\r\r\n", "x\r\r\n", b"x\r\r\n"),
    ],
)
def test_a_modified_file_keeps_its_encoding_and_its_line_ends(before: bytes, content: str, after: bytes) -> None:
    assert planned(content, known(before)).data == after


@pytest.mark.parametrize(
    ("content", "after"),
    [("x\r\ny\r\n", b"x\ny\n"), ("\ufeffx\n", b"x\n"), ("", b""), ("\u00fc", b"\xc3\xbc"), ("x\ry", b"x\ry")],
)
def test_a_new_file_is_utf8_without_a_mark_and_has_line_feeds(content: str, after: bytes) -> None:
    assert planned(content).data == after


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_writing_a_file_again_as_it_is_read_changes_nothing(content: str, newline: str, mark: bool) -> None:
    before = known(("\ufeff" if mark else "").encode() + f"one{newline}two{newline}".encode())
    first = plan([Change("a.py", "modify", content)], {"a.py": before}, POLICY)
    if not first:
        return
    data = first[0].data
    assert data is not None
    read = known(data)
    assert (read.encoding == "utf-8-sig") == mark
    assert read.newline in ("", newline, "mixed")
    assert not plan([Change("a.py", "modify", data.decode(read.encoding))], {"a.py": read}, POLICY)


@pytest.mark.parametrize("content", ["a\0b", "a\ud800b", "\udfff"])
@pytest.mark.parametrize("before", [None, known(b"a\n"), known("\ufeffa".encode("utf-16-le"))])
def test_content_that_is_no_text_is_refused(content: str, before: FileFacts | None) -> None:
    with pytest.raises(ContentError, match=r"^Invalid content: a\.py: its content has"):
        planned(content, before)


def test_a_changed_file_keeps_its_permission_bits_but_never_runs_as_somebody_else() -> None:
    assert planned("x", known(b"a", 0o640)).mode == 0o640
    assert planned("#!/bin/sh\n", known(b"a", 0o644)).mode == 0o644
    assert planned("x", known(b"a", 0o4755)).mode == 0o755


@pytest.mark.parametrize(
    ("path", "content", "mode"),
    [
        ("tools/run.sh", "#!/bin/sh\n", 0o755),
        ("bin/run", "#!/bin/sh\n", 0o755),
        ("scripts/x.py", "#!/usr/bin/env python3\n", 0o755),
        ("tools/run.sh", "echo\n", None),
        ("src/x.py", "#!/usr/bin/env python3\n", None),
        ("src/robin/x.py", "#!/usr/bin/env python3\n", None),
    ],
)
def test_a_new_file_can_be_run_only_with_its_first_line_and_its_place(
    path: str, content: str, mode: int | None
) -> None:
    assert planned(content, path=path).mode == mode


def test_what_would_change_nothing_is_left_out_and_the_rest_keeps_its_order() -> None:
    changes = [
        Change("z.py", "create", "z\n"), Change("same.py", "modify", "a\nb\n"),
        Change("a.py", "delete"), Change("m.py", "modify", "m\n"),
    ]  # fmt: skip
    facts = {"same.py": known(b"a\r\nb\r\n"), "a.py": known(b"a"), "m.py": known(b"a")}
    done = plan(changes, facts, POLICY)
    assert [(each.path, each.op) for each in done] == [("z.py", "create"), ("a.py", "delete"), ("m.py", "modify")]
    assert done[1].data is None
    assert done[2].sha256_after == hashlib.sha256(b"m\n").hexdigest()
    assert done[2].before is facts["m.py"]
