"""Files as people really have them, from the file to the assets: nothing goes missing without being told."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine
from phasegate.apps.discovery import Discovery, Tenant, open_engine
from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.schema import CUSTOM
from tests import postgres
from tests.apps.discovery.files import (
    csv_text,
    write_bytes,
    write_csv,
    write_json,
    write_json_lines,
    write_parquet,
    write_text,
    write_workbook,
)
from tests.apps.discovery.steps import made, waits_for

HEADINGS = ("Name", "IP Address", "Zeta")
_numbers = itertools.count()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all files, because making a database takes longer than importing one of them."""
    if request.param == "sqlite":
        with open_engine(f"sqlite:///{tmp_path_factory.mktemp('shared')}/shared.db") as engine:
            yield engine
        return
    where = postgres.new_database(lasting=True)
    with open_engine(where) as engine:
        yield engine
    postgres.drop_database(where)


@pytest.fixture
def discovery(shared: Engine) -> Discovery:
    """A tenant that has nothing yet."""
    return Discovery(shared, Tenant(f"client {next(_numbers)}", "q4", "ann"))


@dataclass(frozen=True)
class Case:
    """A file, how many of its records become rows, and why the others do not: so many of each reason."""

    make: Callable[[Path], Path]
    rows: int
    skipped: dict[str, int] = field(default_factory=dict)


def _table(*rows: Any, headings: Any = HEADINGS) -> Callable[[Path], Path]:
    return lambda folder: write_csv(folder, [headings, *rows])


def _text(content: str, name: str = "a.csv", encoding: str = "utf-8") -> Callable[[Path], Path]:
    return lambda folder: write_text(folder, name, content, encoding)


def _bytes(content: bytes, name: str = "a.csv") -> Callable[[Path], Path]:
    return lambda folder: write_bytes(folder, name, content)


NOT_FINITE = '[{"Name": "a", "Load": NaN, "Zeta": Infinity}, {"Name": "b", "Load": -Infinity, "Zeta": [NaN, 1]}]'
BROKEN_LINES = (
    '{"Name": "a", "Zeta": "1"}\n{"Name": "b", "Zeta": \n\n[1, 2]\n"text"\n{"Name": "c"} and more\n{}\n{"Name": "d"}\n'
)
DATES = ("2021-03-04", "04.03.2021", "3/4/2021", "4 March 2021", "20210304", "44259", "the day before")
GROUPS = [{"Name": f"host-{number}", "Zeta": f"z{number}"} for number in range(5)]
#: A long heading, which no database can store in less space.
LONG = "".join(chr(0x4E00 + number * 7_919 % 20_000) for number in range(500))

