from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.errors import InventoryError
from tests.apps.discovery.files import (
    HEADINGS,
    ROWS,
    Everything,
    csv_text,
    read,
    read_restarting,
    write_json,
    write_parquet,
    write_workbook,
)

PIECES = st.sampled_from(
    b'" , ; \n \r \r\n \t a Name { } [ ] {"a": 1 : NaN \0 \xff \xfe \xff\xfe \xfe\xff \xef\xbb\xbf \xe4 \xc3\xa4 \xed\xa0\x80 '
    b'\x85 {"a":1}\n [{"a":1}, null \\u0000 \\ PK\x03\x04 PAR1 data \xd8\x00 \x00\xd8'.split(b" ")
)
CONTENT = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=30).map(b"".join))


def outcome(path: Path, limit: int, *, restarting: bool) -> Everything | str:
    try:
        return read_restarting(path, limit) if restarting else read(path, limit)
    except InventoryError as error:
        return str(error)


@settings(max_examples=1_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONTENT, st.sampled_from(["a.csv", "a.json", "a.jsonl", "a.xlsx", "a"]), st.integers(1, 3))
@example(b"a\n\xff\xfe", "a.csv", 1)
@example(b"\xff\xfea\0\n\0\x00\xd8b", "a.csv", 1)
def test_any_bytes_give_rows_or_an_inventory_error_and_the_same_after_restarts(
    tmp_path: Path, content: bytes, name: str, limit: int
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert outcome(path, limit, restarting=False) == outcome(path, limit, restarting=True)


@functools.cache
def sound(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "xlsx":
            path = write_workbook(Path(folder), {"A": [HEADINGS, *ROWS]})
        elif kind == "parquet":
            path = write_parquet(Path(folder), {"name": ["a", "b"], "n": [1, 2]})
        elif kind == "json":
            path = write_json(Path(folder), {"data": [dict(zip(HEADINGS, row, strict=True)) for row in ROWS]})
        else:
            return csv_text([HEADINGS, *ROWS]).encode("utf-16")
        return path.read_bytes()


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "json", "utf-16"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_with_broken_places_gives_rows_or_an_inventory_error(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    content = bytearray(sound(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content)) | st.just(len(content))) :]
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    assert isinstance(outcome(path, 2, restarting=False), Everything | str)
