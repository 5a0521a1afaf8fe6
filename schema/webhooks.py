"""Webhooks: the types of events that endpoints choose from, and the states of a delivery.

      pending ──claim──► sending ──2xx──► delivered
        ▲  ▲               │
        │  └─ retry, lost ─┼──► exhausted   (the schedule is over, or 410)
        └── enabled ──── paused             (its endpoint was disabled)

A delivery that has ended can be sent again by hand.
"""

from typing import Literal, get_args

WebhookEvent = Literal[
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "document.ready",
    "document.failed",
    "budget.reached",
    "service.down",
    "service.recovered",
    "certificate.issued",
    "certificate.failed",
    "certificate.expiring",
]
WEBHOOK_EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
JOB_EVENTS: tuple[WebhookEvent, ...] = ("job.succeeded", "job.failed", "job.cancelled")

TEST_EVENT = "webhook.test"
"""What `POST …/test` sends, whatever the endpoint has chosen."""

NOUNS: tuple[str, ...] = tuple(dict.fromkeys(event.partition(".")[0] for event in WEBHOOK_EVENTS))
WILDCARDS: tuple[str, ...] = (*(f"{noun}.*" for noun in NOUNS), "*")

DeliveryState = Literal["pending", "sending", "paused", "delivered", "exhausted"]
DELIVERY_STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)

DisabledFor = Literal["gone", "failing"]
"""Why an endpoint was switched off: it answered 410, or failed for days."""

Include = Literal["result"]
"""What a payload may have besides ids, state, times and usage."""


def selects(chosen: str) -> bool:
    """Whether this is an event or a wildcard that stands for some."""
    return chosen in WEBHOOK_EVENTS or chosen in WILDCARDS