CASES: dict[str, Case] = {
    "repeated and empty headings": Case(
        _table(("a", "192.0.2.1", "x", "y", "z"), headings=("Name", "Zeta", "Zeta", "", " Zeta ")), 1
    ),
    "some numeric headings": Case(_table(("a", "1", "2"), ("b", "3", ""), headings=("Name", "2019", "Zeta")), 2),
    "rows of every length": Case(_text("Name,Zeta\na\nb,1\nc,1,2,3\n,,\nd,,,,,6\n", "a.csv"), 4, {"an empty row": 1}),
    "a row wider than any sheet": Case(
        _text("Name,Zeta\na,1\n" + "x," * 20_000 + "\nb,2\n"), 2, {"more than 16,384 cells": 1}
    ),
    "NULs": Case(_bytes(b"Name,Zeta\nal\x00pha,\x00\nbe\x00ta,x\x00y\n"), 2),
    "NULs in JSON": Case(
        _text('[{"Name": "a\\u0000b", "Ze\\u0000ta": "\\u0000"}, {"Name": "c", "Zeta": "d"}]', "a.json"), 2
    ),
    "halves of characters": Case(_text('[{"Name": "a\\ud800b", "Ze\\udfffta": "\\ud83d"}]', "a.json"), 1),
    "mixed encodings": Case(
        _bytes("Name,Zeta\nZürich,ä\n".encode() + "Köln,ö €\n".encode("cp1252") + b"Bonn,\x81\n"), 3
    ),
    "UTF-16": Case(_text("Name\tZeta\nZürich\tä\n日本\tß\n", "a.csv", "utf-16"), 2),
    "NaN and infinity": Case(_text(NOT_FINITE, "a.json"), 2),
    "dates in many formats": Case(
        _table(*((f"h{place}", day) for place, day in enumerate(DATES)), headings=("Name", "Purchase Date")), len(DATES)
    ),
    "columns called like messages": Case(
        _table(
            ("a", "none of ours", "odd", "yes", "x", "true", "later", "{}"),
            headings=("Name", "error", "status", "success", "mappings", "true", "timestamp", "metadata"),
        ),
        1,
    ),
    "columns called like our own": Case(
        _table(
            ("a", "1", "2", "3", "4", "5", "6"),
            headings=("Name", "id", "row_number", "custom_attributes", "raw_data", "client_account_id", "UNMAPPED"),
        ),
        1,
    ),
    "formulas": Case(_table(("=1+1", "192.0.2.1", "=cmd|' /C calc'!A0"), ("@b", "+1", "-2+3"), ("-", "-", "-")), 3),
    "quotes, line breaks and delimiters in cells": Case(
        _table(('say "hi"', "192.0.2.1", "two\r\nlines, and; more\ttabs | bars"), ("b", "", "'")), 2
    ),
    "control characters and markup": Case(
        _table(("\x1b[31mred", "192.0.2.1", "\x07\x08"), ("<script>alert(1)</script>", "", "{{7*7}} ${x} %s {0}")), 2
    ),
    "broken lines of JSON": Case(
        _text(BROKEN_LINES, "a.jsonl"),
        2,
        {
            "not JSON: Expecting value": 1,
            "an empty row": 2,
            "not a record but a list": 1,
            "not a record but a text": 1,
            "not JSON: it goes on after the end of the record": 1,
        },
    ),
    "records that are none": Case(
        lambda folder: write_json(folder, [{"Name": "a", "Zeta": 1}, 7, None, "x", [], {}, {"Name": "b"}]),
        2,
        {
            "not a record but a number": 1,
            "not a record but null": 1,
            "not a record but a text": 1,
            "not a record but a list": 1,
            "an empty row": 1,
        },
    ),
    "nested records of different shapes": Case(
        lambda folder: write_json_lines(
            folder, [{"Name": "a", "os": {"name": "x", "tags": ["p", "q"]}}, {"Name": "b", "os": "x", "os.name": "y"}]
        ),
        2,
    ),
    "numbers beyond all measure": Case(
        _text('[{"Name": "a", "Serial": 1' + "0" * 400 + ', "Zeta": 1e400, "RAM": 9999999999999999999}]', "a.json"), 1
    ),
    "a workbook": Case(
        lambda folder: write_workbook(
            folder, {"Data": [HEADINGS, ("a", "192.0.2.1", True), (None, None, None), (42, "=A1", 1.5)]}
        ),
        2,
        {"an empty row": 1},
    ),
    "a table of Parquet": Case(
        lambda folder: write_parquet(
            folder,
            {"Name": ["a", "b", None], "Zeta": [1.5, float("nan"), None], "raw": [b"\xff\x00", b"text", None]},
            group=2,
        ),
        2,
        {"an empty row": 1},
    ),
    "a file of the wrong name": Case(_text(json.dumps(GROUPS), "a.csv"), 5),
    "only a name": Case(_text("Name\na\n\nb\n"), 2, {"an empty row": 1}),
    "a long heading": Case(_table(("a", "1", "2"), headings=("Name", "IP Address", LONG)), 1),
}
ALL = pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))


