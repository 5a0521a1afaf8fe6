"""Request and response structs of webhooks. A secret is returned once, when it is made; of headers, only the names."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.fields import CreatedAt, CreatedBy, NextCursor, UpdatedAt
from schema.webhooks import WEBHOOK_EVENTS, DeliveryState, DisabledFor, Include

MAX_ENDPOINTS = 50
"""Endpoints that a tenant can have."""

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        description="Where messages are posted: public, and https, unless an admin granted the host to your tenant.",
        examples=["https://erp.example.com/hooks/headrace"],
    ),
]
Description = Annotated[str, Meta(max_length=500, description="What it is for.")]
Events = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=40)]],
    Meta(
        min_length=1,
        max_length=20,
        description=f"Types of events: {', '.join(f'`{event}`' for event in WEBHOOK_EVENTS)}; or wildcards such as `job.*`.",
        examples=[["job.*"]],
    ),
]
Kinds = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=40)]],
    Meta(max_length=10, description="Of events of jobs, only those of these kinds, such as `chat`; empty means all."),
]
Agents = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=200)]],
    Meta(max_length=50, description="Of events of jobs, only those that these agents answered; empty means all."),
]
Includes = Annotated[
    list[Include],
    Meta(max_length=1, description="`result`: messages about jobs have the result, up to 256 KB of it."),
]
Enabled = Annotated[bool, Meta(description="Whether messages are sent. What waits is sent when it is enabled again.")]
# Plain types: a validation error of a struct would quote the value.
Secret = Annotated[
    str,
    Meta(
        max_length=200,
        description="`whsec_` and 24 to 64 random bytes in base64. Stored encrypted. Leave it out to have one made.",
    ),
]
NewHeaders = Annotated[
    dict[str, str],
    Meta(
        max_length=20,
        description="Headers of your own for each message. Stored encrypted, never returned.",
        extra={"max_bytes": 64 * 1024},
    ),
]


class EndpointIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint: where to post which events."""

    url: Url
    events: Events
    description: Description = ""
    kinds: Kinds = []
    agents: Agents = []
    include: Includes = []
    enabled: Enabled = True
    headers: NewHeaders = {}
    secret: Secret | None = None

    def __repr__(self) -> str:
        return "EndpointIn(…)"


class EndpointChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of an endpoint to update. Omitted fields keep their value; the secret is changed by `rotate-secret`."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET
    agents: Agents | UnsetType = UNSET
    include: Includes | UnsetType = UNSET
    enabled: Enabled | UnsetType = UNSET
    headers: NewHeaders | UnsetType = UNSET

    def __repr__(self) -> str:
        return "EndpointChangeIn(…)"


class SecretIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret of your own choice."""

    secret: Secret | None = None

    def __repr__(self) -> str:
        return "SecretIn(…)"


FormerUntil = Annotated[
    datetime | None, Meta(description="Until when the former secret signs, too; null if only one does.")
]


HeldUntil = Annotated[
    datetime | None,
    Meta(description="Until when nothing is sent to this receiver, as it answered so; null if it isn't held."),
]
HeldFor = Annotated[str | None, Meta(description="Why it is held, as a sentence; null if it isn't.")]


class EndpointOut(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, without its secret."""

    id: Annotated[UUID, Meta(description="Id of the endpoint.")]
    url: Url
    events: Events
    description: Description
    kinds: Kinds
    agents: Agents
    include: Includes
    enabled: Enabled
    headers: Annotated[list[str], Meta(description="Names of its own headers.")]
    former_secret_until: FormerUntil
    failing_since: Annotated[
        datetime | None, Meta(description="First failure since the last success; null if the last one succeeded.")
    ]
    held_until: HeldUntil = None
    held_for: HeldFor = None
    disabled_at: Annotated[datetime | None, Meta(description="When it was switched off by the system; else null.")]
    disabled_for: Annotated[
        DisabledFor | None,
        Meta(description="Why: `gone` (it answered 410) or `failing` (nothing but failures for five days)."),
    ]
    created_at: CreatedAt
    updated_at: UpdatedAt
    created_by: CreatedBy


class EndpointCreatedOut(EndpointOut, frozen=True, kw_only=True):
    """An endpoint that was just created, with its secret."""

    secret: Annotated[str, Meta(description="The secret that verifies its messages, returned only now.")]

    def __repr__(self) -> str:
        return f"EndpointCreatedOut(id={self.id})"


class EndpointsOut(msgspec.Struct, frozen=True):
    """A page of endpoints, oldest first."""

    items: Annotated[list[EndpointOut], Meta(description="The endpoints on this page.")]
    next_cursor: NextCursor


