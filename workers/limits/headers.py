"""A verdict as HTTP headers: draft-ietf-httpapi-ratelimit-headers (read at -11), which is a list of structured fields.

    RateLimit-Policy: "requests";q=60;w=60, "tokens";q=100000;w=60;qu="tokens"
    RateLimit: "requests";r=12;t=8, "tokens";r=81230;t=3

Not here: the problem document of a 429; its `violated-policies` are `Verdict.violated`.
"""

from workers.limits.limits import WINDOW_S, Quota, Verdict

LARGEST = 10**15 - 1  # an integer of a structured field has 15 digits (RFC 9651 §3.3.1)
NANOS_PER_MICRO = 1000  # money is told in micro-USD, for those 15 digits

WINDOWS = {
    "requests": f";w={WINDOW_S}",
    "tokens": f';w={WINDOW_S};qu="tokens"',
    "budget_day": ';w=86400;qu="micro-usd"',
    "budget_month": ';qu="micro-usd"',  # months differ, so there is no `w`
}


def rate_limit_headers(verdict: Verdict) -> dict[str, str]:
    """Return the headers for a response, none when nothing is limited; `Retry-After` only when the call was refused.

    `t` is when the first of a window's quota comes back or a budget's period ends, so `Retry-After` is never before the `t`
    of a limit that was hit.
    """
    if not verdict.quotas:
        return {}
    headers = {
        "RateLimit-Policy": ", ".join(
            f'"{quota.name}";q={_units(quota, quota.limit)}{WINDOWS[quota.name]}' for quota in verdict.quotas
        ),
        "RateLimit": ", ".join(
            f'"{quota.name}";r={_units(quota, quota.remaining)};t={quota.reset_s}' for quota in verdict.quotas
        ),
    }
    if not verdict.allowed:
        hit = [quota.reset_s for quota in verdict.quotas if quota.name in verdict.violated]
        headers["Retry-After"] = str(max([verdict.retry_after_s, *hit]))
    return headers


def _units(quota: Quota, amount: int) -> int:
    return min(LARGEST, amount // NANOS_PER_MICRO if quota.name.startswith("budget") else amount)