@ALL
def test_every_record_is_an_asset_with_all_its_cells_or_was_skipped_for_a_reason(
    discovery: Discovery, tmp_path: Path, case: Case
) -> None:
    flow = to_the_mapping(discovery, case.make(tmp_path))
    rows, skipped = raw_rows(discovery), discovery.skipped(flow)
    assert (len(rows), Counter(each["reason"] for each in skipped)) == (case.rows, case.skipped)
    assert all(each["line"] > 0 for each in skipped)
    told = discovery.status(flow, details=True)["import_metadata"]
    assert (told["processed_records"], told["total_records"]) == (case.rows, case.rows + len(skipped))
    assert told["skipped"] == discovery.profile(flow)["skipped_records"] == case.skipped
    assert discovery.profile(flow)["total_records"] == case.rows

    (name, *others) = (each["source_field"] for each in discovery.mappings(flow))
    assert {name, *others} == {column for row in rows for column in row}  # every column can be decided on
    for other in others:
        discovery.edit(flow, other, CUSTOM)
    discovery.edit(flow, name, "name")
    assert discovery.approve(flow)["complete"]
    discovery.work()
    made(discovery, flow)
    status = discovery.status(flow)
    assert (status["status"], status["error_message"]) == ("completed", None)
    assets = {json.dumps(each["raw_data"]): each["custom_attributes"] or {} for each in discovery.assets()}
    assert len(assets) == case.rows
    for raw in rows:
        cells = {column: _trimmed(value) for column, value in raw.items() if column != name}
        assert assets[json.dumps(raw)] == {key: value for key, value in cells.items() if value not in NOTHING}


#: What stands in these files for a value that is none.
NOTHING = (None, "", "-", "none", "null")


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def to_the_mapping(discovery: Discovery, file: Path) -> str:
    """A flow of the file, as far as its mapping; values that are too long are kept."""
    flow = discovery.create(file).flow_id
    discovery.work()
    if waits_for(discovery, flow) == "data_validation":
        discovery.decide_data(flow, {each["field"]: "keep" for each in discovery.open_questions(flow)})
        discovery.work()
    status = discovery.status(flow)
    assert (status["phase_state"].get("waits_for"), status["error_message"]) == ("field_mapping", None)
    return flow


def raw_rows(discovery: Discovery) -> list[dict[str, Any]]:
    of_tenant = "WHERE client_account_id = :client AND engagement_id = :engagement"
    statement = f"SELECT raw_data FROM raw_import_records {of_tenant} ORDER BY row_number"
    rows = discovery.engine.read(statement, discovery.tenant.where)
    return [json.loads(each["raw_data"]) for each in rows]


# --- what becomes of it -----------------------------------------------------------------------------------------------


def test_what_was_odd_about_a_file_is_noted(discovery: Discovery, tmp_path: Path) -> None:
    created = discovery.create(write_bytes(tmp_path, "a.json", b"Name,Name,\nal\x00pha,b,c,d\nK\xf6ln,\xc3\xa4,\n"))
    discovery.work()
    notes = discovery.engine.read("SELECT notes FROM data_imports WHERE id = :id", {"id": created.data_import_id})
    said = " ".join(json.loads(notes[0]["notes"]))
    for note in ("is named 'a.json'", "more than once", "empty headings", "longer than the header", "NUL characters"):
        assert note in said
    assert [each for each in created.details["notes"] if each not in said] == []


def test_dates_of_many_formats_are_one_format_and_what_is_none_is_told(discovery: Discovery, tmp_path: Path) -> None:
    flow = to_the_mapping(discovery, CASES["dates in many formats"].make(tmp_path))
    targets = {each["source_field"]: each["target_field"] for each in discovery.mappings(flow)}
    assert targets["Purchase Date"] == "purchase_date"
    assert discovery.approve(flow)["complete"]
    discovery.work()
    shown = {each["name"]: each for each in discovery.preview(flow)}
    assert [shown[f"h{place}"].get("purchase_date") for place in (0, 1, 3, 4, 5)] == ["2021-03-04"] * 5
    assert shown["h2"]["purchase_date"] in ("2021-03-04", "2021-04-03")
    assert any("purchase_date" in each for each in shown["h2"]["warnings"])  # which is which is a guess
    assert "purchase_date" not in shown["h6"]
    assert any("is not a date" in each for each in shown["h6"]["warnings"])
    made(discovery, flow)
    assert {each["name"]: each["raw_data"]["Purchase Date"] for each in discovery.assets()}["h6"] == "the day before"


def test_a_cell_of_ten_million_characters_is_kept(discovery: Discovery, tmp_path: Path) -> None:
    long = "x" * 10_000_000
    flow = to_the_mapping(discovery, write_csv(tmp_path, [("Name", "Zeta"), ("a", long), ("b", "")]))
    discovery.approve(flow)
    discovery.keep_the_rest(flow)
    discovery.work()
    made(discovery, flow)
    first, second = discovery.assets()
    assert (first["custom_attributes"], second["custom_attributes"]) == ({"Zeta": long}, None)


