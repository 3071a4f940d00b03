"""Limits, what requests may cost at most, and what answers have cost."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from phasegate.errors import InputError
from phasegate.llm import LLMError, Prices, Request, Response
from phasegate.llm.budget import (
    MOST,
    NANO,
    NOTHING,
    Budget,
    Budgets,
    Cost,
    Estimator,
    after_failure,
    amount,
    shown,
)
from phasegate.llm.errors import Kind

PRICES = Prices({"small": {"input": 1, "output": 5}, "large": {"input": 3, "output": 15, "cached": 4}})
TABLE = {
    "tenant": {"usd": 100}, "run": {"usd": 0.1, "tokens": 500_000}, "phase": {"usd": 1}, "phases": {"write": {"usd": 2.5}},
    "output_tokens": 4000,
}  # fmt: skip
ASKED = Request(system="sys", user="use", max_output_tokens=100)


def test_a_table_of_limits_is_read_and_told_again() -> None:
    limits = Budgets.from_dict(TABLE)
    assert limits.limits == (
        Budget("tenant", "usd", 100 * NANO),
        Budget("run", "usd", NANO // 10),
        Budget("run", "tokens", 500_000),
        Budget("phase", "usd", NANO),
        Budget("phase", "usd", 2_500_000_000, "write"),
    )
    assert limits.output_tokens == 4000
    assert Budgets.from_dict(limits.to_dict()) == limits
    assert Budgets.from_dict(json.loads(json.dumps(limits.to_dict()))) == limits


@pytest.mark.parametrize("name", ["limits.toml", "limits.json"])
def test_a_file_of_limits_is_read(name: str, tmp_path: Path) -> None:
    toml = (
        "output_tokens = 4000\n[tenant]\nusd = 100\n[run]\nusd = 0.1\ntokens = 500_000\n[phase]\nusd = 1\n"
        "[phases.write]\nusd = 2.5\n"
    )
    (tmp_path / name).write_text(toml if name.endswith("toml") else json.dumps(TABLE))
    assert Budgets.load(tmp_path / name) == Budgets.from_dict(TABLE)


@pytest.mark.parametrize(
    ("text", "said"), [("[run", "cannot be read"), ("run = 3", "must be a table"), (None, "cannot be read")]
)
def test_a_file_that_cannot_be_used_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        Budgets.load(tmp_path / "limits.toml")


@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan, math.inf, -math.inf, "5", None, True, [5], 1e-10, 10**10])
def test_a_limit_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="the budget per run in usd is"):
        Budgets.from_dict({"run": {"usd": value}})


@pytest.mark.parametrize("value", [0, -1, 0.5, math.nan, math.inf, "5", True, MOST + 1])
def test_tokens_are_whole(value: Any) -> None:
    with pytest.raises(InputError, match="the budget per phase in tokens is"):
        Budgets.from_dict({"phase": {"tokens": value}})
    with pytest.raises(InputError, match="output_tokens is"):
        Budgets.from_dict({"output_tokens": value})


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ({"runs": {}}, "did you mean 'run'?"),
        ({"run": {"eur": 1}}, "known: tokens, usd"),
        ({"phases": {"a": {"us": 1}}}, "did you mean 'usd'?"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_known_is_refused(table: Any, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        Budgets.from_dict(table)
    assert refused.value.hint == hint


@pytest.mark.parametrize("table", [3, None, [], {"run": 3}, {"phases": 3}, {"phases": {"a": 3}}])
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(InputError, match="must be a table"):
        Budgets.from_dict(table)


def test_limits_of_a_phase() -> None:
    limits = Budgets.from_dict(TABLE)
    everywhere = [
        Budget("tenant", "usd", 100 * NANO),
        Budget("run", "usd", NANO // 10),
        Budget("run", "tokens", 500_000),
    ]
    assert list(limits.of_phase("other")) == [*everywhere, Budget("phase", "usd", NANO)]
    assert list(limits.of_phase("write")) == [*everywhere, Budget("phase", "usd", 2_500_000_000, "write")]
    assert limits.phases == ("write",)
    assert limits.in_money
    assert not Budgets.of(tokens=3).in_money


def test_limits_take_the_place_of_others() -> None:
    limits = Budgets.of(usd=1, tokens=10).with_limits(Budgets.of(usd=2)).with_limits(Budgets.of("tenant", usd=3))
    assert limits.to_dict() == Budgets.from_dict({"run": {"usd": 2, "tokens": 10}, "tenant": {"usd": 3}}).to_dict()


def test_a_request_costs_at_most_what_the_dearest_model_takes() -> None:
    # 6 bytes are 2 tokens.
    assert Estimator(PRICES, ["small"]).at_most(ASKED) == Cost(102, (2 * 1 + 100 * 5) * 1000)
    dearest = Cost(102, (2 * 4 + 100 * 15) * 1000)
    assert Estimator(PRICES, ["small", "large"]).at_most(ASKED) == dearest
    assert Estimator(PRICES).at_most(ASKED) == dearest  # anybody may answer


def test_a_request_that_names_its_model_costs_what_that_takes() -> None:
    request = Request(system="sys", user="use", max_output_tokens=100, model="small")
    assert Estimator(PRICES, ["large"]).at_most(request).nanos == 502_000


def test_without_a_limit_of_its_own_an_answer_has_the_configured_one() -> None:
    assert Estimator(PRICES, ["small"], 7).at_most(Request("", "12345")).tokens == 2 + 7


def test_a_prompt_in_another_script_has_more_tokens() -> None:
    assert Estimator(None, (), 1).at_most(Request("", "日本語")).tokens == 3 + 1


def test_the_schema_is_part_of_the_prompt() -> None:
    plain, more = Request("", "x"), Request("", "x", schema={"type": "object"})
    assert Estimator(None).at_most(more).tokens > Estimator(None).at_most(plain).tokens


@pytest.mark.parametrize(
    "estimator", [Estimator(None, ["small"]), Estimator(Prices({})), Estimator(PRICES, ["small", "new"])]
)
def test_without_a_price_there_is_no_cost_in_money(estimator: Estimator) -> None:
    assert estimator.at_most(ASKED) == Cost(102, None)


def test_unpriced_models_are_named() -> None:
    assert Estimator(PRICES, ["x:small", "new"]).unpriced(["newer", "new"]) == ["new", "newer"]
    assert Estimator(None, ["small"]).unpriced() == ["small"]


def test_an_answer_costs_what_its_tokens_cost() -> None:
    reserved = Cost(9, 9)
    answer = Response("", prompt_tokens=1000, completion_tokens=200, model="small")
    assert Estimator(PRICES).of(answer, reserved) == Cost(1200, 2_000_000)
    assert Estimator(PRICES).of(Response("", 1000, 200, 1300, model="small"), reserved) == Cost(1300, 2_000_000)


@pytest.mark.parametrize(
    ("answer", "cost"),
    [
        (Response(""), Cost(9, 8)),
        (Response("", total_tokens=5, model="small"), Cost(5, 8)),
        (Response("", prompt_tokens=5, model="small"), Cost(9, 8)),
        (Response("", prompt_tokens=5, completion_tokens=6, model="new"), Cost(11, 8)),
    ],
)
def test_what_cannot_be_known_of_an_answer_counts_as_reserved(answer: Response, cost: Cost) -> None:
    assert Estimator(PRICES).of(answer, Cost(9, 8)) == cost


@pytest.mark.parametrize(
    ("kind", "calls", "costs"),
    [("rate_limited", 1, False), ("auth", 1, False), ("timeout", 1, True), ("connection", 3, True), ("server", 0, False),
     ("content", 1, True), ("cancelled", 1, True)],
)  # fmt: skip
def test_a_refusal_costs_nothing_and_a_lost_answer_as_much_as_was_reserved(kind: Kind, calls: int, costs: bool) -> None:
    reserved = Cost(9, 8)
    assert after_failure(LLMError(kind, "no", calls=calls), reserved) == (reserved if costs else NOTHING)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.00 USD"),
        (NANO, "1.00 USD"),
        (4_900_000_000, "4.90 USD"),
        (1, "0.000000001 USD"),
        (10_000 * NANO, "10000.00 USD"),
    ],
)
def test_money_is_shown_without_rounding(nanos: int, text: str) -> None:
    assert shown("usd", nanos) == text


def test_tokens_are_shown_in_thousands() -> None:
    assert shown("tokens", 1_234_567) == "1,234,567 tokens"


def test_amounts_are_exact() -> None:
    assert sum(amount("usd", 0.1) for _ in range(10)) == amount("usd", 1)
    assert amount("usd", 1e-9) == 1
