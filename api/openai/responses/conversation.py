"""Turns the items of responses into messages, as chat completions have them.

A response's items are flatter than messages: an assistant message and the function calls that follow it are one message, and
the outputs of these calls are messages of their own, in which models read only text. Images of an output follow as the user's.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from api.chat.file_parts import require_one_source
from api.http.vendor_formats.openai_chunks import NOT_EXTRA
from api.openai.responses.schemas import ContentPartIn, ItemImageIn, ItemIn
from api.openai.responses.tools import flat_name
from graphs.messages import VENDOR_MARK
from graphs.providers.extras import BREAKPOINT, ITEM_PHASE
from schema.errors import InputError
from schema.sealed_reasoning import NOTHING, ReturnedReasoning

Message = dict[str, Any]

ROLES = ("user", "assistant", "system", "developer")
DROPPED = frozenset(
    {
        *("mcp_call", "mcp_list_tools", "web_search_call", "file_search_call", "code_interpreter_call", "reasoning"),
        *("image_generation_call", "computer_call", "computer_call_output", "compaction", "tool_search_call"),
        *("tool_search_output", "compaction_summary"),
    }
)
"""Items of tools that others ran in earlier turns: models without these tools can't read them."""


class Conversation:
    """Messages that grow item by item. `messages` are those of an earlier conversation, whose calls may await outputs."""

    def __init__(self, messages: Sequence[Message] = ()) -> None:
        self.messages: list[Message] = list(messages)
        self._images: list[Message] = []
        self._returned = NOTHING
        self._is_new = False
        self._item_id: str | None = None
        self._awaited: dict[str, str | None] = {}
        for message in messages:
            self._awaited |= dict.fromkeys(call["id"] for call in message.get("tool_calls") or ())
            self._awaited.pop(message.get("tool_call_id", ""), None)

    def add(self, item: ItemIn, place: str, *, goes_on: bool = False, is_kept: bool = False) -> None:
        """Add an item. `goes_on`: it is of the same response as the one before, so their texts are one; `is_kept`: it is of a
        stored conversation, which its files tell (`api/chat/file_parts.py`). Raises InputError that names the place of an item
        that can't be read."""
        self._item_id = item.id if is_kept else None
        match item.type:
            case "message":
                self._add_message(item, place, goes_on=goes_on)
            case "function_call":
                self._add_call(item, place)
            case "function_call_output":
                self._add_output(item, place)
            case kind if kind not in DROPPED:
                raise InputError(
                    f"{place} has the type {kind!r}, which is not supported. Send messages, function calls and their "
                    "outputs, reasoning and item references.",
                    field=place,
                )

    def add_reasoning(self, returned: ReturnedReasoning) -> None:
        """Add what a vendor wants back with the assistant's message that follows, and with its calls."""
        self._returned, self._is_new = returned, True

    def finish(self) -> list[Message]:
        """Return all messages. Raises InputError for a call without an output, and where nothing was said."""
        self._flush_images()
        for call_id, item_id in self._awaited.items():
            hint = (
                f" It is the conversation's item {item_id!r}: send its output, or delete the item." if item_id else ""
            )
            raise InputError(f"No tool output found for function call {call_id}.{hint}", field="input")
        if not any(message["role"] not in ("system", "developer") for message in self.messages):
            raise InputError("input must not be empty.", field="input")
        return self.messages

    def _add_message(self, item: ItemIn, place: str, *, goes_on: bool) -> None:
        if item.role not in ROLES:
            raise InputError(f"{place}.role must be one of {', '.join(ROLES)}.", field=f"{place}.role")
        content = self._content(item.content, f"{place}.content", of_user=item.role == "user")
        phase = {ITEM_PHASE: item.phase} if item.phase and item.role == "assistant" else {}
        last = self.messages[-1] if self.messages else {}
        if goes_on and _is_text_of_assistant(last) and isinstance(content, str) and item.role == "assistant":
            last["content"] += content
            last |= phase
            return
        self._append({"role": item.role, "content": content, **phase})

    def _add_call(self, item: ItemIn, place: str) -> None:
        if item.status == "incomplete":
            return
        if not item.call_id or not item.name:
            raise InputError(f"{place} must have a call_id and a name.", field=place)
        if item.call_id in self._awaited:
            raise InputError(f"{place}.call_id is that of an earlier call: {item.call_id!r}.", field=f"{place}.call_id")
        name = flat_name(item.namespace, item.name) if item.namespace else item.name
        function, extra = (
            {"name": name, "arguments": item.arguments or "{}"},
            self._returned.calls.get(item.call_id, {}),
        )
        if not self.messages or self.messages[-1]["role"] != "assistant" or self._is_new:
            self._append({"role": "assistant", "content": None})
        message = self.messages[-1]
        calls = message.setdefault("tool_calls", [])
        calls.append({**extra, "id": item.call_id, "type": "function", "function": function})
        if self._returned.reasoning:  # between calls and their outputs models go on thinking
            message |= {"reasoning_content": self._returned.reasoning, VENDOR_MARK: self._returned.vendor}
        self._awaited[item.call_id] = self._item_id

    def _add_output(self, item: ItemIn, place: str) -> None:
        if item.call_id not in self._awaited:
            message = f"No tool call found for function call output with call_id {str(item.call_id)[:200]}."
            raise InputError(message, field=f"{place}.call_id")
        del self._awaited[item.call_id]
        output = item.output if isinstance(item.output, (str, list)) else ""
        content = self._content(output, f"{place}.output", of_user=True)
        if not isinstance(content, str):
            self._images += [part for part in content if part["type"] != "text"]
            content = "\n".join(part["text"] for part in content if part["type"] == "text")
        self.messages.append({"role": "tool", "tool_call_id": item.call_id, "content": content})

    def _content(self, content: str | list[ContentPartIn] | None, place: str, *, of_user: bool) -> str | list[Message]:
        read = _content(content, place, of_user=of_user)
        if self._item_id is None or isinstance(read, str):
            return read
        return [{**part, "item_id": self._item_id} if part["type"] == "file" else part for part in read]

    def _append(self, message: Message) -> None:
        self._flush_images()
        if message["role"] != "assistant" or not self._is_new:
            self._returned = NOTHING
        if self._returned.extra or self._returned.calls:
            extra = {name: value for name, value in self._returned.extra.items() if name not in NOT_EXTRA}
            message |= {**extra, VENDOR_MARK: self._returned.vendor}
        self._is_new = False
        self.messages.append(message)

    def _flush_images(self) -> None:
        if self._images:
            images, self._images = self._images, []
            self.messages.append({"role": "user", "content": images})


