"""The items of a response's input, from the messages that its model was shown: those of earlier responses among them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from api.http.file_ids import write_file_id
from api.openai.responses.objects import Item

Message = dict[str, Any]


def input_items(job_id: UUID, messages: list[Message]) -> list[Item]:
    """Return the items, oldest first. Their ids follow from the job and their place."""
    items = [item for message in messages for item in _items(message)]
    prefixes = {"function_call": "fc", "function_call_output": "fco"}
    return [
        {"id": f"{prefixes.get(item['type'], 'msg')}_{job_id.hex}_in_{place}", **item}
        for place, item in enumerate(items)
    ]


def _items(message: Message) -> Iterator[Item]:
    if message["role"] == "tool":
        call_id, output = message["tool_call_id"], message["content"]
        yield {"type": "function_call_output", "status": "completed", "call_id": call_id, "output": output}
        return
    if message["content"] or not message.get("tool_calls"):
        yield {"type": "message", "status": "completed", "role": message["role"], "content": list(_parts(message))}
    for call in message.get("tool_calls") or ():
        yield {"type": "function_call", "status": "completed", "call_id": call["id"], **call["function"]}


def _parts(message: Message) -> Iterator[Item]:
    content = message["content"] or ""
    kind = "output_text" if message["role"] == "assistant" else "input_text"
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        match part:
            case {"type": "text", "text": text}:
                yield {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}
            case {"type": "image_url", "image_url": {"url": url, **more}}:
                yield {"type": "input_image", "image_url": url, "detail": more.get("detail", "auto")}
            case {"type": "file", "name": name, **more}:
                yield {"type": "input_file", "filename": name, **_file(more)}
            case {"type": "refusal", "refusal": refusal}:
                yield {"type": "refusal", "refusal": refusal}


def _file(stored: Message) -> Item:
    if file_id := stored.get("file_id"):
        return {"file_id": write_file_id(UUID(file_id))}
    return {"file_data": stored.get("data", "")}
