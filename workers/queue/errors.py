"""Which failures are retried, and after how long. No other place decides that."""

import random

import psycopg

from schema.errors import HeadraceError, ProviderError, Unavailable, WorkerLost
from schema.events import Reason

BASE_S = 2.0
INTERACTIVE_S = 5.0
"""How long a client that waits for its first word is kept from hearing that a provider fails."""
INTERACTIVE_BASE_S = 0.5
LOST_BASE_S = 0.25  # a lost worker says nothing about the job or the provider, so the retry is soon
MAX_S = 300.0
MAX_FREE_RETRIES = 10


def is_retryable(error: Exception) -> bool:
    """Whether a retry may succeed: the provider says so, a store was unavailable, a worker was lost, or two
    transactions deadlocked."""
    if isinstance(error, ProviderError):
        return error.retryable
    return isinstance(error, Unavailable | WorkerLost | psycopg.errors.DeadlockDetected)


def spends_no_try(error: Exception, *, attempt: int, tries: int) -> bool:
    """Whether a retry is free: a store of ours was unavailable, which is no fault of the job. Not for ever, since a job may be
    the one that the store can't stand; attempts are numbered at least as high as there were claims."""
    return isinstance(error, Unavailable) and attempt - tries < MAX_FREE_RETRIES


def retry_delay_s(error: Exception, tries: int) -> float:
    """Return the delay before the next try: exponential with full jitter, and never less than the provider asks for."""
    base = LOST_BASE_S if isinstance(error, WorkerLost) else BASE_S
    delay = random.uniform(0, min(MAX_S, base * 2**tries))  # noqa: S311 -- jitter, no secret
    wanted = error.retry_after_s if isinstance(error, ProviderError) else None
    return max(delay, min(wanted or 0.0, MAX_S))


def interactive_delay_s(error: ProviderError, tries: int, *, ran_s: float, age_s: float) -> float | None:
    """Return the delay before the next try of a job whose client waits and has heard nothing, or None if there is no time for
    one: the client learns the provider's error after about INTERACTIVE_S. The first try, which `ran_s`, is not blamed for the
    time that the job, `age_s` old, spent in the queue."""
    delay = random.uniform(0, INTERACTIVE_BASE_S * 2**tries)  # noqa: S311 -- jitter, no secret
    delay = max(delay, error.retry_after_s or 0.0)
    spent_s = ran_s if tries <= 1 else max(ran_s, age_s)
    return delay if spent_s + delay <= INTERACTIVE_S else None


def public_reason(error: Exception) -> Reason:
    """Return the reason in the job's row and last event. The text of unknown errors is only logged, as it may hold data."""
    if isinstance(error, ProviderError):
        return Reason(error.code, error.message, error.retry_after_s, error.vendor_code, error.vendor_param)
    if isinstance(error, HeadraceError):
        return Reason(error.code, error.message)
    return Reason("internal", "Something in headrace went wrong; the operators' log has it under this job's id.")
