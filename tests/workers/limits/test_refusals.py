"""What a refusal says of a request that alone is too large: what it needs, what is left, and whether waiting helps."""

import pytest

from workers.limits.limits import Quota, Verdict
from workers.limits.refusals import RequestedUsage, find_too_large

WANTED = RequestedUsage(input_tokens=20, output_tokens=1024, nanos=30_000_000)


def refuse(*quotas: Quota) -> Verdict:
    return Verdict(False, tuple(quota.name for quota in quotas), 60, quotas)


def test_a_budget_that_has_too_little_left_says_what_is_needed_and_what_is_left() -> None:
    told = find_too_large(refuse(Quota("budget_day", 50_000_000, 25_000_000, 600)), WANTED)
    assert told is not None
    assert (
        "This request may cost up to $0.03 (its answer may have 1,024 tokens at first), and $0.025 of this tenant's budget of "
        "$0.05 a day is left. Send a smaller max_tokens (max_output_tokens for /v1/responses)."
    ) == told.message
    assert told.ever_fits


def test_a_request_that_no_budget_of_a_day_holds_never_fits() -> None:
    spent = Quota("budget_day", 20_000_000, 20_000_000, 600)
    told = find_too_large(refuse(spent, Quota("budget_month", 10**12, 10**12 - 1, 9000)), WANTED)
    assert told is not None
    assert "$0.00 of this tenant's budget of $0.02 a day is left" in told.message
    assert not told.ever_fits


def test_tokens_that_are_left_are_named_and_so_is_what_helps() -> None:
    left = refuse(Quota("tokens", 2000, 1525, 30))
    told, told_of_long = find_too_large(left, WANTED), find_too_large(left, RequestedUsage(600, 1024, 0))
    assert told is not None
    assert told_of_long is not None
    assert "1,044 tokens" in told.message
    assert (
        "475 of this tenant's 2,000 tokens per minute are left. Send a smaller max_tokens (max_output" in told.message
    )
    assert told.ever_fits
    assert told_of_long.message.endswith("Send less at once.")


@pytest.mark.parametrize(
    "quotas",
    [
        (Quota("budget_day", 50_000_000, 50_000_000, 600),),
        (Quota("budget_day", 0, 0, 600),),
        (Quota("tokens", 2000, 2100, 30),),
        (Quota("requests", 2, 2, 30), Quota("tokens", 2000, 1525, 30)),
    ],
)
def test_what_is_used_up_is_no_matter_of_the_request(quotas: tuple[Quota, ...]) -> None:
    assert find_too_large(refuse(*quotas), WANTED) is None
