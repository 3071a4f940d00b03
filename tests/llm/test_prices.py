"""What answers cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phasegate.errors import InputError
from phasegate.llm import Price, Prices, Response

TABLE: dict[str, dict] = {
    "claude-sonnet-*": {"input": 3, "output": 15, "cached": 0.30},
    "claude-sonnet-4-5": {"input": 4, "output": 20},
    "claude-*": {"input": 1, "output": 5},
    "gpt-4o": {"input": 2.5, "output": 10},
    "openai:gpt-4o": {"input": 5, "output": 20},
}


def test_the_cost_of_an_answer() -> None:
    answer = Response("", 1_000_000, 200_000, 1_200_000, 400_000, "claude-sonnet-4-20250514")
    assert Prices(TABLE).cost(answer) == pytest.approx(0.6 * 3 + 0.4 * 0.30 + 0.2 * 15)


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("claude-sonnet-4-5", Price(4, 20)),
        ("anthropic:claude-sonnet-4-5", Price(4, 20)),
        ("claude-sonnet-9", Price(3, 15, 0.3)),
        ("claude-haiku-4", Price(1, 5)),
        ("gpt-4o", Price(2.5, 10)),
        ("openai:gpt-4o", Price(5, 20)),
        ("azure:gpt-4o", Price(2.5, 10)),
        ("gpt-4o-mini", None),
        ("", None),
    ],
)
def test_the_most_specific_name_counts(model: str, price: Price | None) -> None:
    assert Prices(TABLE).of(model) == price


def test_only_the_star_is_special() -> None:
    prices = Prices({"m[1]?-*": {"input": 1, "output": 1}})
    assert prices.of("m[1]?-x")
    assert prices.of("m1a-x") is None


@pytest.mark.parametrize(
    "answer",
    [
        Response("", 1, 1, 2, None, None),
        Response("", 1, 1, 2, None, "unknown-model"),
        Response("", None, None, 2, None, "gpt-4o"),
        Response("", 1, None, 2, None, "gpt-4o"),
    ],
)
def test_what_is_not_known_costs_none_and_not_nothing(answer: Response) -> None:
    assert Prices(TABLE).cost(answer) is None


def test_cached_tokens_cost_as_others_when_nobody_says_more() -> None:
    assert Prices(TABLE).cost(Response("", 1_000_000, 0, 1_000_000, 500_000, "gpt-4o")) == 2.5
    assert Prices(TABLE).cost(Response("", 0, 0, 0, 500_000, "gpt-4o")) == 0.0


def test_prices_are_loaded_from_toml_and_json(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('["gpt-4o*"]\ninput = 2.5\noutput = 10\n')
    (tmp_path / "prices.json").write_text(json.dumps({"gpt-4o*": {"input": 2.5, "output": 10}}))
    for name in ("prices.toml", "prices.json"):
        assert Prices.load(tmp_path / name).of("gpt-4o-mini") == Price(2.5, 10)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"m": 5}, "must be a table"),
        ({"m": {"input": 1}}, "lacks output"),
        ({"m": {}}, "lacks input and output"),
        ({"m": {"input": 1, "output": 1, "chached": 1}}, "unknown entry 'chached'"),
        ({"m": {"input": -1, "output": 1}}, "for input is -1"),
        ({"m": {"input": "1", "output": 1}}, "for input is '1'"),
        ({"m": {"input": True, "output": 1}}, "for input is True"),
        ({"m": {"input": float("nan"), "output": 1}}, "for input is nan"),
    ],
)
def test_prices_that_cannot_be(table: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Prices(table)


@pytest.mark.parametrize(
    ("name", "text"), [("a.toml", "= 5"), ("a.json", "{"), ("b.json", "[]"), ("missing.toml", None)]
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        Prices.load(tmp_path / name)
