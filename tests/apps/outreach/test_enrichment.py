"""The waterfall with real providers: what is asked, what is charged, what is merged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.enrichment import (
    STANDARD_TERMS,
    Entity,
    Provider,
    ProviderRefused,
    ProviderResult,
    TierTerms,
    WaterfallResult,
    arrange_tiers,
    cost_summary,
    run_waterfall,
)
from phasegate.errors import InputError

COMPANY = Entity("04.04.02.04.30000.001", "company", {"company_name": "Acorn", "website": ""})
NOTHING = ProviderResult()


class Scripted:
    """Answers with the given results and errors, one per call; the last one again and again."""

    def __init__(self, name: str, tier: int, *answers: Mapping[str, Any] | ProviderResult | Exception) -> None:
        self.name, self.tier = name, tier
        self.calls: list[str] = []
        self._answers = list(answers)

    async def lookup(self, entity: Entity) -> ProviderResult:
        self.calls.append(entity.entity_id)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, ProviderResult) else ProviderResult(answer)


class Silent:
    """Never answers; notes that it was asked and that it was told to stop."""

    def __init__(self, name: str, tier: int) -> None:
        self.name, self.tier = name, tier
        self.asked = asyncio.Event()
        self.stopped = 0

    async def lookup(self, entity: Entity) -> ProviderResult:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return NOTHING


class SteppingClock:
    """Every look at it is one second later, or whatever step is given."""

    def __init__(self, step: float = 1.0) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.step = timedelta(seconds=step)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


def run(*providers: Provider, terms: Sequence[TierTerms] = STANDARD_TERMS, **options: Any) -> WaterfallResult:
    entity = options.pop("entity", COMPANY)
    return asyncio.run(run_waterfall(entity, arrange_tiers(providers, terms), **options))


def outcomes(result: WaterfallResult) -> Iterator[tuple[str, int, str]]:
    for tier in result.tier_results:
        for attempt in tier.attempts:
            yield attempt.provider, attempt.number, attempt.outcome.value


def test_the_terms_of_the_three_tiers() -> None:
    assert [(t.number, t.price, t.timeout_seconds, t.retries) for t in STANDARD_TERMS] == [
        (1, Decimal("0.20"), 30.0, 2),
        (2, Decimal("1.50"), 45.0, 2),
        (3, Decimal("3.00"), 60.0, 3),
    ]


def test_the_first_success_ends_it_and_is_charged_once() -> None:
    first = Scripted("first", 1, {})
    second = Scripted("second", 1, {"website": "https://acorn.example", "phone": ""})
    third, expensive = Scripted("third", 1, {"x": 1}), Scripted("expensive", 2, {"x": 1})
    result = run(first, second, third, expensive)
    assert result.success
    assert result.final_tier == 1
    assert result.enriched_data == {"website": "https://acorn.example"}
    assert result.sources == {"website": "second"}
    assert result.total_cost == Decimal("0.20")
    assert not result.manual_review
    assert list(outcomes(result)) == [("first", 1, "not_found"), ("second", 1, "found")]
    assert not third.calls
    assert not expensive.calls


def test_tiers_are_asked_from_the_cheapest_up_whatever_their_order() -> None:
    result = run(Scripted("c", 3, {"x": 1}), Scripted("b", 2, {}), Scripted("a", 1, {}))
    assert [name for name, _, _ in outcomes(result)] == ["a", "b", "c"]
    assert (result.final_tier, result.total_cost) == (3, Decimal("3.00"))


def test_what_several_providers_find_is_merged_and_the_first_value_wins() -> None:
    result = run(
        Scripted("a", 1, {"website": "https://acorn.example", "phone": "  ", "tags": []}),
        Scripted("b", 1, {"website": "https://other.example", "phone": "555-0100"}),
        Scripted("c", 2, {"phone": "555-0199", "employee_count": 0, "public": False}),
        Scripted("d", 3, {"x": 1}),
        wanted=("website", "phone", "employee_count"),
    )
    assert result.success
    assert result.enriched_data == {
        "website": "https://acorn.example",
        "phone": "555-0100",
        "employee_count": 0,
        "public": False,
    }
    assert result.sources == {"website": "a", "phone": "b", "employee_count": "c", "public": "c"}
    assert result.total_cost == Decimal("0.20") * 2 + Decimal("1.50")
    assert result.final_tier == 2


def test_what_is_known_is_neither_replaced_nor_asked_for() -> None:
    entity = Entity("P1", "person", {"email": "jane@acorn.example", "phone": " "})
    provider = Scripted("a", 1, {"email": "other@acorn.example", "phone": "555-0100"})
    result = run(provider, entity=entity, wanted=("email", "phone"))
    assert result.enriched_data == {"phone": "555-0100"}
    again = run(provider, entity=entity, wanted=("email",))
    assert again.success
    assert again.tier_results == ()
    assert again.final_tier is None
    assert again.total_cost == 0
    assert len(provider.calls) == 1


def test_half_of_what_is_wanted_is_kept_and_given_to_a_person() -> None:
    result = run(Scripted("a", 1, {"website": "w"}), Scripted("b", 3, {}), wanted=("website", "phone"))
    assert not result.success
    assert result.manual_review
    assert result.enriched_data == {"website": "w"}
    assert (result.final_tier, result.total_cost) == (1, Decimal("0.20"))


def test_when_all_fail_nothing_is_charged_and_a_person_must_look() -> None:
    result = run(Scripted("a", 1, {}), Scripted("b", 2, RuntimeError("down")), Scripted("c", 3, {"x": None}))
    assert not result.success
    assert result.manual_review
    assert result.final_tier is None
    assert result.total_cost == 0
    assert result.enriched_data == {}


def test_errors_are_repeated_as_often_as_the_tier_allows() -> None:
    for tier, calls in ((1, 3), (2, 3), (3, 4)):
        provider = Scripted("a", tier, OSError("unreachable"))
        result = run(provider)
        assert len(provider.calls) == calls
        assert list(outcomes(result)) == [("a", number, "failed") for number in range(1, calls + 1)]
        assert result.tier_results[0].attempts[0].message == "OSError: unreachable"


def test_a_retry_may_succeed_and_is_charged_once() -> None:
    provider = Scripted("a", 2, OSError("x"), OSError("y"), {"phone": "555-0100"})
    result = run(provider, Scripted("b", 2, {"x": 1}))
    assert list(outcomes(result)) == [("a", 1, "failed"), ("a", 2, "failed"), ("a", 3, "found")]
    assert result.total_cost == Decimal("1.50")


def test_not_found_and_refused_are_not_repeated() -> None:
    result = run(Scripted("a", 3, {}), Scripted("b", 3, ProviderRefused("key not accepted")))
    assert list(outcomes(result)) == [("a", 1, "not_found"), ("b", 1, "refused")]


def test_a_provider_that_does_not_answer_is_stopped_repeated_and_passed_over() -> None:
    async def scenario() -> tuple[WaterfallResult, Silent]:
        silent = Silent("silent", 1)
        terms = (TierTerms(1, Decimal(1), timeout_seconds=0.0, retries=2),)
        tiers = arrange_tiers((silent, Scripted("b", 1, {"x": 1})), terms)
        return await run_waterfall(COMPANY, tiers), silent

    result, silent = asyncio.run(scenario())
    assert silent.stopped == 3
    assert list(outcomes(result)) == [*(("silent", number, "timed_out") for number in (1, 2, 3)), ("b", 1, "found")]
    assert result.tier_results[0].attempts[0].message == "no answer within 0 seconds"
    assert result.total_cost == Decimal(1)


def test_a_timeout_of_the_providers_own_counts_as_one() -> None:
    result = run(Scripted("a", 1, TimeoutError()))
    assert {outcome for _, _, outcome in outcomes(result)} == {"timed_out"}


def test_cancelling_the_caller_is_not_mistaken_for_a_timeout() -> None:
    async def scenario() -> Silent:
        silent = Silent("silent", 1)
        task = asyncio.create_task(run_waterfall(COMPANY, arrange_tiers((silent,))))
        await silent.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return silent

    assert asyncio.run(scenario()).stopped == 1


def test_a_dry_run_calls_nobody() -> None:
    provider = Scripted("a", 1, {"x": 1})
    result = run(provider, dry_run=True)
    assert not provider.calls
    assert result.dry_run
    assert not result.success
    assert not result.manual_review
    assert result.final_tier is None
    assert result.total_cost == 0
    assert not result.tier_results


def test_the_result_has_the_promised_keys_and_is_json() -> None:
    result = run(
        Scripted("a", 1, OSError("x"), {}),
        Scripted("b", 2, {"phone": "555-0100"}),
        clock=SteppingClock(),
        terms=(*STANDARD_TERMS[:1], TierTerms(2, Decimal("1.50"), 45.0, 2)),
    ).to_result()
    assert list(result) == [
        "entity_id",
        "entity_type",
        "final_tier",
        "success",
        "enriched_data",
        "total_cost",
        "total_duration_seconds",
        "tier_results",
        "timestamp",
    ]
    assert json.loads(json.dumps(result)) == result
    assert (result["entity_id"], result["entity_type"]) == (COMPANY.entity_id, "company")
    assert result["total_cost"] == 1.5
    # Looks at the clock: start, two for each of the three calls, end.
    assert result["total_duration_seconds"] == 7.0
    assert result["timestamp"] == "2026-01-01T00:00:08+00:00"
    assert [tier["tier"] for tier in result["tier_results"]] == [1, 2]
    assert result["tier_results"][0]["duration_seconds"] == 2.0
    assert result["tier_results"][1]["attempts"] == [
        {
            "provider": "b",
            "attempt": 1,
            "outcome": "found",
            "cost": 1.5,
            "duration_seconds": 1.0,
            "found": ["phone"],
            "message": None,
        }
    ]


def test_a_clock_that_is_set_back_makes_no_negative_duration() -> None:
    result = run(Scripted("a", 1, {"x": 1}), clock=SteppingClock(-5.0))
    assert result.total_duration_seconds == 0.0


def test_money_adds_up_exactly() -> None:
    terms = (TierTerms(1, Decimal("0.10"), 1.0, 0),)
    providers = [Scripted(f"p{number}", 1, {f"f{number}": 1}) for number in range(3)]
    result = run(*providers, terms=terms, wanted=("f0", "f1", "f2"))
    assert result.total_cost == Decimal("0.30")


def test_providers_must_fit_the_tiers() -> None:
    with pytest.raises(InputError, match="tier 7"):
        arrange_tiers([Scripted("a", 7, {})])
    with pytest.raises(InputError, match="two providers are named 'a'"):
        arrange_tiers([Scripted("a", 1, {}), Scripted("a", 2, {})])
    assert arrange_tiers([]) == ()


def test_the_summary_of_an_empty_batch_is_zero() -> None:
    summary = cost_summary([])
    assert summary.pop("by_tier") == {}
    assert all(value == 0 for value in summary.values())


def test_the_summary_adds_up() -> None:
    batch = [
        run(Scripted("a", 1, {"x": 1}), clock=SteppingClock()),
        run(Scripted("a", 1, OSError("x")), Scripted("b", 2, {"x": 1}), clock=SteppingClock()),
        run(Scripted("a", 1, {}), clock=SteppingClock()),
    ]
    assert cost_summary(batch) == {
        "total_entities": 3,
        "successful": 2,
        "failed": 1,
        "manual_review": 1,
        "success_rate": 2 / 3,
        "verifications": 0,
        "verification_cost": 0.0,
        "total_cost": 1.7,
        "average_cost": pytest.approx(1.7 / 3),
        "average_cost_per_success": 0.85,
        "total_duration_seconds": 3.0 + 9.0 + 3.0,
        "by_tier": {
            "1": {"calls": 5, "found": 1, "final_for": 1, "cost": 0.2},
            "2": {"calls": 1, "found": 1, "final_for": 1, "cost": 1.5},
        },
    }


@given(
    answers=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["found", "nothing", "error", "refused"])), max_size=8
    )
)
def test_cost_is_the_price_of_the_calls_that_found_something(answers: list[tuple[int, str]]) -> None:
    made: dict[str, Any] = {"found": {"x": 1}, "nothing": {}, "error": OSError(), "refused": ProviderRefused()}
    result = run(*(Scripted(f"p{place}", tier, made[kind]) for place, (tier, kind) in enumerate(answers)))
    successful = sorted(tier for tier, kind in answers if kind == "found")
    assert result.success == bool(successful)
    assert result.final_tier == (successful[0] if successful else None)
    price = {terms.number: terms.price for terms in STANDARD_TERMS}
    assert result.total_cost == (price[successful[0]] if successful else 0)
    assert result.manual_review != result.success
