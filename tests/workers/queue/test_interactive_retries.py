"""How long a client that waits is kept from hearing that a provider fails."""

import pytest

from graphs.providers.errors import ProviderOverloaded, ProviderRateLimited
from workers.queue.errors import INTERACTIVE_S, interactive_delay_s

BUSY = ProviderOverloaded("It is busy.")


def test_all_delays_and_quick_calls_fit_into_the_time() -> None:
    for _ in range(200):
        age_s, tries = 0.1, 1
        while (delay_s := interactive_delay_s(BUSY, tries, ran_s=0.1, age_s=age_s)) is not None and tries < 4:
            age_s, tries = age_s + delay_s + 0.1, tries + 1
        assert age_s <= INTERACTIVE_S + 0.2
        assert tries >= 2


@pytest.mark.parametrize(("asked_s", "retried"), [(0.2, True), (3.0, True), (7.0, False), (3600.0, False)])
def test_a_vendors_wish_to_wait_is_heeded_or_passed_on(asked_s: float, retried: bool) -> None:
    delay_s = interactive_delay_s(ProviderRateLimited("Later.", asked_s), 1, ran_s=0.1, age_s=0.1)
    assert retried == (delay_s is not None)
    assert delay_s is None or delay_s >= asked_s


def test_a_call_that_took_long_is_not_made_again_and_time_in_the_queue_is_not_held_against_the_first() -> None:
    assert interactive_delay_s(BUSY, 1, ran_s=60.0, age_s=60.0) is None
    assert interactive_delay_s(BUSY, 1, ran_s=0.1, age_s=120.0) is not None
    assert interactive_delay_s(BUSY, 2, ran_s=0.1, age_s=120.0) is None
