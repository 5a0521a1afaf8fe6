"""Responses that belong to a conversation: what they are told of it, and what they add to it.

    POST /v1/responses ─► settle what has ended ─► read the items ─► job, and a pending place, in one transaction
    response has ended ─► whoever comes next settles it: input and output are items, or nothing, if it failed

The response is the one record of what was said, until then; its output is folded from its job's events as everywhere else.
"""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from api.auth.principals import Principal
from api.chat.file_parts import unreadable_item
from api.openai.conversations.items import REFERENCE, as_items, read_items, to_input
from api.openai.responses.conversation import Conversation as Messages
from api.openai.responses.lookup import KnownResponse, find_response_of_job, fold_now
from api.openai.responses.schemas import ConversationIn, ResponseIn
from api.resources import Resources
from schema.errors import InputError, NotFound
from schema.postgres.batch import Statement
from schema.queries.conversations import conversations as queries
from schema.queries.conversations.conversations import Conversation, Item, StoredItem
from schema.sealed_reasoning import open_reasoning
from schema.states import TERMINAL

CONVERSATION_ID = re.compile(r"conv_([0-9a-f]{32})")
MAX_ITEMS = 10_000


class _Sent(msgspec.Struct):
    """The input of a response as it was sent."""

    input: Any = ""


@dataclass(frozen=True)
class OpenedConversation:
    """A conversation that a response goes on with, its items, those of the response's input, and its last response."""

    conversation: Conversation
    items: list[StoredItem]
    given: list[Item]
    last: KnownResponse | None

    def pending(self, tenant_id: UUID, job_id: UUID) -> Statement:
        """Return the statement that keeps the response's place in the conversation."""
        conversation = self.conversation
        return queries.add_pending(tenant_id, conversation.id, job_id, places=conversation.places, items=self.given)


def conversation_id(conversation: UUID) -> str:
    """Return the id that clients know."""
    return f"conv_{conversation.hex}"


def no_conversation(given: str, field: str | None = None) -> NotFound:
    """Return the error for a conversation that nobody may see."""
    return NotFound(f"Conversation with id '{given[:80]}' not found.", field=field)


async def find_conversation(
    resources: Resources, principal: Principal, given: str, field: str | None = None
) -> Conversation:
    """Return a conversation, in which every response that has ended is settled. Raises NotFound."""
    match = CONVERSATION_ID.fullmatch(given)
    if match is None:
        raise no_conversation(given, field)
    async with principal.tx(resources.core.pool) as db:
        found = await queries.find_conversation(db, principal.tenant_id, UUID(match[1]))
    if found is None:
        raise no_conversation(given, field)
    await settle(resources, principal, found.id)
    return found


async def settle(resources: Resources, principal: Principal, conversation: UUID) -> None:
    """Put the items of a response that has ended into its conversation: of one that ended well, input and output."""
    tenant_id = principal.tenant_id
    async with principal.tx(resources.core.pool) as db:
        pending = await queries.find_pending(db, tenant_id, conversation)
    if pending is None:
        return
    known, items = await find_response_of_job(resources, principal, pending.job_id), list[Item]()
    if known is not None:
        if known.job.state not in TERMINAL:
            return
        response = (await fold_now(resources, principal, known.job, known.request)).response()
        if response.status in ("completed", "incomplete"):
            items = [*pending.item, *response.output]
    async with principal.tx(resources.core.pool) as db:
        await queries.settle(db, tenant_id, conversation, pending.job_id, items)


async def settle_of_response(resources: Resources, principal: Principal, given: str) -> None:
    """Settle the conversation of a response that is about to be deleted: the conversation keeps what it said."""
    try:
        await find_conversation(resources, principal, given)
    except NotFound:
        return


async def open_conversation(
    resources: Resources, principal: Principal, data: ResponseIn, body: bytes
) -> OpenedConversation | None:
    """Return the conversation that a request names, if it does. Raises NotFound, and InputError for what can't be combined."""
    if data.conversation is None:
        return None
    field = "conversation"
    given = data.conversation.id if isinstance(data.conversation, ConversationIn) else data.conversation
    conversation = await find_conversation(resources, principal, given, field)
    if data.previous_response_id is not None:
        message = "conversation and previous_response_id can't be combined. Send one of them."
        raise InputError(message, field="previous_response_id")
    if data.store is False:
        message = "A response in a conversation must be stored, since the conversation is made of it. Omit store."
        raise InputError(message, field="store")
    async with principal.tx(resources.core.pool) as db:
        items = await queries.list_items(db, principal.tenant_id, conversation.id, limit=MAX_ITEMS + 1)
    if len(items) > MAX_ITEMS:
        raise InputError(f"The conversation has more than {MAX_ITEMS:,} items. Begin a new one.", field=field)
    sent = [item for item in as_items(msgspec.json.decode(body, type=_Sent).input) if item.get("type") != REFERENCE]
    jobs = [item.job_id for item in items if item.job_id is not None]
    last = await find_response_of_job(resources, principal, jobs[-1]) if jobs else None
    return OpenedConversation(conversation, items, read_items(sent, "input") if data.input else [], last)


async def messages_before(
    resources: Resources, principal: Principal, opened: OpenedConversation, model: str
) -> Messages:
    """Return the messages of a conversation. What a vendor wants back with its last answer goes back to it."""
    messages, last, speaking = Messages(), opened.last, None
    for stored in opened.items:
        read, job_id = to_input(stored.item, "item"), stored.job_id
        is_output = job_id is not None and f"_{job_id.hex}_" in stored.id
        if is_output and last is not None and last.job.id == job_id:
            fold, last = await fold_now(resources, principal, last.job, last.request), None
            messages.add_reasoning(fold.returned())
        elif read.type == "reasoning" and read.encrypted_content:
            sealed = read.encrypted_content
            messages.add_reasoning(open_reasoning(resources.vault, principal.tenant_id, model, sealed))
        try:
            messages.add(read, "item", goes_on=is_output and speaking == job_id, is_kept=True)
        except InputError as error:
            raise unreadable_item(stored.id, error) from error
        if is_output and read.type == "message":
            speaking = job_id
    return messages
