from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.errors import ValidationFailed
from phasegate.apps.discovery.rules.scan import Findings, Malicious, is_sensitive, looks_personal, mask, merge, scan

Rows = list[dict[str, Any]]

MALICIOUS = {
    "script tag": ["<script>alert(1)</script>", "x <SCRIPT src=//a.example>", "</ script >"],
    "script address": [
        "javascript:alert(1)", " JavaScript:alert(1)", "java\tscript:alert(1)", "see javascript:document.title=1",
        '<a href="javascript:void(0)">', "vbscript:msgbox(1)",
    ],
    "event handler in a tag": ["<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<b ONMOUSEOVER = 'x'>"],
    "script call": ["eval(atob('eA=='))", "x; eval('1')", "eval(document.cookie)", "eval(payload);"],
    "SQL injection": [
        "'; DROP TABLE assets; --", "x' OR 1=1 --", "' OR '1'='1", '" or ""="', "') or ('a'='a", "105 OR 1=1",
        "1 UNION SELECT word FROM users", "' union all select null,null--", "union/**/select 1", "1; DROP TABLE users",
        "x; drop table assets --", "admin'--", "'; EXEC xp_cmdshell('dir')", "' or true --", "'; update users set a=1",
        "'; insert into x values (1)", "';\nDELETE\nFROM assets;",
    ],
}  # fmt: skip
HARMLESS = [
    "Nightly update of the index; select the host first", "Please update or select", "Languages: Java, JavaScript: yes",
    "JavaScript: the frontend (React)", "re-evaluated (eval) licence", "eval (uation)", "Retrieval(ed)", "on=5",
    "a < b and on = 5", '<server online="true">', "<row onprem=1>", "European Union, select sites", "trade union; selected",
    "Drop table tennis room", "delete from rack 5; insert into rack 6", "O'Brien or Smith", "5' or 6' tall", "'a' and 'b'",
    'server "web"; update every week', '"web" and "db" = cluster', "create user accounts; grant access", "-- none --",
    "description of scripts", "script: backup.sh", "postscript: call", "a=1 or b=2", "exec summary", "Tom's -- well",
    "if x=1 or y=1", "=SUM(A1)", "-5",
]  # fmt: skip
CASES = [(reason, text) for reason, group in MALICIOUS.items() for text in group]

texts = st.one_of(
    st.sampled_from([text for _, text in CASES] + HARMLESS),
    st.sampled_from(
        ["ann@example.com", "123-45-6789", "4111 1111 1111 1111", "=1+1", "@home", "-", "", "+49 30 5550100"]
    ),
    st.text(alphabet="<>'\";=-()on @.1:scriptevaluni", max_size=30),
    st.text(max_size=20),
    st.just("\ud800"),
)
cells = st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats())
rows = st.lists(st.dictionaries(st.sampled_from(["notes", "Phone", "name"]), cells), max_size=10)


def scanned(*cells: Any, name: str = "notes") -> Findings:
    return scan([{name: cell} for cell in cells], range(1, len(cells) + 1))


@pytest.mark.parametrize(("reason", "text"), CASES)
def test_malicious_content_puts_its_row_into_quarantine(reason: str, text: str) -> None:
    found = scanned("web server", text, None, "database")
    assert found.malicious == (Malicious(2, "notes", reason),)
    assert found.quarantined == {2}


@pytest.mark.parametrize("text", HARMLESS)
def test_words_alone_are_never_malicious(text: str) -> None:
    assert scanned(text, *HARMLESS).malicious == ()


@given(st.sampled_from(CASES), texts, texts)
def test_malicious_content_is_found_among_any_other_values(case: tuple[str, str], before: str, after: str) -> None:
    reason, text = case
    assert Malicious(2, "notes", reason) in scanned(before, text, after).malicious


def test_every_row_with_the_same_content_is_found() -> None:
    found = scan([{"a": "<script>", "b": "' or 1=1 --"}, {"a": "x"}, {"a": "<script>"}], [7, 8, 9])
    assert [(each.row, each.field) for each in found.malicious] == [(7, "a"), (7, "b"), (9, "a")]


def test_a_value_has_one_reason_however_bad_it_is() -> None:
    found = scanned("<script>eval('1')</script><img onerror=x>' or 1=1 --")
    assert found.malicious == (Malicious(1, "notes", "script tag"),)


def test_quarantined_rows_are_in_order_whatever_the_order_of_the_pieces() -> None:
    late, early = scan([{"a": "<script>"}], [9]), scan([{"a": "<script>"}], [2])
    assert [each.row for each in merge(late, early).malicious] == [2, 9]


