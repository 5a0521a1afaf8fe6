"""What a refused reservation says when not everything is used up, but this request alone is too large for what is left.

Not here: the sentences of limits that are used up (`api/http/limit_errors.py`, `workers/schedules/reserve.py`).
"""

from dataclasses import dataclass
from decimal import Decimal

from workers.limits.limits import BUDGETS, Quota, Verdict

OWNERS = {"tenant": "this tenant's", "key": "this API key's", "user": "this user's"}
RENEWS = {"day": "at 00:00 UTC", "month": "on the first of the next month (UTC)"}
WHO_RAISES = {"tenant": "an admin can raise it", "key": "an owner can raise it", "user": "an owner can raise it"}


@dataclass(frozen=True)
class RequestedUsage:
    """What a request reserves: its input, and the largest answer that it may get at first."""

    input_tokens: int
    output_tokens: int
    nanos: int

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def amount(self, quota: Quota) -> int:
        """Return how much of a budget it reserves."""
        return self.nanos if BUDGETS[quota.name].unit == "nanos" else self.tokens


@dataclass(frozen=True)
class TooLarge:
    """Why a request alone doesn't fit. `ever_fits`: it would if nothing else were used."""

    message: str
    ever_fits: bool


def find_too_large(verdict: Verdict, wanted: RequestedUsage) -> TooLarge | None:
    """Return what to say of the limit that has something left, but too little; None if another one is used up."""
    violated = [quota for quota in verdict.quotas if quota.name in verdict.violated]
    budgets = [quota for quota in violated if quota.name in BUDGETS]
    if budgets:
        return budget_too_small(budgets, wanted)
    if [quota.name for quota in violated] != ["tokens"] or not violated[0].remaining:
        return None
    left = violated[0].remaining
    tokens = min(wanted.tokens, violated[0].limit)  # as the script reserves
    need = f"This request reserves {tokens:,} tokens{_of_these(wanted)}, and {left:,} of this tenant's "
    need += f"{violated[0].limit:,} tokens per minute are left."
    return TooLarge(need + _advice(wanted, helps=wanted.input_tokens < left), ever_fits=True)


def budget_too_small(budgets: list[Quota], wanted: RequestedUsage) -> TooLarge | None:
    """Return what to say of the budget that the request never fits, or of that with the least left; None if that is used up."""
    least = min(budgets, key=lambda quota: (quota.limit >= wanted.amount(quota), quota.remaining))
    ever_fits = least.limit >= wanted.amount(least)
    if not least.limit or (ever_fits and not least.remaining):
        return None
    return TooLarge(_need(least, wanted) + _advice(wanted, helps=True), ever_fits=ever_fits)


def budget_used_up(quota: Quota) -> str:
    """Return what to say of a budget that is used up: whose, how much it is, when it renews and who can raise it."""
    budget = BUDGETS[quota.name]
    whose = OWNERS[budget.of].replace("this", "This", 1)
    amount = _usd(quota.limit) if budget.unit == "nanos" else f"{quota.limit:,} tokens"
    renews = f"It renews {RENEWS[budget.period]}, or {WHO_RAISES[budget.of]}."
    return f"{whose} budget of {amount} a {budget.period} is used up. {renews}"


def longest(budgets: list[Quota]) -> Quota:
    """Return the budget that renews last."""
    return max(budgets, key=lambda quota: quota.reset_s)


def _need(quota: Quota, wanted: RequestedUsage) -> str:
    budget = BUDGETS[quota.name]
    owner = OWNERS[budget.of]
    if budget.unit == "tokens":
        need = f"This request reserves {wanted.tokens:,} tokens{_of_these(wanted)}, and {quota.remaining:,} of {owner} "
        return need + f"{quota.limit:,} tokens a {budget.period} are left."
    need = (
        f"This request may cost up to {_usd(wanted.nanos)}{_of_these(wanted)}, and {_usd(quota.remaining)} of {owner} "
    )
    return need + f"budget of {_usd(quota.limit)} a {budget.period} is left."


def _of_these(wanted: RequestedUsage) -> str:
    return f" (its answer may have {wanted.output_tokens:,} {_tokens(wanted)} at first)" if wanted.output_tokens else ""


def _tokens(wanted: RequestedUsage) -> str:
    return "token" if wanted.output_tokens == 1 else "tokens"


def _advice(wanted: RequestedUsage, *, helps: bool) -> str:
    if wanted.output_tokens > 1 and helps:
        return " Send a smaller max_tokens (max_output_tokens for /v1/responses)."
    return " Send less at once, or choose a cheaper model." if wanted.nanos else " Send less at once."


def _usd(nanos: int) -> str:
    """Return money with as many decimals as it needs, from two to nine."""
    whole, _, decimals = f"{Decimal(nanos) / 10**9:,.9f}".partition(".")
    return f"${whole}.{decimals.rstrip('0'):0<2}"