def test_columns_called_like_messages_mean_nothing_to_the_flow(discovery: Discovery, tmp_path: Path) -> None:
    given = {"Name": "a", "error": "it broke", "status": "failed", "success": "false", "mappings": "x", "true": "no"}
    records = [given | {"Name": "b"}, given]
    flow = to_the_mapping(discovery, write_json(tmp_path, {"status": "error", "error": "x", "data": records}))
    for column in ("error", "status", "success", "mappings", "true"):
        discovery.edit(flow, column, CUSTOM)
    assert discovery.approve(flow)["complete"]
    discovery.work()
    made(discovery, flow)
    assert discovery.status(flow)["status"] == "completed"
    own = {key: value for key, value in given.items() if key != "Name"}
    assert [each["custom_attributes"] for each in discovery.assets()] == [own, own]


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("a.csv", b"", "export it again"),
        ("a.csv", b" \n\t\n", "export it again"),
        ("a.csv", b"\xef\xbb\xbf", "export it again"),
        ("a.csv", b"Name,Zeta\n", "export it again with its data"),
        ("a.csv", b"Name,Zeta\n,\n ,\n", "export it again with its data"),
        ("a.csv", b"1,2,3\n4,5,6\n", "with the column names in the first line"),
        ("a.csv", b",,\na,b,c\n", "export it again with its data"),
        ("a.csv", b'Name,Zeta\na,"never closed\nb,2\n' * 2, "close it where the cell ends, or remove it"),
        ("a.csv", b'Name,Zeta\na,"never closed\nb,2\n', "close it where the cell ends, or remove it"),
        ("a.csv", b"<html><body>please log in</body></html>", "export it as CSV"),
        ("a.csv", bytes(range(256)) * 20, "export it as CSV"),
        ("a.xlsx", b"PK\x03\x04 broken", "save or download it again"),
        ("a.parquet", b"PAR1 broken PAR1", "export it again"),
        ("a.json", b"[]", "export it again with its data"),
        ("a.json", b"[1, 2]", "export it again with its data"),
        ("a.json", b'[{"Name": "a"}, {"Name": ', "export the file again"),
        ("a.json", b'{"a"', "export the file again"),
        ("a.csv.gz", b"\x1f\x8b\x08\x00", "unpack it first"),
    ],
    ids=[
        "empty", "blank", "mark only", "header only", "header and empty rows", "numbers", "no names", "quote in the middle",
        "open quote", "web page", "binary", "broken workbook", "broken parquet", "empty list", "list of numbers", "cut off",
        "cut off at once", "packed",
    ],
)  # fmt: skip
def test_a_file_that_gives_nothing_is_refused_or_fails_with_what_to_do(
    discovery: Discovery, tmp_path: Path, name: str, content: bytes, advice: str
) -> None:
    file = write_bytes(tmp_path, name, content)
    try:
        flow = discovery.create(file).flow_id
    except InventoryError as error:
        said = f"{error} {error.hint or ''}"
        assert discovery.flows() == []
    else:
        discovery.work()
        status = discovery.status(flow)
        assert (status["status"], status["error_phase"]) == ("failed", "data_import")
        said = status["error_message"]
        assert discovery.assets() == []
    assert (name in said, advice in said) == (True, True), said
    assert "Traceback" not in said


def test_tables_with_many_rows_and_odd_ones_among_them_add_up(
    discovery: Discovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phasegate.apps.discovery.phases import common, importing

    for module in (common, importing):
        monkeypatch.setattr(module, "PIECE", 100)
    rows = [(f"h{place}", "", "") if place % 7 else ("", "", "") for place in range(1, 1_001)]
    flow = to_the_mapping(discovery, write_text(tmp_path, "a.csv", csv_text([HEADINGS, *rows])))
    assert (len(raw_rows(discovery)), len(discovery.skipped(flow))) == (858, 142)
    assert [each["line"] for each in discovery.skipped(flow)[:3]] == [8, 15, 22]
