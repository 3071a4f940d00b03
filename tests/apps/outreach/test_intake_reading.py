"""Bytes to rows: every way a file can be wrong is one line that says what to do."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import os
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.intake import Table, read_table
from phasegate.errors import InputError

PLAIN = "company,city\nAcorn,Springfield\nBirch,Shelbyville\n"
ACCENTED = "company,city\nCafé Zoë,Málaga\nLowe\u2019s Nähmaschinen,Köln\n"


def written(tmp_path: Path, content: bytes | str, name: str = "input.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(tmp_path: Path, content: bytes | str) -> Table:
    return read_table(written(tmp_path, content))


def refusal(path: Path, **options: int) -> str:
    with pytest.raises(InputError) as caught:
        read_table(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 300 + len(str(path))
    return message


def cells(table: Table) -> list[dict[str, str]]:
    return [dict(row.cells) for row in table.rows]


def test_rows_carry_their_cells_and_lines(tmp_path: Path) -> None:
    table = read(tmp_path, PLAIN)
    assert table.columns == ("company", "city")
    assert cells(table) == [
        {"company": "Acorn", "city": "Springfield"},
        {"company": "Birch", "city": "Shelbyville"},
    ]
    assert [row.line for row in table.rows] == [2, 3]
    assert (table.encoding, table.delimiter) == ("utf-8", ",")


def test_lines_are_those_an_editor_shows(tmp_path: Path) -> None:
    table = read(tmp_path, '\ncompany,note\r\nAcorn,"one\ntwo\r\nthree"\r\n\r\nBirch,x\r\n')
    assert [(row.line, row.cells["company"]) for row in table.rows] == [(3, "Acorn"), (7, "Birch")]
    assert table.rows[0].cells["note"] == "one\ntwo\r\nthree"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_and_a_missing_last_one(tmp_path: Path, end: str) -> None:
    assert cells(read(tmp_path, PLAIN.rstrip("\n").replace("\n", end))) == cells(read(tmp_path, PLAIN))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    text = f'"name, with; all\t|"{delimiter}city{delimiter}x\n"a{delimiter}b"{delimiter}1,2;3{delimiter}\n'
    text = text.replace("1,2;3", "1.2") if delimiter in ",;" else text
    table = read(tmp_path, text)
    assert table.delimiter == delimiter
    assert table.columns == ("name, with; all\t|", "city", "x")
    assert table.rows[0].cells["name, with; all\t|"] == f"a{delimiter}b"


def test_a_single_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert cells(read(tmp_path, "company\nAcorn\nBirch\n")) == [{"company": "Acorn"}, {"company": "Birch"}]


@pytest.mark.parametrize(
    ("encoding", "mark", "reported"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", codecs.BOM_UTF8, "utf-8-sig"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "utf-16"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "utf-16"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-16-be", b"", "utf-16-be"),
        ("utf-32-le", codecs.BOM_UTF32_LE, "utf-32"),
        ("utf-32-be", codecs.BOM_UTF32_BE, "utf-32"),
        ("cp1252", b"", "cp1252"),
    ],
)
def test_encodings_are_found_out(tmp_path: Path, encoding: str, mark: bytes, reported: str) -> None:
    table = read(tmp_path, mark + ACCENTED.encode(encoding))
    assert table.columns == ("company", "city")
    assert table.rows[1].cells == {"company": "Lowe\u2019s Nähmaschinen", "city": "Köln"}
    assert table.encoding == reported


def test_latin_1_reads_as_its_superset(tmp_path: Path) -> None:
    table = read(tmp_path, "company,city\nCafé,Málaga\n".encode("latin-1"))
    assert cells(table) == [{"company": "Café", "city": "Málaga"}]


def test_another_legacy_encoding_is_detected(tmp_path: Path) -> None:
    text = "компания,город\nРога и копыта,Москва\nСеверный ветер,Архангельск\n"  # noqa: RUF001 - Cyrillic is meant
    assert read(tmp_path, text.encode("cp1251")).rows[0].cells["город"] == "Москва"


def test_a_late_accent_in_a_large_file_is_found(tmp_path: Path) -> None:
    content = "company,city\n" + "Acorn,Springfield\n" * 20_000 + "Café,Málaga\n"
    table = read(tmp_path, content.encode("cp1252"))
    assert table.rows[-1].cells == {"company": "Café", "city": "Málaga"}
    assert len(table.rows) == 20_001


def test_a_named_encoding_overrules(tmp_path: Path) -> None:
    path = written(tmp_path, "company\nCafé\n".encode("mac_roman"))
    assert read_table(path, encoding="mac_roman").rows[0].cells == {"company": "Café"}


@pytest.mark.parametrize("encoding", ["no-such-encoding", "hex", "with\0nul", "utf-8"])
def test_a_named_encoding_that_does_not_fit_is_refused(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, b"company\nCaf\xe9\n")
    with pytest.raises(InputError, match="encoding"):
        read_table(path, encoding=encoding)


def test_missing_file(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nothing.csv")


def test_directory(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(written(tmp_path, PLAIN) / "below.csv")


def test_a_path_no_file_can_have() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_table("with\0nul.csv")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not an ordinary file" in refusal(pipe)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """As root no file is unreadable; the effective user is changed for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_unreadable_file(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    path.chmod(0)
    with ordinary_user():
        message = refusal(path)
    assert "permission" in message


@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n\r\n"])
def test_empty_file(tmp_path: Path, content: bytes) -> None:
    assert "is empty" in refusal(written(tmp_path, content))


@pytest.mark.parametrize("content", ["company,city\n", "company,city", "company,city\n\n\n"])
def test_header_without_rows(tmp_path: Path, content: str) -> None:
    assert "has a header but no rows" in refusal(written(tmp_path, content))


@pytest.mark.parametrize("content", [",,\na,b,c\n", '""\nAcorn\n', codecs.BOM_UTF8 + b"\n"])
def test_header_without_names(tmp_path: Path, content: str | bytes) -> None:
    assert "names no columns" in refusal(written(tmp_path, content))


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else "x")
    return buffer.getvalue()


