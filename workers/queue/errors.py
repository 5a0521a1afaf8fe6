"""Which failures another try may mend, and how long to wait before it (J5). The only place that decides so."""

import random

import psycopg

from schema.errors import HeadraceError, ProviderError, Unavailable, WorkerLost
from schema.events import Reason

BASE_S = 2.0
LOST_BASE_S = 0.25  # a lost worker says nothing about the job or the vendor: go on soon
LIMIT_S = 300.0


def is_retryable(error: Exception) -> bool:
    """Whether another try may go better: the vendor said so, or a store was away, or two transactions stood in each
    other's way."""
    if isinstance(error, ProviderError):
        return error.retryable
    return isinstance(error, Unavailable | WorkerLost | psycopg.errors.DeadlockDetected)


def retry_delay_s(error: Exception, tries: int) -> float:
    """Return the wait before the next try: full jitter over an exponential, never earlier than the vendor asked for."""
    base = LOST_BASE_S if isinstance(error, WorkerLost) else BASE_S
    delay = random.uniform(0, min(LIMIT_S, base * 2**tries))  # noqa: S311 -- jitter, no secret
    wanted = error.retry_after_s if isinstance(error, ProviderError) else None
    return max(delay, min(wanted or 0.0, LIMIT_S))


def reason_of(error: Exception) -> Reason:
    """Return what the job's row and its last event say. Unknown errors keep their text to the log: it may hold data."""
    if isinstance(error, HeadraceError):
        return Reason(error.code, error.message)
    return Reason("internal", "Something in headrace went wrong; the operators' log has it under this job's id.")
