"""Request and response structs of triggers. The secret is returned once, when it is made."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.http.fields import CreatedAt, NextCursor, NoNextCursor, UpdatedAt
from api.schedules.schemas import ChatJobIn, IngestionJobIn, PipelineJobIn
from api.webhooks.callbacks import CallbackEvents, CallbackInclude, CallbackUrl
from schema.triggers import TriggerAuth

MAX_TRIGGERS = 100
"""Triggers that a tenant can have."""

Name = Annotated[str, Meta(min_length=1, max_length=200, description="What it is for.")]
Job = Annotated[
    ChatJobIn | PipelineJobIn | IngestionJobIn,
    Meta(
        description="What to submit. In `message` or `input`, `{{$.issue.title}}` stands for a value of the call's body, which "
        "the model gets marked as data. The `urls` of an ingestion are fixed: callers can't choose what is fetched.",
        extra={"max_bytes": 4 * 1024 * 1024},
    ),
]
AUTH = """How callers prove that they may: `secret` (in the path, or as `Authorization: Bearer`), `standard_webhooks` (signed as
Standard Webhooks says) or `github` (`X-Hub-Signature-256`)."""
CallsPerMinute = Annotated[int, Meta(ge=1, le=600, description="Most calls per minute.")]
Enabled = Annotated[bool, Meta(description="Whether calls start jobs.")]
Secret = Annotated[
    str,
    Meta(
        max_length=200,
        description="A secret of your own: `whsec_…` for `standard_webhooks`, else 24 to 200 visible characters. Leave it out "
        "to have one made.",
    ),
]


class TriggerIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job template and how it is called."""

    name: Name
    job: Job
    auth: Annotated[TriggerAuth, Meta(description=AUTH)] = "secret"
    calls_per_minute: CallsPerMinute = 60
    enabled: Enabled = True
    callback_url: CallbackUrl | None = None
    callback_events: CallbackEvents | None = None
    callback_include: CallbackInclude | None = None
    secret: Secret | None = None

    def __repr__(self) -> str:
        return f"TriggerIn(auth={self.auth!r})"


class TriggerOut(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger, without its secret."""

    id: Annotated[UUID, Meta(description="Id of the trigger.")]
    name: Name
    kind: Annotated[str, Meta(description="Kind of its jobs: `chat`, `pipeline` or `ingestion`.")]
    job: Annotated[dict[str, Any], Meta(description="What it submits.")]
    auth: Annotated[TriggerAuth, Meta(description=AUTH)]
    calls_per_minute: CallsPerMinute
    enabled: Enabled
    url: Annotated[str, Meta(description="The path to call.")]
    created_by: Annotated[str, Meta(description="In whose name its jobs run: who saved it last.")]
    created_at: CreatedAt
    updated_at: UpdatedAt


class TriggerCreatedOut(TriggerOut, frozen=True, kw_only=True):
    """A trigger that was just created, with its secret."""

    secret: Annotated[str, Meta(description="The secret that callers need, returned only now.")]

    def __repr__(self) -> str:
        return f"TriggerCreatedOut(id={self.id})"


class TriggersOut(msgspec.Struct, frozen=True):
    """A page of triggers, newest first."""

    items: Annotated[list[TriggerOut], Meta(description="The triggers on this page.")]
    next_cursor: NextCursor


class TriggerSecretOut(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret. The former one works no longer."""

    secret: Annotated[str, Meta(description="The new secret, returned only now.")]

    def __repr__(self) -> str:
        return "TriggerSecretOut(…)"


class TriggerCallOut(msgspec.Struct, frozen=True, kw_only=True):
    """One of the last calls."""

    at: Annotated[datetime, Meta(description="When it came.")]
    status: Annotated[int, Meta(description="HTTP status of the answer.")]
    code: Annotated[str, Meta(description="`started`, `replayed`, or an error code.")]
    detail: Annotated[str | None, Meta(description="The error as a sentence; null for a success.")]
    delivery_id: Annotated[str | None, Meta(description="The caller's id of the delivery; null if it sent none.")]
    job_id: Annotated[UUID | None, Meta(description="The job; null if none was started.")]
    address: Annotated[str | None, Meta(description="From where it came.")]
    size_bytes: Annotated[int, Meta(description="Size of the body.")]


class TriggerCallsOut(msgspec.Struct, frozen=True):
    """The last 50 calls of a trigger, newest first."""

    items: Annotated[list[TriggerCallOut], Meta(description="The calls.")]
    next_cursor: NoNextCursor = None


class StartedOut(msgspec.Struct, frozen=True, kw_only=True):
    """The job that a call started, or that the same delivery started before."""

    job_id: Annotated[UUID, Meta(description="Id of the job.")]
    replayed: Annotated[bool, Meta(description="Whether a call with the same delivery id had started it.")]


TRIGGER_IN_EXAMPLE = {
    "name": "New issues",
    "job": {"kind": "chat", "agent": "AgentTriage", "message": "Sort this issue: {{$.issue.title}} {{$.issue.body}}"},
    "auth": "github",
}
TRIGGER_EXAMPLE = {
    "id": "019a5cc0-2d31-7a02-9b14-3c4d5e6f7081",
    "name": "New issues",
    "kind": "chat",
    "job": TRIGGER_IN_EXAMPLE["job"] | {"model": None, "collections": None},  # type: ignore[operator]
    "auth": "github",
    "calls_per_minute": 60,
    "enabled": True,
    "url": "/api/hooks/019a5cc0-2d31-7a02-9b14-3c4d5e6f7081",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
}
CALL_EXAMPLE = {
    "at": "2026-03-02T08:16:02Z",
    "status": 422,
    "code": "fields_missing",
    "detail": "The body lacks $.issue.title, which the trigger's job needs.",
    "delivery_id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "job_id": None,
    "address": "203.0.113.7",
    "size_bytes": 7319,
}
STARTED_EXAMPLE = {"job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e", "replayed": False}
