"""`/v1/conversations`: create, get, change and delete conversations, and their items."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta

from api.auth.principals import MayChat, MayReadJobs, MayWriteJobs, Principal
from api.http.bodies.limits import LARGE_BODY
from api.http.errors import problems
from api.openai.conversations.items import read_items
from api.openai.conversations.settling import conversation_id, find_conversation, no_conversation
from api.openai.responses.schemas import Metadata
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import NotFound
from schema.ids import new_id
from schema.queries.conversations import conversations as queries
from schema.queries.conversations.conversations import Conversation, Item

CONVERSATION_ID = "conv_019a5c9e6f0a7c119f530c9d2f6f6b1e"
ITEM_ID = "msg_019a5c9e6f0a7c119f530c9d2f6f6b2a"
NO_CONVERSATION = f"Conversation with id '{CONVERSATION_ID}' not found."
MAX_ADDED = 100

ConversationId = Annotated[str, PathParameter(max_length=64, description="Id of the conversation: `conv_…`.")]
ItemId = Annotated[str, PathParameter(max_length=512, description="Id of the item.")]
Include = Annotated[
    list[Annotated[str, Meta(max_length=64)]] | None,
    QueryParameter(name="include[]", description="Accepted: items have all that is kept of them.", max_items=32),
]
Items = Annotated[
    list[Annotated[dict[str, Any], Meta(extra={"max_bytes": 8 * 1024 * 1024})]],
    Meta(
        max_length=MAX_ADDED,
        description="Items, as the input of a response has them: at most 100 at once.",
        extra={"max_bytes": 8 * 1024 * 1024},
    ),
]


class NewConversationIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A conversation to create."""

    items: Annotated[Items | None, Meta(description="The items that it begins with.")] = None
    metadata: Metadata = None


class ConversationChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a conversation."""

    metadata: Metadata


class NewItemsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Items to add."""

    items: Items


class ConversationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation."""

    id: Annotated[str, Meta(description="Id of the conversation: `conv_…`.")]
    object: Annotated[Literal["conversation"], Meta(description="Always `conversation`.")] = "conversation"
    created_at: Annotated[int, Meta(description="When it was created, in seconds since 1970.")]
    metadata: Annotated[dict[str, str], Meta(description="Pairs of your own.")]


class ConversationItemsOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of items."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[dict[str, Any]], Meta(description="The items of this page.")]
    first_id: Annotated[str | None, Meta(description="Id of the first of them; null if there is none.")]
    last_id: Annotated[str | None, Meta(description="Id of the last of them; null if there is none.")]
    has_more: Annotated[bool, Meta(description="Whether there are others: send `last_id` as `after`.")]


class DeletedConversationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that was deleted."""

    id: Annotated[str, Meta(description="Id of the conversation.")]
    object: Annotated[Literal["conversation.deleted"], Meta(description="Always `conversation.deleted`.")] = (
        "conversation.deleted"
    )
    deleted: Annotated[bool, Meta(description="Always true.")] = True


CONVERSATION_EXAMPLE: dict[str, Any] = {
    "id": CONVERSATION_ID,
    "object": "conversation",
    "created_at": 1_777_882_530,
    "metadata": {"topic": "water"},
}
ITEM_EXAMPLE: dict[str, Any] = {
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_text", "text": "What is a headrace?"}],
    "id": ITEM_ID,
}
ITEMS_EXAMPLE: dict[str, Any] = {
    "object": "list",
    "data": [ITEM_EXAMPLE],
    "first_id": ITEM_ID,
    "last_id": ITEM_ID,
    "has_more": False,
}
SAID = {"role": "user", "content": "What is a headrace?"}


@post(
    "/conversations",
    status_code=200,
    opt=LARGE_BODY | described(example={"items": [SAID]}, response=CONVERSATION_EXAMPLE | {"metadata": {}}),
    summary="Create a conversation",
)
async def create_conversation(
    principal: MayChat, resources: AppResources, data: JSONBody[NewConversationIn | None] = None
) -> ConversationOut:
    """Creates a conversation that responses can go on with: `"conversation": "conv_…"` in `POST /v1/responses`."""
    data = data or NewConversationIn()
    items, created = read_items(data.items or [], "items"), new_id()
    async with principal.tx(resources.core.pool) as db:
        await queries.add_conversation(
            db, principal.tenant_id, created, user_id=principal.user_id, metadata=data.metadata or {}
        )
        if items:
            await queries.add_items(db, principal.tenant_id, created, items)
    return await _out(resources, principal, created)


@get(
    "/conversations/{conversation:str}",
    opt=described(response=CONVERSATION_EXAMPLE),
    responses=problems(not_found=NO_CONVERSATION),
    summary="Get a conversation",
)
async def retrieve_conversation(
    conversation: ConversationId, principal: MayReadJobs, resources: AppResources
) -> ConversationOut:
    """Returns a conversation; its items have an address of their own."""
    return _conversation_out(await find_conversation(resources, principal, conversation))


@post(
    "/conversations/{conversation:str}",
    status_code=200,
    opt=described(example={"metadata": {"topic": "water"}}, response=CONVERSATION_EXAMPLE),
    responses=problems(not_found=NO_CONVERSATION),
    summary="Change a conversation",
)
async def update_conversation(
    conversation: ConversationId,
    data: JSONBody[ConversationChangeIn],
    principal: MayWriteJobs,
    resources: AppResources,
) -> ConversationOut:
    """Replaces its metadata."""
    found = await find_conversation(resources, principal, conversation)
    async with principal.tx(resources.core.pool) as db:
        if not await queries.set_metadata(db, principal.tenant_id, found.id, data.metadata or {}):
            raise no_conversation(conversation)
    return await _out(resources, principal, found.id)


