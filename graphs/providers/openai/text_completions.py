"""The older half of OpenAI's protocol, `/completions`: a text to go on with, and logprobs in lists beside each other.

Its chunks are read by `wire_format.py`, with those of chats.
"""

from typing import Any

import msgspec

from graphs.providers.contract import ModelRequest
from graphs.providers.openai.vendors import Vendor

_FIELDS = ("temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty")


def completion_body(request: ModelRequest, vendor: Vendor) -> bytes:
    """Return the JSON body of a streaming completion. One of the best of several can't be streamed."""
    asked = request.completion
    assert asked is not None
    streams = request.extra.get("best_of") in (None, 1)
    body: dict[str, Any] = {**request.extra, "model": request.model, "prompt": asked.prompt, "stream": streams}
    if vendor.stream_usage and streams:
        body["stream_options"] = {"include_usage": True}
    if asked.suffix:
        body["suffix"] = asked.suffix
    if asked.echo:
        body["echo"] = True
    for field in _FIELDS:
        if (value := getattr(request, field)) is not None and value != ():
            body[field] = value
    return msgspec.json.encode(body)


def logprobs_of_text(told: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return logprobs as chats have them, with the place of each token in the text (`text_offset`); None for what has none."""
    tokens = _list(told, "tokens")
    if not tokens:
        return None
    columns = (_list(told, name) for name in ("token_logprobs", "top_logprobs", "text_offset"))
    rows = zip(tokens, *([*column, *[None] * len(tokens)] for column in columns), strict=False)
    return [_token(*row) for row in rows if isinstance(row[0], str)]


def _token(token: str, logprob: Any, top: Any, offset: Any) -> dict[str, Any]:
    likely = [{"token": name, "logprob": value, "bytes": None} for name, value in top.items()] if _is_dict(top) else []
    read: dict[str, Any] = {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": likely}
    return read | {"text_offset": offset} if type(offset) is int else read


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _list(told: dict[str, Any], name: str) -> list[Any]:
    value = told.get(name)
    return value if isinstance(value, list) else []
