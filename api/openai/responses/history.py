"""The messages that the model of a response is shown: of the responses or the conversation before it, its instructions, and its
input."""

from typing import Any

import msgspec

from api.auth.principals import Principal
from api.openai.conversations.settling import OpenedConversation, messages_before
from api.openai.responses.conversation import Conversation
from api.openai.responses.lookup import KnownResponse, find_items, fold_now, get_response
from api.openai.responses.schemas import ItemIn, ResponseIn
from api.resources import Resources
from schema.errors import InputError
from schema.sealed_reasoning import open_reasoning

MAX_MESSAGES = 10_000
MAX_BYTES = 64 * 1024 * 1024
"""Of all messages of a conversation that goes on by `previous_response_id`."""


async def read_history(
    resources: Resources, principal: Principal, data: ResponseIn, model: str, opened: OpenedConversation | None = None
) -> list[dict[str, Any]]:
    """Return the messages, in the shape of chat completions; `opened` is the conversation that goes on. Raises InputError and
    NotFound that name the field."""
    conversation = Conversation() if opened is None else await messages_before(resources, principal, opened, model)
    if data.previous_response_id is not None:
        conversation = await _continue(resources, principal, data.previous_response_id)
    items = [ItemIn(role="user", content=data.input)] if isinstance(data.input, str) else data.input
    known = frozenset(stored.id for stored in opened.items) if opened is not None else frozenset[str]()
    for place, item in enumerate(await _resolved(resources, principal, items, known) if data.input else ()):
        if item.type == "reasoning" and item.encrypted_content:
            sealed = item.encrypted_content
            conversation.add_reasoning(open_reasoning(resources.vault, principal.tenant_id, model, sealed))
        else:
            conversation.add(item, f"input[{place}]")
    messages = conversation.finish()
    if data.instructions is not None:
        messages = [{"role": "system", "content": data.instructions}, *messages]
    return _bounded(messages)


async def _resolved(
    resources: Resources, principal: Principal, items: list[ItemIn], known: frozenset[str]
) -> list[ItemIn]:
    """Return items with those that they refer to in their place, but for items of the conversation, which are there already.
    Raises NotFound."""
    items = [item for item in items if item.type != "item_reference" or item.id not in known]
    references = [item.id or "" for item in items if item.type == "item_reference"]
    found = await find_items(resources, principal, references) if references else {}
    return [msgspec.convert(found[item.id or ""], ItemIn) if item.type == "item_reference" else item for item in items]


async def _continue(resources: Resources, principal: Principal, previous_id: str) -> Conversation:
    """Return the conversation up to the end of an earlier response. Its instructions are not carried over."""
    field = "previous_response_id"
    previous = await get_response(resources, principal, previous_id, field=field, messages=True)
    fold = await fold_now(resources, principal, previous.job, previous.request)
    if not fold.ended:
        message = f"Response with id '{previous_id}' has not ended. Wait for its end, or cancel it."
        raise InputError(message, field=field)
    conversation, said = Conversation(said_before(previous)), False
    conversation.add_reasoning(fold.returned())
    for place, item in enumerate(fold.response().output):
        conversation.add(msgspec.convert(item, ItemIn), f"output[{place}]", goes_on=said)
        said = said or item["type"] == "message"
    return conversation


def said_before(known: KnownResponse) -> list[dict[str, Any]]:
    """Return the messages that a response was shown, without its instructions."""
    return known.messages[known.request.instructions is not None :]


def _bounded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    size = len(msgspec.json.encode(messages)) if len(messages) > 1 else 0
    if len(messages) > MAX_MESSAGES or size > MAX_BYTES:
        raise InputError(
            f"The conversation has {len(messages):,} messages of {size:,} bytes; at most {MAX_MESSAGES:,} messages of "
            f"{MAX_BYTES:,} bytes are accepted. Begin a new one.",
            field="input",
        )
    return messages
