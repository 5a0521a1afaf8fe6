"""The 429 of a tenant that has reached one of its limits."""

from collections.abc import Mapping
from typing import Any, Literal

from schema.errors import LimitReached
from schema.identity.tenancy import TenantSnapshot
from schema.metrics.catalog import RATE_LIMITED
from workers.limits.headers import rate_limit_headers
from workers.limits.limits import BUDGETS, WINDOWS, Verdict, Window
from workers.limits.rates import RATES, Rates
from workers.limits.refusals import RequestedUsage, budget_used_up, find_too_large, longest

RATE_EXCEEDED = "This tenant's rate limit is reached ({}). Retry after {} s. The RateLimit header shows what is left."

RateClass = Literal["reads", "searches", "jobs", "guesses", "none"]
"""What limits how often a route is called."""


def counted_as(rate: Window) -> dict[str, Any]:
    """Return the `opt` of a handler that calls `require_rate` itself; that of GET is called by the guard."""
    return {"rate": rate.name}


def declared_rate(opt: Mapping[str, Any]) -> RateClass | None:
    """Return what a handler says of itself by `counted_as`, if it says something."""
    return opt.get("rate")


def limit_error(verdict: Verdict, wanted: RequestedUsage | None = None) -> LimitReached:
    """Return the error of a refused reservation; an exceeded budget takes precedence over a rate. One of a request that no
    waiting makes fit has no `Retry-After`."""
    for policy in verdict.violated:
        RATE_LIMITED.of(policy).inc()
    headers = rate_limit_headers(verdict)
    retry_after_s = float(headers.get("Retry-After") or verdict.retry_after_s)
    budgets = [quota for quota in verdict.quotas if quota.name in BUDGETS and quota.name in verdict.violated]
    is_budget = bool(budgets)
    if wanted is not None and (too_large := find_too_large(verdict, wanted)):
        code = "budget_exceeded" if is_budget else "rate_limit_exceeded"
        if too_large.ever_fits:
            return LimitReached(too_large.message, code=code, retry_after_s=retry_after_s, headers=headers)
        headers.pop("Retry-After", None)
        return LimitReached(too_large.message, code=code, retry_after_s=None, headers=headers)
    if is_budget:
        message = budget_used_up(longest(budgets))
        return LimitReached(message, code="budget_exceeded", retry_after_s=retry_after_s, headers=headers)
    what = " and ".join(
        window.limit.replace("_", " ") for window in (*WINDOWS, *RATES) if window.name in verdict.violated
    )
    message = RATE_EXCEEDED.format(what, round(retry_after_s))
    return LimitReached(message, code="rate_limit_exceeded", retry_after_s=retry_after_s, headers=headers)


def require_rate(rates: Rates, tenant: TenantSnapshot, rate: Window) -> None:
    """Count a read or a search of a tenant. Raises LimitReached if it has had too many."""
    verdict = rates.count(tenant.id, rate, getattr(tenant, rate.limit))
    if verdict is not None:
        raise limit_error(verdict)