@settings(max_examples=150)
@given(rows, rows, rows)
def test_findings_of_pieces_are_those_of_all_rows(first: Rows, second: Rows, third: Rows) -> None:
    whole = first + second + third
    numbers = range(1, len(whole) + 1)
    two, three = len(first), len(first) + len(second)
    a, b, c = scan(first, numbers[:two]), scan(second, numbers[two:three]), scan(third, numbers[three:])
    assert merge(merge(a, b), c) == merge(a, merge(b, c)) == scan(whole, numbers)


@settings(max_examples=200)
@given(rows)
def test_what_a_column_has_is_what_its_values_have_one_by_one(rows: Rows) -> None:
    one_by_one = Findings()
    for number, row in enumerate(rows, 1):
        one_by_one = merge(one_by_one, scan([row], [number]))
    assert scan(rows, range(1, len(rows) + 1)) == one_by_one


@settings(max_examples=200)
@given(rows)
def test_findings_come_back_from_json(rows: Rows) -> None:
    found = scan(rows, range(len(rows)))
    assert Findings.from_dict(orjson.loads(orjson.dumps(found.to_dict()))) == found


def test_each_row_needs_a_number() -> None:
    with pytest.raises(ValidationFailed, match="2 rows and 1 row numbers"):
        scan([{"a": 1}, {"a": 2}], [1])


# ---------------------------------------------------------------- personal data


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ssn", "SSN"), ("ssn", "customerSSN"), ("ssn", "SSNNumber"), ("ssn", "social_security_no"), ("email", "E-Mail"),
        ("email", "ownerEmail"), ("email", "email_address"), ("phone", "Telephone"), ("phone", "PHONE NO"),
        ("credit_card", "creditCard"), ("birth", "Birth Date"), ("birth", "DOB"),
    ],
)  # fmt: skip
def test_a_field_is_personal_by_its_name(kind: str, name: str) -> None:
    assert is_sensitive(name)
    found = scanned("something", None, "anything", name=name).personal[name]
    assert (found.affected, found.kinds) == (2, {kind: 2})


@pytest.mark.parametrize(
    "name", ["Mail Server", "Storage Mailbox", "wirelessNetwork", "session", "Slot Card Number", "name"]
)
def test_other_fields_are_not(name: str) -> None:
    assert not is_sensitive(name)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "ask Ann.Lee+it@example.com."), ("ssn", "no. 123-45-6789"), ("credit_card", "4111 1111 1111 1111"),
        ("credit_card", "378282246310005"), ("credit_card", 5500000000000004), ("credit_card", "paid: 3056-930902-5904!"),
    ],
)  # fmt: skip
def test_a_value_is_personal_by_its_pattern(kind: str, text: Any) -> None:
    assert looks_personal(str(text))
    found = scanned("web server", text, text).personal["notes"]
    assert (found.affected, found.kinds) == (2, {kind: 2})


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112", "0.4111111111111111", "root@host", "2026-03-01", "000-12-3456", "123-45-67890",
        "550e8400-e29b-41d4-a716-446655440000", "@", "1700000000000000",
    ],
)  # fmt: skip
def test_what_only_resembles_personal_data_is_not(text: str) -> None:
    assert not looks_personal(text)
    assert scanned(text).personal == {}


def test_a_value_of_two_kinds_is_affected_once() -> None:
    found = scanned("ann@example.com 123-45-6789").personal["notes"]
    assert (found.affected, found.kinds) == (1, {"email": 1, "ssn": 1})


def test_samples_are_masked_and_few() -> None:
    found = scanned("ann@example.com", "bo@example.com", "ann@example.com", "cy@example.com", "di@example.com")
    assert found.personal["notes"].samples == ("a**@*******.**m", "b*@*******.**m", "c*@*******.**m")
    assert found.personal["notes"].affected == 5


@given(st.text(max_size=100))
def test_a_mask_shows_two_characters_at_most(text: str) -> None:
    masked = mask(text)
    assert len(masked) == min(len(text), 80)
    assert not any(each.isalnum() for each in masked[1:-1])
    assert masked.isprintable()


@pytest.mark.parametrize(("text", "masked"), [("123-45-6789", "1**-**-***9"), ("abcd", "****"), ("", "")])
def test_a_mask_keeps_the_shape(text: str, masked: str) -> None:
    assert mask(text) == masked


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize("text", ["=SUM(A1)", "+cmd|' /C calc'!A0", "-2+cmd()", "@SUM(1)", "=-1"])
def test_formulas_are_a_note_and_nothing_worse(text: str) -> None:
    found = scanned("web", text, text)
    assert (found.formulas, found.malicious) == ({"notes": 2}, ())


@pytest.mark.parametrize("text", ["-5", "+49 (30) 555-0100", "-", "---", "-1.5e-3", "@", "=", "a=b", -7])
def test_numbers_and_dashes_are_no_formulas(text: Any) -> None:
    assert scanned(text).formulas == {}