def database(tmp_path: Path) -> bytes:
    path = tmp_path / "some.db"
    connection = sqlite3.connect(path)
    connection.execute("create table company (name text)")
    connection.commit()
    connection.close()
    return path.read_bytes()


def test_other_kinds_of_files_are_named(tmp_path: Path) -> None:
    kinds = {
        "Excel workbook: export it as CSV": archive("[Content_Types].xml", "xl/workbook.xml"),
        "OpenDocument spreadsheet: export it as CSV": archive("mimetype"),
        "zip archive: unpack it": archive("companies.csv"),
        "old Excel workbook": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512),
        "gzip archive": gzip.compress(PLAIN.encode()),
        "bzip2 archive": bz2.compress(PLAIN.encode()),
        "xz archive": lzma.compress(PLAIN.encode()),
        "SQLite database": database(tmp_path),
        "PDF document": b"%PDF-1.7\n" + bytes(range(256)),
        "binary file": bytes(range(256)) * 4,
    }
    for expected, content in kinds.items():
        assert expected in refusal(written(tmp_path, content))


def test_undecodable_text(tmp_path: Path) -> None:
    content = b"company,city\n" + bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D, 0xFF, 0xFE, 0x01, 0x02]) * 40
    assert "encoding" in refusal(written(tmp_path, content))


def test_broken_utf_16(tmp_path: Path) -> None:
    content = codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le") + b"\x00\xd8\x00"
    assert "utf-16" in refusal(written(tmp_path, content))


def test_nul_character_in_text(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "company,city\nAcorn,Springfield\nBi\0rch,Shelbyville\n"))
    assert "line 3 holds a NUL character" in message