@delete(
    "/conversations/{conversation:str}",
    status_code=200,
    opt=described(response={"id": CONVERSATION_ID, "object": "conversation.deleted", "deleted": True}),
    responses=problems(not_found=NO_CONVERSATION),
    summary="Delete a conversation",
)
async def delete_conversation(
    conversation: ConversationId, principal: MayWriteJobs, resources: AppResources
) -> DeletedConversationOut:
    """Deletes a conversation with its items. Its responses stay."""
    found = await find_conversation(resources, principal, conversation)
    async with principal.tx(resources.core.pool) as db:
        if not await queries.delete_conversation(db, principal.tenant_id, found.id):
            raise no_conversation(conversation)
    return DeletedConversationOut(id=conversation)


@post(
    "/conversations/{conversation:str}/items",
    status_code=200,
    opt=LARGE_BODY | described(example={"items": [SAID]}, response=ITEMS_EXAMPLE),
    responses=problems(not_found=NO_CONVERSATION),
    summary="Add items to a conversation",
)
async def create_conversation_items(
    conversation: ConversationId,
    data: JSONBody[NewItemsIn],
    principal: MayChat,
    resources: AppResources,
    include: Include = None,
) -> ConversationItemsOut:
    """Adds items at the end, and returns them. An item keeps its `id`; in place of one whose id is there already, the item that
    is there is returned."""
    items = read_items(data.items, "items")
    found = await find_conversation(resources, principal, conversation)
    async with principal.tx(resources.core.pool) as db:
        kept = await queries.add_items(db, principal.tenant_id, found.id, items)
    if kept is None:
        raise no_conversation(conversation)
    return _page(kept, has_more=False)


@get(
    "/conversations/{conversation:str}/items",
    opt=described(response=ITEMS_EXAMPLE),
    responses=problems(not_found=NO_CONVERSATION),
    summary="List a conversation's items",
)
async def list_conversation_items(
    conversation: ConversationId,
    principal: MayReadJobs,
    resources: AppResources,
    after: Annotated[str | None, QueryParameter(max_length=512, description="`last_id` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="How many.")] = 20,
    order: Annotated[
        Literal["asc", "desc"], QueryParameter(description="Oldest first (`asc`) or newest first (`desc`).")
    ] = "desc",
    include: Include = None,
) -> ConversationItemsOut:
    """The items of a response are there once it has ended."""
    found = await find_conversation(resources, principal, conversation)
    async with principal.tx(resources.core.pool) as db:
        if after is not None and await queries.find_item(db, principal.tenant_id, found.id, after) is None:
            raise _no_item(after, "after")
        rows = await queries.list_items(
            db, principal.tenant_id, found.id, limit=limit + 1, after=after, newest_first=order == "desc"
        )
    return _page([row.item for row in rows[:limit]], has_more=len(rows) > limit)


@get(
    "/conversations/{conversation:str}/items/{item_id:str}",
    opt=described(response=ITEM_EXAMPLE),
    responses=problems(not_found=NO_CONVERSATION),
    summary="Get an item of a conversation",
)
async def retrieve_conversation_item(
    conversation: ConversationId,
    item_id: ItemId,
    principal: MayReadJobs,
    resources: AppResources,
    include: Include = None,
) -> dict[str, Any]:
    """Returns one item."""
    found = await find_conversation(resources, principal, conversation)
    async with principal.tx(resources.core.pool) as db:
        row = await queries.find_item(db, principal.tenant_id, found.id, item_id)
    if row is None:
        raise _no_item(item_id)
    return row.item


@delete(
    "/conversations/{conversation:str}/items/{item_id:str}",
    status_code=200,
    opt=described(response=CONVERSATION_EXAMPLE),
    responses=problems(not_found=NO_CONVERSATION),
    summary="Delete an item of a conversation",
)
async def delete_conversation_item(
    conversation: ConversationId, item_id: ItemId, principal: MayWriteJobs, resources: AppResources
) -> ConversationOut:
    """Deletes one item, and returns the conversation."""
    found = await find_conversation(resources, principal, conversation)
    async with principal.tx(resources.core.pool) as db:
        if not await queries.delete_item(db, principal.tenant_id, found.id, item_id):
            raise _no_item(item_id)
    return _conversation_out(found)


def _no_item(item_id: str, field: str | None = None) -> NotFound:
    return NotFound(f"Item with id '{item_id[:80]}' not found.", field=field)


def _page(items: list[Item], *, has_more: bool) -> ConversationItemsOut:
    ids = [item["id"] for item in items] or [None]
    return ConversationItemsOut(data=items, first_id=ids[0], last_id=ids[-1], has_more=has_more)


async def _out(resources: Resources, principal: Principal, conversation: UUID) -> ConversationOut:
    return _conversation_out(await find_conversation(resources, principal, conversation_id(conversation)))


def _conversation_out(conversation: Conversation) -> ConversationOut:
    return ConversationOut(
        id=conversation_id(conversation.id),
        created_at=int(conversation.created_at.timestamp()),
        metadata=conversation.metadata,
    )


routes = Router(
    "/",
    route_handlers=[
        *(create_conversation, retrieve_conversation, update_conversation, delete_conversation),
        *(create_conversation_items, list_conversation_items, retrieve_conversation_item, delete_conversation_item),
    ],
    tags=["openai"],
)
