"""The rate-limit headers of responses."""

from workers.limits.headers import rate_limit_headers
from workers.limits.limits import Quota, Verdict

REQUESTS, TOKENS = Quota("requests", 60, 48, 8), Quota("tokens", 100_000, 130_000, 3)


def test_every_limit_is_given_with_its_unit_and_what_remains() -> None:
    headers = rate_limit_headers(Verdict(allowed=True, quotas=(REQUESTS, Quota("tokens", 100_000, 40_000, 3))))
    assert {
        "RateLimit-Policy": '"requests";q=60;w=60, "tokens";q=100000;w=60;qu="tokens"',
        "RateLimit": '"requests";r=12;t=8, "tokens";r=60000;t=3',
    } == headers


def test_a_refusal_has_retry_after_and_an_exceeded_limit_has_nothing_left() -> None:
    headers = rate_limit_headers(Verdict(False, ("tokens",), 21, (REQUESTS, TOKENS)))
    assert ("21", '"requests";r=12;t=8, "tokens";r=0;t=3') == (headers["Retry-After"], headers["RateLimit"])


def test_retry_after_is_not_before_the_violated_limit_resets() -> None:
    assert "8" == rate_limit_headers(Verdict(False, ("requests",), 2, (REQUESTS, TOKENS)))["Retry-After"]


def test_money_is_given_in_micro_usd_and_fits_fifteen_digits() -> None:
    day, month = Quota("budget_day", 5_000_000_000, 1_999, 900), Quota("budget_month", 10**19, 0, 86_500)
    assert {
        "RateLimit-Policy": '"budget_day";q=5000000;w=86400;qu="micro-usd", "budget_month";q=999999999999999;qu="micro-usd"',
        "RateLimit": '"budget_day";r=4999998;t=900, "budget_month";r=999999999999999;t=86500',
    } == rate_limit_headers(Verdict(allowed=True, quotas=(day, month)))


def test_without_limits_there_are_no_headers() -> None:
    assert {} == rate_limit_headers(Verdict(allowed=True))
