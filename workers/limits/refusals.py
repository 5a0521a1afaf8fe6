"""What a refused reservation says when not everything is used up, but this request alone is too large for what is left.

Not here: the sentences of limits that are used up (`api/http/limit_errors.py`, `workers/schedules/reserve.py`).
"""

from dataclasses import dataclass
from decimal import Decimal

from workers.limits.limits import Quota, Verdict

PERIODS = {"budget_day": "day", "budget_month": "month"}


@dataclass(frozen=True)
class Wanted:
    """What a request reserves: its input, and the largest answer that it may get at first."""

    input_tokens: int
    output_tokens: int
    nanos: int

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class TooLarge:
    """Why a request alone doesn't fit. `ever_fits`: it would if nothing else were used."""

    message: str
    ever_fits: bool


def find_too_large(verdict: Verdict, wanted: Wanted) -> TooLarge | None:
    """Return what to say of the limit that has something left, but too little; None if another one is used up."""
    violated = [quota for quota in verdict.quotas if quota.name in verdict.violated]
    budgets = [quota for quota in violated if quota.name in PERIODS]
    if budgets:
        return budget_too_small(budgets, wanted)
    if [quota.name for quota in violated] != ["tokens"] or not violated[0].remaining:
        return None
    left = violated[0].remaining
    tokens = min(wanted.tokens, violated[0].limit)  # as the script reserves
    need = f"This request reserves {tokens:,} tokens{_of_these(wanted)}, and {left:,} of this tenant's "
    need += f"{violated[0].limit:,} tokens per minute are left."
    return TooLarge(need + _advice(wanted, helps=wanted.input_tokens < left), ever_fits=True)


def budget_too_small(budgets: list[Quota], wanted: Wanted) -> TooLarge | None:
    """Return what to say of the budget that the request never fits, or of that with the least left; None if that is used up."""
    least = min(budgets, key=lambda quota: (quota.limit >= wanted.nanos, quota.remaining))
    ever_fits = least.limit >= wanted.nanos
    if not least.limit or (ever_fits and not least.remaining):
        return None
    need = f"This request may cost up to {_usd(wanted.nanos)}{_of_these(wanted)}, and {_usd(least.remaining)} of this "
    need += f"tenant's budget of {_usd(least.limit)} a {PERIODS[least.name]} is left."
    return TooLarge(need + _advice(wanted, helps=True), ever_fits=ever_fits)


def _of_these(wanted: Wanted) -> str:
    return f" (its answer may have {wanted.output_tokens:,} tokens at first)" if wanted.output_tokens else ""


def _advice(wanted: Wanted, *, helps: bool) -> str:
    return (
        " Send a smaller max_tokens (max_output_tokens for /v1/responses)."
        if wanted.output_tokens and helps
        else " Send less at once."
    )


def _usd(nanos: int) -> str:
    """Return money with as many decimals as it needs, from two to nine."""
    whole, _, decimals = f"{Decimal(nanos) / 10**9:,.9f}".partition(".")
    return f"${whole}.{decimals.rstrip('0'):0<2}"
