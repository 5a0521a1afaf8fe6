"""Request and response structs of widgets, for their owners and for visitors."""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.fields import CreatedAt, CreatedBy, NextCursor, NoNextCursor
from api.http.rows import from_row
from api.usage.caller_budgets import (
    BudgetChangeIn,
    BudgetDay,
    BudgetMonth,
    SpentOut,
    TokensPerDay,
    budget_fields,
)
from schema.errors import InputError
from schema.identity.public_keys import public_key
from schema.queries.identity.widgets import StoredWidget

MAX_WIDGETS = 100
"""Widgets of a tenant."""
MAX_TEXT = 4000
"""Characters of a visitor's message."""
DEFAULT_BUDGET_USD = 5.0
ORIGIN = re.compile(r"https?://([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?(:\d{1,5})?")

Name = Annotated[str, Meta(min_length=1, max_length=100, description="What it is for; visitors don't see it.")]
Agent = Annotated[str, Meta(min_length=1, max_length=200, description="The one agent that answers.")]
Origins = Annotated[
    list[Annotated[str, Meta(min_length=8, max_length=255)]],
    Meta(
        min_length=1,
        max_length=20,
        description="The pages that may have it, as scheme, host and port: `https://shop.example.com`. No paths, no wildcards.",
    ),
]
Title = Annotated[str, Meta(max_length=80, description="The heading that visitors see; empty for a general one.")]
Greeting = Annotated[str, Meta(max_length=500, description="What it says at first; empty for a general greeting.")]
MessagesPerMinute = Annotated[
    int,
    Meta(ge=1, le=600, description="Most messages a minute of all visitors together; one address may send 20 of them."),
]


class WidgetIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A widget to create. Without budgets of its own it has one of $5 a day: its key is public."""

    name: Name
    agent: Agent
    origins: Origins
    title: Title = ""
    greeting: Greeting = ""
    messages_per_minute: MessagesPerMinute = 30
    budget_day_usd: BudgetDay | None = DEFAULT_BUDGET_USD
    budget_month_usd: BudgetMonth | None = None
    tokens_per_day: TokensPerDay | None = None


class WidgetChangeIn(BudgetChangeIn, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a widget. Omitted fields keep their value."""

    name: Name | UnsetType = UNSET
    agent: Agent | UnsetType = UNSET
    origins: Origins | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    greeting: Greeting | UnsetType = UNSET
    messages_per_minute: MessagesPerMinute | UnsetType = UNSET


class WidgetOut(msgspec.Struct, frozen=True, kw_only=True):
    """A widget."""

    id: Annotated[UUID, Meta(description="Id of the widget.")]
    key: Annotated[str, Meta(description="Its public key: what `data-key` of the script is. It is no secret.")]
    name: Name
    agent: Agent
    origins: Origins
    title: Title
    greeting: Greeting
    messages_per_minute: MessagesPerMinute
    budget_day_usd: BudgetDay | None
    budget_month_usd: BudgetMonth | None
    tokens_per_day: TokensPerDay | None
    created_by: CreatedBy
    created_at: CreatedAt
    last_used_at: Annotated[
        datetime | None, Meta(description="When a page last called it, to within 15 seconds; null if none has.")
    ]


class WidgetDetailOut(WidgetOut, frozen=True, kw_only=True):
    """A widget, with what its visitors spent."""

    spent: Annotated[SpentOut, Meta(description="What was spent with it.")]


class WidgetsOut(msgspec.Struct, frozen=True):
    """A page of widgets, newest first."""

    items: Annotated[list[WidgetOut], Meta(description="The widgets on this page.")]
    next_cursor: NextCursor


class EmbeddedOut(msgspec.Struct, frozen=True):
    """What a widget shows before anything was said."""

    title: Title
    greeting: Greeting


class VisitorMessageIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A visitor's message."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, description="What the visitor asks.")]


class VisitorMessageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a visitor's conversation."""

    role: Annotated[str, Meta(description="`user` for the visitor, or `assistant`.")]
    text: Annotated[str, Meta(description="What was said.")]
    complete: Annotated[bool, Meta(description="Whether an answer was written to its end.")]


class VisitorMessagesOut(msgspec.Struct, frozen=True):
    """A visitor's conversation."""

    items: Annotated[list[VisitorMessageOut], Meta(description="What was said, oldest first.")]
    answering: Annotated[bool, Meta(description="Whether an answer is being written: stream `…/events`.")]
    next_cursor: NoNextCursor = None


WIDGET_IN_EXAMPLE: dict[str, Any] = {
    "name": "Shop",
    "agent": "AgentInventory",
    "origins": ["https://shop.example.com"],
    "greeting": "Hello! What are you looking for?",
}
WIDGET_EXAMPLE: dict[str, Any] = {
    "id": "019514f2-9e4c-7d26-b5f7-8c0e3a2d6f91",
    "key": "hrw_7Kd9pQ2mXv4TbnRz1LwEyA5c",
    **WIDGET_IN_EXAMPLE,
    "title": "",
    "messages_per_minute": 30,
    "budget_day_usd": 5.0,
    "budget_month_usd": None,
    "tokens_per_day": None,
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "created_at": "2026-03-02T08:15:30Z",
    "last_used_at": None,
}
MESSAGES_EXAMPLE: dict[str, Any] = {
    "items": [
        {"role": "user", "text": "Do you have robusta?", "complete": True},
        {"role": "assistant", "text": "Yes, 42 bags are in HN01.", "complete": True},
    ],
    "answering": False,
    "next_cursor": None,
}


def widget_fields(row: StoredWidget) -> dict[str, Any]:
    """Return the fields of a widget that are shown otherwise than they are stored."""
    return {"key": public_key(row.find), **budget_fields(row)}


def widget_out(row: StoredWidget) -> WidgetOut:
    """Return a widget as lists show it."""
    return from_row(WidgetOut, row, **widget_fields(row))


def check_origins(origins: list[str]) -> list[str]:
    """Return origins as browsers send them, each once. Raises InputError."""
    for place, origin in enumerate(origins):
        if not ORIGIN.fullmatch(origin.lower()):
            field = f"origins[{place}]"
            raise InputError(
                f"{field} must be a scheme, a host and perhaps a port, such as https://shop.example.com; without a path.",
                field=field,
            )
    return list(dict.fromkeys(_as_sent(origin.lower()) for origin in origins))


def _as_sent(origin: str) -> str:
    """Return an origin without the port that its scheme has anyway, which browsers leave out."""
    return origin.removesuffix({"https": ":443", "http": ":80"}[origin.partition(":")[0]])
