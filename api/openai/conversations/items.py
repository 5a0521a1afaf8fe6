"""Items of conversations: checked as the input of a response is, and kept whole, in the shape in which they are given back."""

import re
from typing import Any

import msgspec

from api.http.validation_messages import explain
from api.openai.responses.conversation import DROPPED, ROLES, Conversation
from api.openai.responses.objects import Item
from api.openai.responses.schemas import ItemIn
from schema.errors import InputError
from schema.ids import new_id

MAX_ID = 512
PREFIXES = {"function_call": "fc", "function_call_output": "fco", "reasoning": "rs", "message": "msg"}
REFERENCE = "item_reference"
UNREACHABLE_ID = re.compile(r"[/?#%\\\s\x00-\x1f\x7f]|^\.{1,2}$")
"""What an id can't have, since items are addressed by it."""


def read_items(items: list[Item], field: str) -> list[Item]:
    """Return items as they are kept, each with an id of its own. Raises InputError that names the place of one that can't be
    read."""
    kept, places = list[Item](), dict[str, str]()
    for number, item in enumerate(items):
        place = f"{field}[{number}]"
        read = _read(item, place)
        if (first := places.setdefault(read["id"], place)) != place:
            raise InputError(
                f"{place}.id is that of {first}. Each item has an id of its own, or none.", field=f"{place}.id"
            )
        kept.append(read)
    return kept


def as_items(given: str | list[Item]) -> list[Item]:
    """Return the input of a response as items."""
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given


def to_input(item: Item, place: str) -> ItemIn:
    """Return an item as responses read it. Raises InputError."""
    try:
        return msgspec.convert(item, ItemIn)
    except msgspec.ValidationError as error:
        problem = explain(str(error), ItemIn)
        field = f"{place}.{problem.field}" if problem.field else place
        raise InputError(f"{place}: {problem.message}", field=field) from error


def _read(item: Item, place: str) -> Item:
    read = to_input(item, place)
    _require_reachable(read.id, f"{place}.id")
    match read.type:
        case "message":
            if read.role not in ROLES:
                raise InputError(f"{place}.role must be one of {', '.join(ROLES)}.", field=f"{place}.role")
            Conversation().add(read, place)
            kept = {"type": "message", "status": "completed", **item, "content": _parts(item, read.role)}
        case "function_call":
            if not read.call_id or not read.name:
                raise InputError(f"{place} must have a call_id and a name.", field=place)
            kept = {"status": "completed", **item}
        case "function_call_output":
            if not read.call_id or read.output is None:
                raise InputError(f"{place} must have a call_id and an output.", field=place)
            kept = {"status": "completed", **item}
        case kind if kind in DROPPED:
            kept = item
        case kind:
            raise InputError(
                f"{place} has the type {kind!r}, which is not supported. Send messages, function calls and their outputs, "
                "and reasoning.",
                field=f"{place}.type",
            )
    return {**kept, "id": _item_id(read)}


def _require_reachable(item_id: str | None, field: str) -> None:
    if item_id and UNREACHABLE_ID.search(item_id):
        message = f"{field} can't be part of an address: send one without spaces and / ? # % \\, or none."
        raise InputError(message, field=field)


def _item_id(read: ItemIn) -> str:
    """Return the item's own id, or a new one."""
    return read.id or f"{PREFIXES.get(read.type, 'item')}_{new_id().hex}"


def _parts(item: Item, role: str) -> list[dict[str, Any]]:
    content = item.get("content") or ""
    if not isinstance(content, str):
        return content
    if role == "assistant":
        return [{"type": "output_text", "text": content, "annotations": []}]
    return [{"type": "input_text", "text": content}]
