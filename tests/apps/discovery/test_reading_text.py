from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading import records
from phasegate.apps.discovery.reading.headings import unique_headings
from phasegate.apps.discovery.reading.opening import inspect, open_reader
from tests.apps.discovery.files import (
    HEADINGS,
    ROWS,
    csv_text,
    read,
    read_restarting,
    write_bytes,
    write_csv,
    write_text,
)

EXPECTED = [dict(zip(HEADINGS, row, strict=True)) for row in ROWS]
TABLE = [HEADINGS, *ROWS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
def test_every_encoding_delimiter_and_line_end_is_found_out(
    tmp_path: Path, encoding: str, delimiter: str, line_end: str
) -> None:
    table = [*TABLE, ("zürich-ä", "192.0.2.4", "größer, größer; und | mehr")]
    path = write_text(tmp_path, "inventory.txt", csv_text(table, delimiter, line_end), encoding)
    found = inspect(path)
    assert (found.delimiter, found.format) == (delimiter, "tsv" if delimiter == "\t" else "csv")
    assert found.headings == HEADINGS
    assert read(path).rows == [*EXPECTED, dict(zip(HEADINGS, table[-1], strict=True))]
    assert read_restarting(path, 1) == read(path, 1)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_cyrillic_in_unmarked_utf_16_is_found_out(tmp_path: Path, encoding: str) -> None:
    word = "\u0433\u043e\u0440\u043e\u0434"
    path = write_text(tmp_path, "a.csv", f"{word},{word} 2\n{word}{word},{word}\n" * 3, encoding)
    assert inspect(path).encoding == encoding
    assert read(path).rows[0] == {word: word * 2, f"{word} 2": word}


def test_an_encoding_of_neither_unicode_nor_the_west_is_detected(tmp_path: Path) -> None:
    line = "サーバー一号,東京データセンター,本番環境で稼働中のサーバーです\n"
    path = write_text(tmp_path, "a.csv", "Name,Place,Notes\n" + line * 40, "shift_jis")
    assert read(path).rows[39] == dict(zip(("Name", "Place", "Notes"), line.strip().split(","), strict=True))
    assert any("not UTF-8" in note for note in inspect(path).notes)


def test_bytes_that_do_not_fit_the_encoding_are_read_as_windows_1252_and_counted(tmp_path: Path) -> None:
    path = write_bytes(tmp_path, "a.csv", "Name,City\nalpha,Zürich\n".encode() + "beta,Zürich €\n".encode("cp1252"))
    everything = read(path)
    assert everything.rows == [{"Name": "alpha", "City": "Zürich"}, {"Name": "beta", "City": "Zürich €"}]
    assert everything.notes == [
        "Lines with bytes that are not in the encoding of the file, which were read as Windows-1252: 1."
    ]


def test_foreign_bytes_far_down_in_a_file_decide_the_encoding(tmp_path: Path) -> None:
    ascii_rows = b"alpha,Berlin\n" * 200_000
    path = write_bytes(tmp_path, "a.csv", b"Name,City\n" + ascii_rows + "beta,Köln\n".encode("cp1252"))
    assert inspect(path).encoding == "cp1252"
    everything = read(path, 50_000)
    assert len(everything.rows) == 200_001
    assert everything.rows[-1] == {"Name": "beta", "City": "Köln"}


def test_a_long_line_before_the_first_foreign_byte_does_no_harm(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.csv", "Name,Notes\nalpha," + "x" * 3_000_000 + "é\n")
    assert inspect(path).encoding == "utf-8"
    assert read(path).rows[0]["Notes"].endswith("xé")


def test_nuls_in_text_are_removed_with_a_note(tmp_path: Path) -> None:
    everything = read(write_bytes(tmp_path, "a.csv", b"Name,City\nal\x00pha,Berlin\nbeta,Bonn\n"))
    assert everything.rows[0] == {"Name": "alpha", "City": "Berlin"}
    assert everything.notes == ["Lines from which NUL characters were removed: 1."]


def test_cells_are_given_as_they_are_written(tmp_path: Path) -> None:
    rows = [
        (" alpha ", "", "NaN"),
        ("=1+1", "=cmd()", "-5"),
        ("two\r\nlines", 'a "word"', "a,b;c\td"),
        ("'", "0x", "#N/A"),
    ]
    everything = read(write_csv(tmp_path, [HEADINGS, *rows]))
    assert everything.rows == [dict(zip(HEADINGS, row, strict=True)) for row in rows]
    assert everything.numbers == [1, 2, 3, 4]


def test_columns_called_like_messages_are_columns(tmp_path: Path) -> None:
    headings = ("error", "status", "success", "timestamp", "true", "mappings")
    path = write_csv(tmp_path, [headings, ("none", "up", "yes", "now", "1", "2")])
    assert inspect(path).headings == headings
    assert read(path).rows[0]["error"] == "none"


def test_rows_longer_than_the_header_keep_every_cell(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.csv", "Name,Column 4\nalpha,x,y,z\nbeta,x,,\ngamma,x,,v\ndelta\n")
    everything = read(path)
    assert everything.rows == [
        {"Name": "alpha", "Column 4": "x", "Column 3": "y", "Column 4 (2)": "z"},
        {"Name": "beta", "Column 4": "x"},
        {"Name": "gamma", "Column 4": "x", "Column 4 (2)": "v"},
        {"Name": "delta"},
    ]
    assert everything.notes == [
        'Rows longer than the header, whose further cells are kept under "Column" and their number: 2.'
    ]


def test_empty_rows_are_counted_with_their_lines_and_keep_the_numbers_of_the_others(tmp_path: Path) -> None:
    everything = read(write_text(tmp_path, "a.csv", "\n\nName,City\n\nalpha,Berlin\n,\n  , \nbeta,Bonn\n"))
    assert [(each.line, each.reason) for each in everything.skipped] == [(line, "an empty row") for line in (4, 6, 7)]
    assert everything.numbers == [2, 5]


def test_a_row_wider_than_any_sheet_is_skipped_with_its_reason(tmp_path: Path) -> None:
    everything = read(write_text(tmp_path, "a.csv", "Name,City\nalpha,Berlin\n" + "x," * 20_000 + "\nbeta,Bonn\n"))
    assert [row["Name"] for row in everything.rows] == ["alpha", "beta"]
    (skipped,) = everything.skipped
    assert (skipped.line, skipped.reason) == (3, "more than 16,384 cells")
    assert len(skipped.sample) <= records.SAMPLE_LIMIT


def test_empty_and_repeated_headings_become_unique(tmp_path: Path) -> None:
    found = inspect(write_text(tmp_path, "a.csv", " Name ,Name,Name (2),,Name\na,b,c,d,e\n"))
    assert found.headings == ("Name", "Name (3)", "Name (2)", "Column 4", "Name (4)")
    assert [note.partition(":")[0] for note in found.notes] == [
        "The header has 1 empty headings; each is called Column with its number",
        "The header has headings more than once, which are numbered",
    ]


@given(st.lists(st.sampled_from(["", " ", "a", "a (2)", "a (3)", "Column 1", "Column 2", "Column 2 (2)"]), max_size=9))
def test_headings_are_unique_not_empty_and_keep_what_was_unique(names: list[str]) -> None:
    headings = unique_headings(names)
    assert len(set(headings)) == len(names)
    assert all(headings)
    stripped = [name.strip() for name in names]
    assert all(
        heading == name for heading, name in zip(headings, stripped, strict=True) if name and stripped.count(name) == 1
    )


def test_a_declared_separator_is_not_a_header(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.csv", "sep=;\r\nName;City\r\nalpha;Berlin, Mitte\r\n")
    assert read(path).rows == [{"Name": "alpha", "City": "Berlin, Mitte"}]


def test_a_delimiter_within_quotes_or_cells_is_not_the_delimiter(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.csv", '"a,b,c,d";Size\nalpha;1,5\nbeta;"2,5,3"\n')
    assert inspect(path).headings == ("a,b,c,d", "Size")
    one = write_text(tmp_path, "b.csv", "Name\nalpha;beta\n")
    assert read(one).rows == [{"Name": "alpha;beta"}]


def test_stray_quotes_are_part_of_the_cell(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.csv", 'Name,Notes\n24" monitor,5\'4"\n"24" monitor",x\n"a" ,b\n')
    everything = read(path)
    assert everything.rows == [
        {"Name": '24" monitor', "Notes": "5'4\""},
        {"Name": '24 monitor"', "Notes": "x"},
        {"Name": "a ", "Notes": "b"},
    ]
    assert [note.rpartition(": ")[2] for note in everything.notes] == ["2."]


@pytest.mark.parametrize(
    "rest",
    [
        'alpha,1\n"beta,2\ngamma,3\n',
        'alpha,1\n"beta,2\n"gamma",3\n',
        'alpha,1\n"be"t"a,"2\n',
        'alpha,1\nbeta,"',
        'alpha,1\n"beta,2\n' + ("gamma," + "3" * 1_000 + "\n") * 40_000,
    ],
    ids=["to the end", "to the next quote", "in a line", "at the end", "too long for a record"],
)
def test_a_quote_that_never_closes_is_an_error_that_names_the_line(tmp_path: Path, rest: str) -> None:
    path = write_text(tmp_path, "a.csv", "Name,Number\n" + rest)
    with pytest.raises(InventoryError, match=r"on line 3 .*quote|quote .* on line 3 "):
        read(path)


def test_cells_of_ten_million_characters_are_kept(tmp_path: Path) -> None:
    cell = "x" * 10_000_000 + "ü"
    path = write_csv(tmp_path, [("Name", "Notes"), ("alpha", cell), ("beta", cell), ("gamma", "")])
    everything = read(path)
    assert [len(row["Notes"]) for row in everything.rows] == [10_000_001, 10_000_001, 0]
    with open_reader(inspect(path)) as reader:
        assert len(reader.piece(1_000).rows) < 3


def test_the_files_own_limit_holds_whatever_others_set_for_the_process(tmp_path: Path) -> None:
    before = csv.field_size_limit(1_000)
    try:
        assert len(read(write_csv(tmp_path, [("Name", "Notes"), ("alpha", "x" * 200_000)])).rows) == 1
    finally:
        csv.field_size_limit(before)


def test_line_ends_may_be_mixed(tmp_path: Path) -> None:
    path = write_text(tmp_path, "a.csv", 'Name,City\ralpha,Berlin\r\nbeta,"Bonn\rSüd"\ngamma,Köln\rdelta,Ulm')
    assert [row["Name"] for row in read(path).rows] == ["alpha", "beta", "gamma", "delta"]
    assert read_restarting(path, 1) == read(path, 1)


def test_reading_goes_on_at_the_byte_and_not_from_the_beginning(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [HEADINGS, *ROWS * 10])
    found = inspect(path)
    with open_reader(found) as reader:
        cursor = reader.piece(7).cursor
    assert cursor is not None
    content = path.read_bytes()
    assert content[cursor["offset"] :].startswith(b"beta,")
    assert (cursor["line"], cursor["record"]) == (8, 7)


def test_after_the_end_there_is_nothing_more(tmp_path: Path) -> None:
    with open_reader(inspect(write_csv(tmp_path, TABLE))) as reader:
        assert reader.piece(3).cursor is None
        again = reader.piece(3)
        assert (again.rows, again.cursor) == ([], None)


CELLS = st.text(
    st.one_of(
        st.sampled_from('",;\r\n\t| ="\'\u2028\x85\x0b\x0cäß€😀\ufeff'), st.characters(exclude_categories=["Cs", "Cc"])
    ),
    max_size=8,
)
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=12)
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=TABLES,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    limit=st.integers(1, 5),
    data=st.data(),
)
def test_a_restart_at_every_cursor_gives_what_one_go_gives_and_that_is_what_was_written(
    tmp_path: Path, table: list[list[str]], encoding: str, line_end: str, limit: int, data: st.DataObject
) -> None:
    headings = ["Name", "City", "Notes", "Owner"][: len(table[0])]
    assume(any(any(map(str.strip, row)) for row in table))
    path = write_text(tmp_path, "a.csv", csv_text([headings, *table], ",", line_end), encoding)
    found = inspect(path)
    assume(found.delimiter == ",")
    whole = read(path, data.draw(st.integers(1, 20)))
    assert read_restarting(path, limit) == read(path, limit)
    filled = [(number, row) for number, row in enumerate(table, 1) if any(map(str.strip, row))]
    assert whole.numbers == [number for number, _ in filled]
    assert [list(row.values()) for row in whole.rows] == [row for _, row in filled]
    assert len(whole.skipped) == len(table) - len(filled)


def test_a_note_speaks_of_other_content_than_the_name_promises(tmp_path: Path) -> None:
    found = inspect(write_text(tmp_path, "a.xlsx", csv_text(TABLE)))
    assert found.format == "csv"
    assert found.notes == ("The file is named 'a.xlsx', but it holds CSV and is read as that.",)
    assert inspect(write_text(tmp_path, "a.csv", csv_text(TABLE))).notes == ()


BAD = {
    "empty": (b"", "is empty"),
    "blank": (b" \r\n\t\n", "is empty"),
    "only a mark": (b"\xef\xbb\xbf", "is empty"),
    "nuls": (b"\0" * 5_000, "binary"),
    "control characters": (bytes(range(32)) * 50, "binary"),
    "elf": (b"\x7fELF\x02\x01\x01" + b"\0" * 60 + bytes(range(256)) * 4, "binary"),
    "gzip": (b"\x1f\x8b\x08\0\0\0", "gzip"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old Office"),
    "web page": (b"<!DOCTYPE html><html><body>Please log in</body></html>", "web page"),
    "xml": (b'<?xml version="1.0"?><assets/>', "XML"),
    "header only": (b"Name,City\n", "has a header but no rows"),
    "header and blank lines": (b"Name,City\n\n,\n \n", "has a header but no rows"),
    "numbers for headings": (b"1,2,3.5,Name\na,b,c,d\n", "corrupted"),
    "no headings": (b" ,, ,\n", "is empty"),
    "too many headings": (b"a," * 20_000 + b"b\n1\n", "more than 16,384"),
    "broken parquet": (b"PAR1 and then nothing", "broken Parquet"),
    "broken zip": (b"PK\x03\x04 and then nothing", "broken workbook"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_inventory_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    path = write_bytes(tmp_path, "a.csv", content)
    with pytest.raises(InventoryError, match=rf"^{re.escape(str(path))}.*{reason}.*: ") as raised:
        inspect(path)
    assert "\n" not in str(raised.value)


def test_half_of_the_headings_may_be_numbers(tmp_path: Path) -> None:
    assert inspect(write_text(tmp_path, "a.csv", "Name,City,2024,2025\na,b,1,2\n")).headings[2] == "2024"


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="does not exist"):
        inspect(tmp_path / "none.csv")
    with pytest.raises(InventoryError, match="is a folder"):
        inspect(tmp_path)
    with pytest.raises(InventoryError, match="cannot be read"):
        inspect(Path("a\0b"))
    with pytest.raises(InventoryError, match="is not an ordinary file"):
        inspect(Path("/dev/null"))
    with pytest.raises(InventoryError, match="cannot be read"):
        inspect(write_csv(tmp_path, TABLE, "file.csv") / "below")


def test_a_file_that_has_changed_or_is_gone_is_not_opened(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [HEADINGS, *ROWS * 5_000])
    found = inspect(path)
    with open_reader(found) as reader:
        cursor = reader.piece(2).cursor
    content = path.read_bytes()
    path.write_bytes(content[:-8] + b"changed\n")
    with pytest.raises(InventoryError, match="has changed"):
        open_reader(found)
    open_reader(found, cursor).close()  # only what is cheap to see is looked at in the middle
    for changed in (b"X" + content[1:], content + b"x"):
        path.write_bytes(changed)
        with pytest.raises(InventoryError, match="has changed"):
            open_reader(found, cursor)
    path.unlink()
    with pytest.raises(InventoryError, match="does not exist"):
        open_reader(found, cursor)
