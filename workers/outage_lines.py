"""Keeps logs readable while a store is unavailable: of what fails again and again, the first line, one every 30 s with the
number of those left out, and the rest with the line that says that the store is back.

A processor of structlog. Whoever logs needs to know nothing of it; what it holds back is named here.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable

import structlog
from structlog.typing import EventDict, WrappedLogger

EVERY_S = 30.0
OUTAGE_EVENTS = frozenset(
    {
        *("maintenance_postponed", "dispatch_postponed", "claim_postponed", "requeue_postponed", "webhooks_postponed"),
        *("settlement_postponed", "schedule_postponed", "batch_line_postponed"),
        *("enqueue_failed", "undispatch_failed", "relay_write_failed", "pubsub_disconnected", "cancel_not_sent"),
        *("broker_unavailable",),
        *("embedding_request_failed", "embedding_server_disconnected", "embedding_response_lost"),
        *("rates_unchecked", "limits_unchecked", "sign_in_not_counted", "key_use_not_recorded", "refusal_not_recorded"),
        *("configuration_not_read", "configuration_not_cached", "answer_lookup_failed", "answer_not_stored"),
        *("summary_not_updated", "models_not_read", "signing_keys_not_read", "storage_failed", "changes_not_read"),
    }
)
"""Events of our own that come with each request, attempt or round while a store is away."""
BACK_EVENTS = frozenset({"postgres_back", "pubsub_reconnected"})
TOLD_APART_BY = ("what", "queue")


class OutageLines:
    """The processor of one process. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Return the line; raises DropEvent for one that is left out and counted."""
        name = event.get("event")
        if name in OUTAGE_EVENTS:
            with self._lock:
                return self._note(_kind(event), event)
        if name in BACK_EVENTS:
            with self._lock:
                return self._end(event)
        return event

    def _note(self, kind: str, event: EventDict) -> EventDict:
        now, before = self._clock(), self._logged_at.get(kind)
        if before is not None and now - before < EVERY_S:
            self._left_out[kind] += 1
            raise structlog.DropEvent
        self._logged_at[kind] = now
        if more := self._left_out.pop(kind, 0):
            event["more"] = more
        return event

    def _end(self, event: EventDict) -> EventDict:
        if self._left_out:
            event["left_out"] = dict(self._left_out)
        self._logged_at.clear()
        self._left_out.clear()
        return event


def _kind(event: EventDict) -> str:
    return " ".join([event["event"], *(str(event[field]) for field in TOLD_APART_BY if field in event)])