def _is_text_of_assistant(message: Message) -> bool:
    return message.get("role") == "assistant" and isinstance(message["content"], str) and not message.get("tool_calls")


def _content(content: str | list[ContentPartIn] | None, place: str, *, of_user: bool) -> str | list[Message]:
    """Return the content of a message: text if there is nothing else."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [_part(part, f"{place}[{i}]", of_user=of_user) for i, part in enumerate(content)]
    if all(part.keys() == {"type", "text"} for part in parts) and (len(parts) == 1 or not of_user):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: ContentPartIn, place: str, *, of_user: bool) -> Message:
    match part.type:
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" if part.text is not None:
            return {"type": "text", "text": part.text, **_mark(part)}
        case "refusal" if part.refusal is not None and not of_user:
            return {"type": "refusal", "refusal": part.refusal}
        case "input_image" if of_user and part.file_id and not part.image_url:
            picture = {"file_id": part.file_id, "is_picture": True, **_detail(part)}
            return {"type": "file", "file": picture, "at": place, **_mark(part)}
        case "input_image" | "image_url" if of_user:
            return {"type": "image_url", "image_url": _image(part, place), **_mark(part)}
        case "input_file" if of_user and part.file_url is not None:
            message = f"{place}.file_url is refused: nothing is fetched for a prompt. Send file_data or a file_id."
            raise InputError(message, field=f"{place}.file_url")
        case "input_file" if of_user:
            sent = {"file_data": part.file_data, "file_id": part.file_id, "filename": part.filename}
            file = {name: value for name, value in sent.items() if value is not None}
            require_one_source(file, place)
            return {"type": "file", "file": file, "at": place, **_mark(part)}
    raise InputError(
        f"{place} has the type {part.type!r}, which is not supported here, or lacks its content. Use input_text, "
        "and in messages of the user input_image with an image_url or a file_id, or input_file with file_data or a file_id.",
        field=place,
    )


def _image(part: ContentPartIn, place: str) -> Message:
    url = part.image_url.url if isinstance(part.image_url, ItemImageIn) else part.image_url
    if not url:
        raise InputError(f"{place} must have an image_url, or the file_id of a picture.", field=f"{place}.image_url")
    return {"url": url, **_detail(part)}


def _mark(part: ContentPartIn) -> Message:
    """Return the client's mark for the provider's cache of prompts."""
    mark = part.prompt_cache_breakpoint
    return {} if mark is None else {BREAKPOINT: msgspec.to_builtins(mark)}


def _detail(part: ContentPartIn) -> Message:
    return {"detail": part.detail} if part.detail in ("auto", "low", "high") else {}
