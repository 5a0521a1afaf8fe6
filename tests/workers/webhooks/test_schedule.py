"""When a delivery is tried again, with a clock that stands still."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from workers.webhooks.schedule import DELAYS_S, hold_s, next_delay_s, read_retry_after

SPEC_S = [0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600]
"""The table of Standard Webhooks 1.0.0."""
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def test_the_schedule_is_that_of_the_specification() -> None:
    assert SPEC_S == list(DELAYS_S)
    at, times = NOW, [NOW]
    for tries in range(1, len(SPEC_S)):
        delay_s = next_delay_s(tries, lambda low, high: (low + high) / 2)
        assert delay_s is not None
        at += timedelta(seconds=delay_s)
        times.append(at)
    assert timedelta(hours=75, minutes=35, seconds=5) == times[-1] - NOW
    assert next_delay_s(len(SPEC_S), random.uniform) is None


@pytest.mark.parametrize("tries", range(1, 10))
def test_each_delay_is_moved_by_up_to_a_fifth(tries: int) -> None:
    drawn = [next_delay_s(tries, random.Random(seed).uniform) or 0 for seed in range(500)]
    assert SPEC_S[tries] * 0.8 <= min(drawn) < SPEC_S[tries] * 0.85
    assert SPEC_S[tries] * 1.15 < max(drawn) <= SPEC_S[tries] * 1.2


def test_retry_after_is_respected_if_it_is_later() -> None:
    assert 600 == next_delay_s(1, random.uniform, 600)
    assert next_delay_s(4, random.uniform, 600) != 600
    assert 86_400 == next_delay_s(1, random.uniform, 10**9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("Mon, 02 Mar 2026 08:02:00 GMT", 120),
        ("Mon, 02 Mar 2026 07:00:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("²", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert seconds == read_retry_after(text, NOW)


def test_answers_that_ask_for_patience_hold_back_the_receiver() -> None:
    assert [5, 5, 5, 5] == [hold_s(status, None) for status in (429, 502, 503, 504)]
    assert [0, 0, 0] == [hold_s(status, None) for status in (None, 500, 200)]
    assert (40, 3600) == (hold_s(500, 40), hold_s(503, 99_999))
