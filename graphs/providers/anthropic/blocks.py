"""Messages as Anthropic's: a system prompt, and turns of user and assistant that are made of blocks.

Consecutive messages of one side become one turn, results of tools come first in it. A system message in the middle stays where
it is, for models that take one there, else as words of the user.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from graphs.providers.anthropic.thoughts import FIELD, interleave, thought_blocks
from graphs.providers.contract import ImagePart, Message, Part, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.errors import ProviderRefused

NAME = "anthropic"
Json = dict[str, Any]

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
MAX_NAME = 128
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
SYSTEM_ROLES = ("system", "developer")


def plain_name(name: str) -> str:
    """Return a name of a tool, or an id of a call, as the vendor takes it."""
    return _NOT_IN_NAMES.sub("_", name)[:MAX_NAME] or "_"


def split_system(messages: Sequence[Message]) -> tuple[list[Json], list[Message]]:
    """Return the system prompt, which is all system messages at the beginning, and the other messages."""
    first = next((i for i, message in enumerate(messages) if message.role not in SYSTEM_ROLES), len(messages))
    system = [block for message in messages[:first] for block in _shown(message)]
    return system, list(messages[first:])


def turns(messages: Sequence[Message], *, late_system: bool, thoughts: bool = True) -> list[Json]:
    """Return the messages as turns. Without `thoughts`, they are left out."""
    found: list[Json] = []
    for place, message in enumerate(messages):
        role = _role(message)
        if role == "system" and not (late_system and _may_be_late(messages, place)):
            role, content = "user", _as_words(message)
        else:
            content = _content(message, thoughts)
        if content and found and found[-1]["role"] == role:
            found[-1]["content"] += content
        elif content:
            found.append({"role": role, "content": content})
    for turn in found:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result" if turn["role"] == "user" else 0)
    _trim_prefill(found)
    return found


def _role(message: Message) -> str:
    if message.role in SYSTEM_ROLES:
        return "system"
    return "assistant" if message.role == "assistant" else "user"


def _may_be_late(messages: Sequence[Message], place: int) -> bool:
    """Whether a system message stands between the user's words and an answer, or at the end after them."""
    before = place > 0 and _role(messages[place - 1]) == "user"
    return before and (place + 1 == len(messages) or _role(messages[place + 1]) == "assistant")


def _as_words(message: Message) -> list[Json]:
    text = message.text.strip()
    return [{"type": "text", "text": f"<system>\n{text}\n</system>"}] if text else []


def _trim_prefill(found: list[Json]) -> None:
    """The beginning of an answer that the model is to continue must not end in white space."""
    if found and found[-1]["role"] == "assistant" and found[-1]["content"][-1]["type"] == "text":
        last = found[-1]["content"][-1]
        last["text"] = last["text"].rstrip()


def _content(message: Message, thoughts: bool) -> list[Json]:
    if message.role == "tool":
        return [_result(part, message) for part in message.parts if isinstance(part, ToolResultPart)]
    if message.role != "assistant":
        return _shown(message)
    calls = [_call(part, message) for part in message.parts if isinstance(part, ToolCallPart)]
    signed = thought_blocks(message.extra) if thoughts and _is_ours(message) else []
    if not signed:
        return [*_shown(message), *calls]
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    blocks = interleave(text, calls, signed)
    if (mark := _mark(message.extra, message)) and (said := [block for block in blocks if block["type"] == "text"]):
        said[-1]["cache_control"] = mark
    return blocks


def has_thoughts(messages: Sequence[Message]) -> bool:
    """Whether any message has thoughts that would go back."""
    return any(_is_ours(message) and message.extra.get(FIELD) for message in messages)


def _is_ours(message: Message) -> bool:
    """Whether a message's extra may be shown to the vendor: it is its own, or a client's."""
    return message.vendor in ("", NAME)


def _shown(message: Message) -> list[Json]:
    blocks = [_marked(_block(part), part, message) for part in message.parts if isinstance(part, TextPart | ImagePart)]
    shown = [block for block in blocks if block["type"] != "text" or block["text"].strip()]
    if shown and "cache_control" not in shown[-1] and (mark := _mark(message.extra, message)):
        shown[-1]["cache_control"] = mark
    return shown


def _block(part: TextPart | ImagePart) -> Json:
    return {"type": "text", "text": part.text} if isinstance(part, TextPart) else _image(part)


def _marked(block: Json, part: Part, message: Message) -> Json:
    extra = part.extra if isinstance(part, TextPart | ImagePart | ToolCallPart) else {}
    return {**block, "cache_control": mark} if (mark := _mark(extra, message)) else block


def _mark(extra: Json, message: Message) -> Json | None:
    """Return the mark for the cache that a client has set."""
    mark = extra.get("cache_control") if _is_ours(message) else None
    return mark if isinstance(mark, dict) and mark.get("type") == "ephemeral" else None


def _image(part: ImagePart) -> Json:
    head, _, data = part.url.partition(",")
    if not head.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    kind, _, encoding = head.removeprefix("data:").partition(";")
    kind = "image/jpeg" if kind.lower() == "image/jpg" else kind.lower()
    if encoding != "base64" or kind not in IMAGE_TYPES:
        raise ProviderRefused(
            f"{NAME} takes images as base64 data: URLs of {', '.join(IMAGE_TYPES)}, or as https: URLs."
        )
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _call(part: ToolCallPart, message: Message) -> Json:
    block = {"type": "tool_use", "id": plain_name(part.id), "name": plain_name(part.name), "input": _input(part)}
    return _marked(block, part, message)


def _input(part: ToolCallPart) -> Json:
    try:
        read = msgspec.json.decode(part.arguments or "{}")
    except msgspec.DecodeError:
        read = None
    # A model may have written broken JSON earlier in the conversation; the text still shows what it meant.
    return read if isinstance(read, dict) else {"arguments": part.arguments}


def _result(part: ToolResultPart, message: Message) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": plain_name(part.tool_call_id)}
    if part.text.strip():
        block["content"] = part.text
    if _is_ours(message) and message.extra.get("is_error") is True:
        block["is_error"] = True
    marks = (_mark(extra, message) for extra in (message.extra, *(one.extra for one in part.parts)))
    return {**block, "cache_control": mark} if (mark := next(filter(None, marks), None)) else block
