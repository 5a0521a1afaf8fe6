"""The 429 of a tenant that has reached one of its limits."""

from schema.errors import LimitReached
from schema.tenancy import TenantSnapshot
from workers.limits.headers import rate_limit_headers
from workers.limits.limits import WINDOWS, Verdict, Window
from workers.limits.rates import RATES, Rates

BUDGET_EXCEEDED = (
    "This tenant's budget is used up. It renews with the next day or month (UTC), or an admin can raise it."
)
RATE_EXCEEDED = "This tenant's rate limit is reached ({}). Retry after {} s. The RateLimit header shows what is left."


def limit_error(verdict: Verdict) -> LimitReached:
    """Return the error of a refused reservation; an exceeded budget takes precedence over a rate."""
    headers = rate_limit_headers(verdict)
    retry_after_s = float(headers.get("Retry-After") or verdict.retry_after_s)
    if any(name.startswith("budget") for name in verdict.violated):
        return LimitReached(BUDGET_EXCEEDED, code="budget_exceeded", retry_after_s=retry_after_s, headers=headers)
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