class SecretOut(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret."""

    secret: Annotated[str, Meta(description="The new secret, returned only now.")]
    former_secret_until: FormerUntil

    def __repr__(self) -> str:
        return "SecretOut(…)"


class CallbackSecretOut(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of the secret of callbacks, but for the secret."""

    created_at: Annotated[datetime | None, Meta(description="When the first one was made; null if none was yet.")]
    rotated_at: Annotated[datetime | None, Meta(description="When the present one was made, if it isn't the first.")]
    former_secret_until: FormerUntil


class DeliveryOut(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to one receiver."""

    id: Annotated[UUID, Meta(description="Id of the delivery.")]
    webhook_id: Annotated[
        str, Meta(description="The header `webhook-id`: the same for each attempt, and for each receiver of the event.")
    ]
    endpoint_id: Annotated[UUID | None, Meta(description="The endpoint; null for the callback of a job.")]
    callback_url: Annotated[str | None, Meta(description="The address of a callback; else null.")]
    type: Annotated[str, Meta(description="Type of the event, such as `job.succeeded`.")]
    occurred_at: Annotated[datetime, Meta(description="When the event happened.")]
    sequence: Annotated[int, Meta(description="`data.sequence` of the message: larger is newer.")]
    job_id: Annotated[UUID | None, Meta(description="The job that the event is about; null if it is about none.")]
    document_id: Annotated[UUID | None, Meta(description="The document that it is about; null if it is about none.")]
    state: Annotated[
        DeliveryState,
        Meta(
            description="`pending` waits for its time, `sending`, `paused` until its endpoint is enabled, `delivered`, or "
            "`exhausted` after the last try."
        ),
    ]
    attempts: Annotated[int, Meta(description="How often it was sent.")]
    next_at: Annotated[
        datetime | None,
        Meta(description="When it is sent next, or after `held_until` if that is later; null if it doesn't wait."),
    ]
    held_until: HeldUntil = None
    held_for: HeldFor = None
    last_status: Annotated[int | None, Meta(description="HTTP status of the last answer; null if there was none.")]
    last_error: Annotated[str | None, Meta(description="Code of the last failure; null after a success.")]
    created_at: CreatedAt
    ended_at: Annotated[datetime | None, Meta(description="When it was delivered or given up; null before.")]


class DeliveriesOut(msgspec.Struct, frozen=True):
    """A page of deliveries, newest first."""

    items: Annotated[list[DeliveryOut], Meta(description="The deliveries on this page.")]
    next_cursor: NextCursor


class DeliveryAttemptOut(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send a delivery."""

    attempt: Annotated[int, Meta(description="Its number. One that is missing was lost with its process.")]
    started_at: Annotated[datetime, Meta(description="When it began.")]
    duration_ms: Annotated[int, Meta(description="How long it took, in milliseconds.")]
    status: Annotated[int | None, Meta(description="HTTP status of the answer; null if there was none.")]
    error: Annotated[str | None, Meta(description="Code of the failure; null for a success.")]
    detail: Annotated[str | None, Meta(description="The failure as a sentence.")]
    response: Annotated[str | None, Meta(description="The first 1,024 characters of the answer's body.")]


class DeliveryDetailOut(DeliveryOut, frozen=True, kw_only=True):
    """A delivery with its attempts."""

    log: Annotated[list[DeliveryAttemptOut], Meta(description="The attempts in order; of very many, the last 100.")]


class RedeliveryIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries to send again. At least one field is needed."""

    endpoint_id: Annotated[UUID, Meta(description="Only those of this endpoint.")] | None = None
    job_id: Annotated[UUID, Meta(description="Only those about this job.")] | None = None
    states: (
        Annotated[list[DeliveryState], Meta(min_length=1, max_length=5, description="Only those in these states.")]
        | None
    ) = None
    types: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=40)]],
            Meta(min_length=1, max_length=20, description="Only those of these types of events."),
        ]
        | None
    ) = None
    since: (
        Annotated[datetime, Meta(description="Only events from this time on (ISO 8601; UTC if it has no zone).")] | None
    ) = None
    until: (
        Annotated[datetime, Meta(description="Only events before this time (ISO 8601; UTC if it has no zone).")] | None
    ) = None


class RedeliveredOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request to send deliveries again."""

    redelivered: Annotated[int, Meta(description="How many are sent again; at most 10,000, the newest.")]


NEW_ENDPOINT_EXAMPLE = {
    "url": "https://erp.example.com/hooks/headrace",
    "events": ["job.*", "document.failed"],
    "description": "Closes tickets when their answer is there.",
    "headers": {"X-Api-Key": "…"},
}
ENDPOINT_EXAMPLE = {
    "id": "019a5cb0-1c21-7f02-8a13-2b3c4d5e6f70",
    "url": "https://erp.example.com/hooks/headrace",
    "events": ["job.*", "document.failed"],
    "description": "Closes tickets when their answer is there.",
    "kinds": [],
    "agents": [],
    "include": [],
    "enabled": True,
    "headers": ["X-Api-Key"],
    "former_secret_until": None,
    "failing_since": None,
    "held_until": None,
    "held_for": None,
    "disabled_at": None,
    "disabled_for": None,
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}
SECRET_EXAMPLE = {"secret": "whsec_…", "former_secret_until": "2026-03-03T08:15:30Z"}
CALLBACK_SECRET_EXAMPLE = {
    "created_at": "2026-03-02T08:15:30Z",
    "rotated_at": None,
    "former_secret_until": None,
}
DELIVERY_EXAMPLE = {
    "id": "019a5cb1-7a01-7c11-9d42-5f6a7b8c9d0e",
    "webhook_id": "msg_019a5cb179ff7b1083e41a2b3c4d5e6f",
    "endpoint_id": "019a5cb0-1c21-7f02-8a13-2b3c4d5e6f70",
    "callback_url": None,
    "type": "job.succeeded",
    "occurred_at": "2026-03-02T08:16:02Z",
    "sequence": 1_772_439_362_000_000,
    "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    "document_id": None,
    "state": "pending",
    "attempts": 1,
    "next_at": "2026-03-02T08:16:07Z",
    "held_until": "2026-03-02T08:46:07Z",
    "held_for": "The receiver answered with status 503 and Retry-After: 1800 s.",
    "last_status": 503,
    "last_error": "status_503",
    "created_at": "2026-03-02T08:16:02Z",
    "ended_at": None,
}
ATTEMPT_EXAMPLE = {
    "attempt": 1,
    "started_at": "2026-03-02T08:16:02Z",
    "duration_ms": 41,
    "status": 503,
    "error": "status_503",
    "detail": "The receiver answered with status 503; only 2xx is a success.",
    "response": "Down for maintenance",
}
