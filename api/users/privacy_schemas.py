"""Exports and erasures of a user's data on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

Rows = list[dict[str, Any]]


class EraseIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Confirmation of an erasure."""

    confirm: Annotated[str, Meta(min_length=1, max_length=300, description="Email address of the user to erase.")]


class UserExportOut(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is stored about a user."""

    format: Annotated[Literal["headrace.user/1"], Meta(description="Name and version of the format.")]
    exported_at: Annotated[datetime, Meta(description="When the export was made.")]
    user: Annotated[dict[str, Any], Meta(description="The user.")]
    left_out: Annotated[dict[str, str], Meta(description="Tables that are not exported, each with the reason.")]
    sessions: Annotated[Rows, Meta(description="Sessions.")]
    messages: Annotated[Rows, Meta(description="Messages of the sessions.")]
    jobs: Annotated[Rows, Meta(description="Jobs.")]
    usage: Annotated[Rows, Meta(description="Usage; costs are in billionths of a US dollar.")]
    audit: Annotated[Rows, Meta(description="Audit log entries of the user's actions.")]
    api_keys: Annotated[Rows, Meta(description="API keys that act for the user, without their secrets.")]
    sign_ins: Annotated[Rows, Meta(description="Sign-ins.")]
    memories: Annotated[Rows, Meta(description="What is remembered about the user.")]
    feedback: Annotated[Rows, Meta(description="Feedback on answers.")]
    benchmarks: Annotated[Rows, Meta(description="Benchmarks that the user ran.")]
    conversations: Annotated[Rows, Meta(description="Conversations that the user's clients keep here.")]
    conversation_items: Annotated[Rows, Meta(description="Items of these conversations.")]
    batches: Annotated[Rows, Meta(description="Batches of requests that the user created.")]
    triggers: Annotated[Rows, Meta(description="Triggers of the user's jobs.")]
    webhook_deliveries: Annotated[Rows, Meta(description="Messages to the tenant's systems about the user's jobs.")]
    schedules: Annotated[Rows, Meta(description="Schedules of the user's jobs.")]
    documents: Annotated[Rows, Meta(description="Private documents.")]
    files: Annotated[Rows, Meta(description="Files that the user's clients keep here.")]


class ErasedOut(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an erasure."""

    user_id: Annotated[UUID, Meta(description="The user that was erased.")]
    rows: Annotated[
        dict[str, int],
        Meta(
            description="Rows that were deleted or anonymized, by table. Rows deleted along with others, such as messages with "
            "their session, are not counted."
        ),
    ]


ERASE_EXAMPLE = {"confirm": "ada@example.com"}
ERASED_EXAMPLE = {
    "user_id": "019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "rows": {"jobs": 42, "sessions": 17, "usage_records": 30, "api_keys": 1, "logins": 9},
}
EXPORTED_EXAMPLE: dict[str, Any] = {
    "format": "headrace.user/1",
    "exported_at": "2026-03-02T08:15:30Z",
    "user": {"id": "019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20", "email": "ada@example.com", "role": "member"},
    "left_out": {"refresh_tokens": "Hashes of tokens; deleted with the sign-in."},
    "sessions": [{"id": "019514f3-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "title": "Stock of CF-ROB-01", "turns": 1}],
    "messages": [],
    "jobs": [],
    "usage": [],
    "audit": [],
    "api_keys": [],
    "sign_ins": [],
    "memories": [],
    "feedback": [],
    "conversations": [],
    "conversation_items": [],
    "batches": [],
    "benchmarks": [],
    "triggers": [],
    "webhook_deliveries": [],
    "schedules": [],
    "files": [],
    "documents": [],
}