def test_quote_that_never_closes(tmp_path: Path) -> None:
    content = 'company,note\nAcorn,"fine\nreally"\nBirch,"never closed\nCedar,x\n'
    assert "quote opened on line 4 never closes" in refusal(written(tmp_path, content))


def test_quote_that_meets_the_next_quote_does_not_swallow_the_rows_between(tmp_path: Path) -> None:
    content = 'company,note\nAcorn,"open\nBirch,x\nCedar,"a note"\nDogwood,y\n'
    message = refusal(written(tmp_path, content))
    assert "quote opened on line 2 ends on line 4 in the middle of a cell" in message


def test_quotes_inside_cells_are_text(tmp_path: Path) -> None:
    table = read(tmp_path, 'company,note\nThe "Best" Ltd,"he said ""yes"""\n')
    assert cells(table) == [{"company": 'The "Best" Ltd', "note": 'he said "yes"'}]


def test_a_cell_above_the_limit_names_its_place(tmp_path: Path) -> None:
    huge = "x" * 10_000_000
    message = refusal(written(tmp_path, f"company,note,city\nAcorn,fine,a\nBirch,{huge},b\n"))
    assert "line 3, column 2 holds more than 1,000,000 characters" in message


def test_cells_up_to_the_limit_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, f"company\n{'x' * 1_000_000}\n")
    assert len(read_table(path).rows[0].cells["company"]) == 1_000_000
    assert "column 1" in refusal(path, cell_limit=999_999)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    assert read_table(path, file_limit=len(PLAIN)).rows
    assert "split it" in refusal(path, file_limit=len(PLAIN) - 1)
    # Sparse: a gigabyte by its size, nothing on the disk.
    os.truncate(path, 1024**3)
    assert "split it" in refusal(path, file_limit=1024)


def test_duplicate_columns(tmp_path: Path) -> None:
    assert "line 1 has two columns named 'city'" in refusal(written(tmp_path, "city,company, city\na,b,c\n"))


def test_more_cells_than_columns(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "company,city\nAcorn,x\nBirch, Inc.,Shelbyville\n"))
    assert "line 3 has 3 cells for 2 columns" in message


def test_empty_cells_beyond_the_columns_are_dropped_and_missing_ones_are_empty(tmp_path: Path) -> None:
    table = read(tmp_path, "company,city\nAcorn,x,,\nBirch\n")
    assert cells(table) == [{"company": "Acorn", "city": "x"}, {"company": "Birch", "city": ""}]


def test_columns_without_a_name_get_one(tmp_path: Path) -> None:
    table = read(tmp_path, "company,,column_2\nAcorn,1,2\n")
    assert table.columns == ("company", "column_2_", "column_2")
    assert cells(table) == [{"company": "Acorn", "column_2_": "1", "column_2": "2"}]


def test_any_first_error_names_the_file_and_not_the_content(tmp_path: Path) -> None:
    secret = "s3cret" * 100
    assert secret not in refusal(written(tmp_path, f"{secret},{secret}\na,b\n"))


names = st.text("abcdefghijklmnopqrstuvwxyz_ ÄÖü0123456789", min_size=1, max_size=8).map(str.strip).filter(bool)
texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[dict[str, str]]]:
    columns = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    return columns, draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, texts)), min_size=1, max_size=6))


@given(
    table=tables(),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_csv_writes_is_read_back(
    table: tuple[list[str], list[dict[str, str]]], delimiter: str, encoding: str, quoting: int
) -> None:
    columns, rows = table
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "table.csv"
        path.write_bytes(buffer.getvalue().encode(encoding))
        result = read_table(path)
    assert list(result.columns) == columns
    assert cells(result) == rows


@given(content=st.binary(max_size=400) | st.text('",;\t|\n\r ab\0&é', max_size=80).map(str.encode))
def test_no_content_raises_anything_but_an_input_error(content: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "any.csv"
        path.write_bytes(content)
        try:
            table = read_table(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most contents are refused, some are tables
        else:
            assert table.rows
            assert all(tuple(row.cells) == table.columns for row in table.rows)
