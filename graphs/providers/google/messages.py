"""A conversation as Gemini's `contents`: alternating turns of user and model, with the signatures of its thoughts.

Signatures (`thoughtSignature` of a part) are kept as Google's OpenAI layer has them: `extra_content.google.thought_signature`
of a call or a message. Gemini 3 refuses a call in the history whose step has none.
"""

import mimetypes
import re
from typing import Any

import msgspec

from graphs.providers.answers.fields import text
from graphs.providers.contract import ImagePart, Message, Part, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.errors import ProviderRefused

NAME = "google"
NO_SIGNATURE = "skip_thought_signature_validator"
"""What Google documents for calls that another model made, or whose signature was lost
(https://ai.google.dev/gemini-api/docs/thought-signatures)."""
_UNSIGNED_MODELS = re.compile(r"(models/)?(gemini-[12]\b|gemma|learnlm)")
_MADE_HERE = re.compile(r"call_[0-9a-f]{16}_\d+")  # ids of `calls/ids.py`, which Google has never seen

Content = dict[str, Any]


def system_and_contents(
    messages: tuple[Message, ...], model: str, *, signed: bool = True
) -> tuple[Content, list[Content]]:
    """Return the system instruction, empty if there is none, and the turns. System messages at the beginning are the
    instruction; a later one keeps its place, as words of the user, since Google has no others. Without `signed`, signatures
    are left out."""
    first = next((i for i, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
    names = {p.id: p.name for m in messages for p in m.parts if isinstance(p, ToolCallPart)}
    demanded = not _UNSIGNED_MODELS.match(model)
    turns: list[Content] = []
    for message in messages[first:]:
        own = message if message.vendor in ("", NAME) and signed else message.without_extras()
        parts = _parts(own, names)
        if message.role == "assistant" and demanded:
            _sign_first_call(parts)
        _append(turns, "model" if message.role == "assistant" else "user", parts)
    system = [{"text": m.text} for m in messages[:first] if m.text]
    if not turns:  # a request needs a turn of the user
        return {}, [{"role": "user", "parts": system}] if system else []
    return {"parts": system} if system else {}, turns


def _append(turns: list[Content], role: str, parts: list[Content]) -> None:
    """Add a turn. Turns of one role that follow each other are one: so are the results of parallel calls."""
    if not parts:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["parts"] += parts
    else:
        turns.append({"role": role, "parts": parts})


def _parts(message: Message, names: dict[str, str]) -> list[Content]:
    parts = [wire for part in message.parts if (wire := _part(part, names))]
    signature = _signature(message.extra)
    if signature and message.role == "assistant":
        last = parts[-1] if parts and "text" in parts[-1] else None
        if last is None:
            parts.append({"text": "", "thoughtSignature": signature})
        else:
            last["thoughtSignature"] = signature
    return parts


def _part(part: Part, names: dict[str, str]) -> Content | None:
    match part:
        case TextPart(said):
            return {"text": said} if said else None
        case ImagePart(url):
            return _image(url)
        case ToolCallPart():
            call = {"functionCall": {**_id(part.id), "name": part.name, "args": _arguments(part)}}
            return call | {"thoughtSignature": s} if (s := _signature(part.extra)) else call
        case ToolResultPart(call_id, said):
            name = part.name or names.get(call_id, "")
            return {"functionResponse": {**_id(call_id), "name": name, "response": _result(said)}}


def _sign_first_call(parts: list[Content]) -> None:
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", NO_SIGNATURE)


def _signature(extra: dict[str, Any]) -> str:
    return text(extra, "extra_content", NAME, "thought_signature")


def _id(call_id: str) -> dict[str, str]:
    return {} if not call_id or _MADE_HERE.fullmatch(call_id) else {"id": call_id}


def _arguments(call: ToolCallPart) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        arguments = None
    # A model may have written broken JSON earlier in the conversation; the text still shows what it meant.
    return arguments if isinstance(arguments, dict) else {"arguments": call.arguments}


def _result(said: str) -> dict[str, Any]:
    """Return a tool's result as the object that Google wants."""
    try:
        found = msgspec.json.decode(said)
    except (msgspec.DecodeError, UnicodeEncodeError):
        found = None
    return found if isinstance(found, dict) else {"output": said}


def _image(url: str) -> Content:
    head, _, data = url.partition(",")
    if not head.startswith("data:"):
        return {
            "fileData": {"fileUri": url, "mimeType": mimetypes.guess_type(url.partition("?")[0])[0] or "image/jpeg"}
        }
    if not head.endswith(";base64"):
        raise ProviderRefused("google accepts images only as base64 data: URLs, or as addresses of files.")
    return {"inlineData": {"mimeType": head[5:].partition(";")[0] or "image/png", "data": data}}
