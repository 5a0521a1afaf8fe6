"""What tokens cost, against figures that were worked out by hand."""

from decimal import Decimal
from typing import Any

import pytest

from schema.events.base import ModelUsage
from schema.model_catalog.prices import MAX_NANOS, Price, usd_text

FULL = Price(
    input_usd=Decimal(2),
    output_usd=Decimal(8),
    cached_input_usd=Decimal("0.5"),
    cache_write_usd=Decimal("2.5"),
    reasoning_usd=Decimal(10),
)
LONG = Price(
    input_usd=Decimal(1),
    output_usd=Decimal(2),
    cache_write_usd=Decimal(3),
    above_tokens=200_000,
    dearer=Price(input_usd=Decimal(2), output_usd=Decimal(3), cache_write_1h_usd=Decimal(8)),
)
PLAIN = Price(input_usd=Decimal("0.15"), output_usd=Decimal("0.6"))


def used(read: int, written: int, **parts: int) -> ModelUsage:
    return ModelUsage(model="openai/x", input_tokens=read, output_tokens=written, **parts)


PARTS = {"cached_tokens": 16, "cache_write_tokens": 3, "reasoning_tokens": 5}


@pytest.mark.parametrize(
    ("price", "tokens", "nanos"),
    [
        # 1 × 2 + 16 × 0.5 + 3 × 2.5 = 17.5 and 4 × 8 + 5 × 10 = 82 millionths of a dollar
        (FULL, used(20, 9, **PARTS), 99_500),
        # parts without a price cost what the whole does: 20 × 0.15 + 9 × 0.6 = 8.4
        (PLAIN, used(20, 9, **PARTS), 8_400),
        # 1 × 0.15 is 150 nanos
        (PLAIN, used(1, 0), 150),
        # a seventh of a nano is none, half of one is one
        (Price(input_usd=Decimal("0.000142"), output_usd=Decimal("0.0005")), used(1, 0), 0),
        (Price(input_usd=Decimal("0.000142"), output_usd=Decimal("0.0005")), used(0, 1), 1),
        # parts are never more than their whole, and the first ones come first: 5 × 0.5 and 2 × 10
        (FULL, used(5, 2, cached_tokens=9, cache_write_tokens=9, reasoning_tokens=9), 22_500),
        # tokens of the tenant's own key are free: 600 × 2
        (FULL, used(1000, 10, own_key_input_tokens=400, own_key_output_tokens=10), 1_200_000),
        (FULL, used(1000, 10, own_key_input_tokens=1000, own_key_output_tokens=10, **PARTS), 0),
        # a call costs the dearer price as a whole, by the prompt of each call and not by the sum of several
        (LONG, used(900_000, 10), 900_000_000 + 20_000),
        (LONG, used(200_000, 10, prompt_tokens=200_000), 200_000_000 + 20_000),
        (LONG, used(200_001, 10, prompt_tokens=200_001), 400_002_000 + 30_000),
        # of 5 in the cache 2 are kept for an hour, which costs the same where no other price is known: 1 × 1 + 5 × 3
        (LONG, used(6, 0, cache_write_tokens=5, cache_write_1h_tokens=2), 16_000),
        # 200,000 × 2, and 4 × 2 + 3 × 8
        (
            LONG,
            used(200_007, 0, prompt_tokens=200_007, cache_write_tokens=7, cache_write_1h_tokens=3),
            1000 * (200_000 * 2 + 4 * 2 + 3 * 8),
        ),
        # what a vendor reports can't give money back
        (LONG, used(5, 0, cache_write_tokens=5, cache_write_1h_tokens=-9), 15_000),
        (FULL, used(-5, -5, cached_tokens=-5, cache_write_tokens=-1, reasoning_tokens=-3, own_key_input_tokens=-9), 0),
        (FULL, used(10, 0, own_key_input_tokens=-90), 20_000),
        (FULL, used(2**53, 2**53), MAX_NANOS),
    ],
)
def test_tokens_cost_what_was_worked_out_by_hand(price: Price, tokens: Any, nanos: int) -> None:
    assert nanos == price.charge(tokens)


def test_a_long_call_is_reserved_at_its_own_price() -> None:
    assert 1000 * (200_000 * 3 + 2) == LONG.most(200_000, 1)
    assert 1000 * (200_001 * 8 + 3) == LONG.most(200_001, 1)


def test_no_call_costs_more_than_was_reserved_for_it() -> None:
    reserved = FULL.most(20, 9)
    assert 1000 * (20 * 2.5 + 9 * 10) == reserved
    for cached in range(21):
        for written in range(21 - cached):
            for thought in range(10):
                parts = {"cached_tokens": cached, "cache_write_tokens": written, "reasoning_tokens": thought}
                assert FULL.charge(used(20, 9, **parts)) <= reserved


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0"), (1, "0.000000001"), (99_500, "0.0000995"), (3 * 10**9, "3"), (2**53, "9007199.254740992")],
)
def test_money_is_written_in_digits(nanos: int, text: str) -> None:
    assert text == usd_text(nanos)
