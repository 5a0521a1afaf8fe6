"""A request's messages as those of OpenAI's format, in which jobs carry them.

A turn of the user with results of tools becomes a message for each result, and one for the rest. What only Anthropic
understands goes along only if one of its models is asked (`native`), marked as its own: signed thoughts, marks for the cache,
PDFs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from api.anthropic.block_schemas import (
    Block,
    CacheControl,
    DocumentBlockIn,
    ImageBlockIn,
    RedactedThinkingBlockIn,
    ResultBlock,
    SearchResultBlockIn,
    SourceIn,
    TextBlockIn,
    ThinkingBlockIn,
    ToolReferenceBlockIn,
    ToolResultBlockIn,
    ToolUseBlockIn,
)
from api.anthropic.schemas import Prompt, TurnIn
from api.anthropic.signatures import detach, signer
from graphs.messages import VENDOR_MARK
from schema.errors import InputError

Json = dict[str, Any]

ANTHROPIC = "anthropic"
THOUGHTS, AFTER = "thinking_blocks", "after"
"""As `graphs/providers/anthropic/thoughts.py` reads them."""


def read_conversation(prompt: Prompt, *, native: bool) -> list[Json]:
    """Return the messages of a prompt, its system prompt first. Raises InputError that names the block at fault."""
    messages: list[Json] = []
    if prompt.system:
        system = prompt.system
        blocks = [(system, None)] if isinstance(system, str) else [(one.text, one.cache_control) for one in system]
        parts = [TextBlockIn(text, mark) for text, mark in blocks]
        messages.append(_marked({"role": "system", "content": _plain_parts(parts, "system", native)}, native))
    _check_results(prompt.messages)
    for place, message in enumerate(prompt.messages):
        messages += _read(message, f"messages[{place}]", native)
    if not any(message["role"] != "system" for message in messages):
        message = "messages have no content besides instructions. Send what the user says, as text or as blocks."
        raise InputError(message, field="messages")
    return messages


def _read(message: TurnIn, field: str, native: bool) -> Iterator[Json]:
    content = [TextBlockIn(message.content)] if isinstance(message.content, str) else message.content
    _check(message.role, content, field)
    match message.role:
        case "assistant":
            yield from _assistant(content, field, native)
        case "system":
            yield _marked({"role": "system", "content": _plain_parts(content, field, native)}, native)
        case "user":
            yield from _user(content, field, native)


def _check(role: str, content: Sequence[Block], field: str) -> None:
    allowed: tuple[type[Any], ...] = {
        "assistant": (TextBlockIn, ThinkingBlockIn, RedactedThinkingBlockIn, ToolUseBlockIn),
        "system": (TextBlockIn,),
        "user": (TextBlockIn, ImageBlockIn, DocumentBlockIn, SearchResultBlockIn, ToolResultBlockIn),
    }[role]
    for number, block in enumerate(content):
        if not isinstance(block, allowed):
            at = f"{field}.content[{number}]"
            message = f"{at} must not be of the type {_type(block)} in a message of the role {role}."
            raise InputError(message, field=f"{at}.type")


def _check_results(messages: Sequence[TurnIn]) -> None:
    """Raise InputError for a result of a call that the turn before it did not make. Messages of one role in a row are one
    turn."""
    calls, last = set[str](), "user"
    for place, message in enumerate(messages):
        blocks = message.content if isinstance(message.content, list) else []
        if message.role == "assistant":
            calls = {*(calls if last == "assistant" else ()), *_ids(blocks)}
        for number, block in enumerate(blocks):
            if isinstance(block, ToolResultBlockIn) and detach(block.tool_use_id)[0] not in calls:
                at = f"messages[{place}].content[{number}]"
                raise InputError(
                    f"{at}: unexpected `tool_use_id` found in `tool_result` blocks: {block.tool_use_id[:80]}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                    field=f"{at}.tool_use_id",
                )
        last = message.role


def _ids(blocks: Sequence[Block]) -> set[str]:
    return {detach(block.id)[0] for block in blocks if isinstance(block, ToolUseBlockIn)}


def _type(block: Block | ResultBlock) -> str:
    return str(type(block).__struct_config__.tag)


def _user(content: Sequence[Block], field: str, native: bool) -> Iterator[Json]:
    parts: list[Json] = []
    for number, block in enumerate(content):
        at = f"{field}.content[{number}]"
        if isinstance(block, ToolResultBlockIn):
            result, images = _result(block, at, native)
            parts += images
            yield result
        elif isinstance(block, TextBlockIn | ImageBlockIn | DocumentBlockIn | SearchResultBlockIn):
            parts.append(_part(block, at, native))
    if parts:
        yield _marked({"role": "user", "content": parts}, native)


def _result(block: ToolResultBlockIn, field: str, native: bool) -> tuple[Json, list[Json]]:
    """Return the message with a result's text, and its images, which follow in the user's next words: few makers take them in
    a result."""
    call_id, _, _ = detach(block.tool_use_id)
    inner = [TextBlockIn(block.content)] if isinstance(block.content, str) else block.content or []
    parts = [_part(one, f"{field}.content[{number}]", native) for number, one in enumerate(inner)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    if block.is_error and not native:
        text = f"Error: {text}" if text else "Error."
    message: Json = {"role": "tool", "tool_call_id": call_id, "content": text}
    if native and block.is_error:
        message["is_error"] = True
    message |= _mark(block.cache_control, native)
    return _marked(message, native), [part for part in parts if part["type"] != "text"]


def _part(block: Block | ResultBlock, field: str, native: bool) -> Json:
    match block:
        case TextBlockIn(text, mark):
            return {"type": "text", "text": text, **_mark(mark, native)}
        case ImageBlockIn(source, mark) if source.type == "file" and source.file_id:
            picture = {"file_id": source.file_id, "is_picture": True}
            return {"type": "file", "file": picture, **_at(field), **_mark(mark, native)}
        case ImageBlockIn(source, mark):
            url = _image_url(source, f"{field}.source")
            return {"type": "image_url", "image_url": {"url": url}, **_mark(mark, native)}
        case DocumentBlockIn():
            return _document(block, field, native)
        case SearchResultBlockIn(source, title, content, mark):
            said = "\n".join((title, source, *(part.text for part in content)))
            return {"type": "text", "text": said, **_mark(mark, native)}
        case ToolReferenceBlockIn(name):
            return {"type": "text", "text": f"Tool: {name}"}
        case _:
            raise InputError(f"{field} must not be of the type {_type(block)}.", field=f"{field}.type")


def _plain_parts(content: Sequence[Any], field: str, native: bool) -> str | list[Json]:
    """Return text as a string wherever nothing is marked: chat templates of many servers know nothing else."""
    parts = [_part(block, f"{field}.content[{number}]", native) for number, block in enumerate(content)]
    if any("cache_control" in part for part in parts):
        return parts
    return "\n\n".join(part["text"] for part in parts)


def _image_url(source: SourceIn, field: str) -> str:
    match source:
        case SourceIn("base64", str(media_type), str(data)):
            return f"data:{media_type};base64,{data}"
        case SourceIn("url", _, _, str(url)):
            return url
        case _:
            raise InputError(
                f"{field} must be base64 with media_type and data, or url with url, or file with the file_id of a picture of "
                "/v1/files.",
                field=field,
            )


def _document(block: DocumentBlockIn, field: str, native: bool) -> Json:
    source = block.source
    match source.type, source.data, source.content:
        case "text", str(text), _:
            said = text
        case "content", _, str(text):
            said = text
        case "content", _, list() as parts:
            said = "\n\n".join(part.text for part in parts)
        case _ if native and source.type in ("base64", "url"):
            return _native_document(block)
        case "base64", str(data), _:
            file = {"file_data": data, "filename": block.title or "document.pdf"}
            return {"type": "file", "file": file, **_at(field)}
        case "file", _, _ if source.file_id:
            return {"type": "file", "file": {"file_id": source.file_id}, **_at(field)}
        case _:
            message = (
                f"{field}: only Anthropic's models read documents of the type {source.type[:40]}. Send it as base64 or text, "
                "or as a file of /v1/files."
            )
            raise InputError(message, field=f"{field}.source")
    head = [line for line in (block.title, block.context) if line]
    return {"type": "text", "text": "\n\n".join((*head, said)), **_mark(block.cache_control, native)}


def _at(field: str) -> Json:
    """Return where a file came in, for errors (`api/chat/file_parts.py`)."""
    return {"at": f"{field}.source", "data_at": f"{field}.source.data"}


def _native_document(block: DocumentBlockIn) -> Json:
    document = {"source": block.source, "title": block.title, "context": block.context}
    kept = {name: value for name, value in msgspec.to_builtins(document).items() if value is not None}
    kept["source"] = {name: value for name, value in kept["source"].items() if value is not None}
    return {"type": "text", "text": block.title or "document", "document": kept, **_mark(block.cache_control, True)}


def _assistant(content: Sequence[Block], field: str, native: bool) -> Iterator[Json]:
    texts: list[str] = []
    calls: list[Json] = []
    thoughts: list[Json] = []
    others: dict[str, str] = {}
    vendor = ANTHROPIC if native else ""
    marked: Json = {}
    for number, block in enumerate(content):
        match block:
            case TextBlockIn(text, mark):
                texts.append(text)
                marked |= _mark(mark, native)
            case ToolUseBlockIn():
                call, of = _call(block, f"{field}.content[{number}]")
                calls.append(call | _mark(block.cache_control, native))
                vendor = of or vendor
            case ThinkingBlockIn(thinking, signature) if (whose := signer(signature)) is not None:
                others[whose] = others.get(whose, "") + thinking
            case ThinkingBlockIn() | RedactedThinkingBlockIn() if native:
                place = [sum(map(len, texts)), len(calls)]
                thoughts.append({**msgspec.to_builtins(block), AFTER: place})
    message: Json = {"role": "assistant", "content": "".join(texts) or None, **marked}
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message[THOUGHTS] = thoughts
    elif calls and not native and others:
        # While tools run, some makers' models must be told what they thought; later it is of no use to them.
        vendor, message["reasoning_content"] = next(iter(others.items()))
    if vendor:
        message[VENDOR_MARK] = vendor
    if texts or calls or thoughts:
        yield message


def _call(block: ToolUseBlockIn, field: str) -> tuple[Json, str]:
    """Return a call, and whose attachment it has. Its arguments stay as they were written."""
    arguments = bytes(block.input).decode("utf-8", "replace")
    if not arguments.startswith("{"):
        raise InputError(f"{field}.input must be an object.", field=f"{field}.input")
    call_id, vendor, extra = detach(block.id)
    function = {"name": block.name, "arguments": arguments}
    return {**extra, "id": call_id, "type": "function", "function": function}, vendor


def _mark(mark: CacheControl | None, native: bool) -> Json:
    return {"cache_control": msgspec.to_builtins(mark)} if mark is not None and native else {}


def _marked(message: Json, native: bool) -> Json:
    return {**message, VENDOR_MARK: ANTHROPIC} if native else message
