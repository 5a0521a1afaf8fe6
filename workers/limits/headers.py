"""Rate-limit headers, as in draft-ietf-httpapi-ratelimit-headers-11.

    RateLimit-Policy: "requests";q=60;w=60, "tokens";q=100000;w=60;qu="tokens"
    RateLimit: "requests";r=12;t=8, "tokens";r=81230;t=3

Not here: the problem document of a 429; its `violated-policies` are `Verdict.violated`.
"""

from workers.limits.limits import BUDGETS, WINDOWS, Quota, Verdict
from workers.limits.rates import RATES

MAX_INTEGER = 10**15 - 1  # integers of structured fields have up to 15 digits (RFC 9651 §3.3.1)
NANOS_PER_MICRO = 1000  # money is given in micro-USD, to fit in 15 digits

QUOTA_UNITS = {"requests": "", "tokens": ';qu="tokens"'}  # requests are the draft's own unit
BUDGET_UNITS = {"nanos": ';qu="micro-usd"', "tokens": ';qu="tokens"'}
POLICY_PARAMETERS = {
    **{window.name: f";w={window.seconds}" + QUOTA_UNITS[window.unit] for window in (*WINDOWS, *RATES)},
    # Months differ in length, so they have no `w`.
    **{
        name: (";w=86400" if budget.period == "day" else "") + BUDGET_UNITS[budget.unit]
        for name, budget in BUDGETS.items()
    },
}


def rate_limit_headers(verdict: Verdict) -> dict[str, str]:
    """Return the headers for a response: none if nothing is limited, and `Retry-After` only if the call was refused.

    `Retry-After` is never less than the `t` of a violated limit (when a window's oldest part expires, or a budget's period
    ends).
    """
    if not verdict.quotas:
        return {}
    headers = {
        "RateLimit-Policy": ", ".join(
            f'"{quota.name}";q={_in_units(quota, quota.limit)}{POLICY_PARAMETERS[quota.name]}'
            for quota in verdict.quotas
        ),
        "RateLimit": ", ".join(
            f'"{quota.name}";r={_in_units(quota, quota.remaining)};t={quota.reset_s}' for quota in verdict.quotas
        ),
    }
    if not verdict.allowed:
        violated_resets = [quota.reset_s for quota in verdict.quotas if quota.name in verdict.violated]
        headers["Retry-After"] = str(max([verdict.retry_after_s, *violated_resets]))
    return headers


def _in_units(quota: Quota, amount: int) -> int:
    budget = BUDGETS.get(quota.name)
    return min(MAX_INTEGER, amount // NANOS_PER_MICRO if budget and budget.unit == "nanos" else amount)
