"""`POST /completions` of OpenAI's counterpart: `text-N` goes on with N words; before a suffix, it repeats what it was asked."""

import json
from typing import Any

from tests.counterparts.behaviours import parse, word
from tests.counterparts.http_server import Exchange, chunk

Json = dict[str, Any]


def complete(exchange: Exchange) -> None:
    """Answer a completion, streamed or whole."""
    body = exchange.record.body
    behaviour = parse(body["model"])
    if behaviour is None or behaviour.kind == "refuse":
        unknown = f"The model `{body['model']}` does not exist", "model_not_found"
        message, code = unknown if behaviour is None else ("This request is refused.", None)
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        exchange.answer(int(behaviour.n) if behaviour else 404, {"error": error})
        return
    prompts = _prompts(body["prompt"])
    texts = [prompt for prompt in prompts for _ in range(body.get("n") or 1)]
    count = min(behaviour.tokens, body.get("max_tokens") or behaviour.tokens)
    reason = "length" if count < behaviour.tokens else "stop"
    read, wrote = sum(len(prompt.split()) for prompt in prompts), count * len(texts)
    usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
    pieces = [_pieces(body, prompt, count) for prompt in texts]
    exchange.record.tokens_sent = count
    if not body.get("stream"):
        whole = [_choice(i, "".join(said), _logprobs(body, said), reason) for i, said in enumerate(pieces)]
        exchange.answer(200, _head(body) | {"choices": whole, "usage": usage})
        return
    exchange.begin("text/event-stream; charset=utf-8")
    for place in range(max(map(len, pieces))):  # choices come by turns
        for i, said in enumerate(pieces):
            if place < len(said):
                one = [said[place]]
                _event(exchange, body, _choice(i, said[place], _logprobs(body, one, len("".join(said[:place])))))
    for i in range(len(pieces)):
        _event(exchange, body, _choice(i, "", None, reason))
    if (body.get("stream_options") or {}).get("include_usage"):
        exchange.write(chunk(b"data: " + json.dumps(_head(body) | {"choices": [], "usage": usage}).encode() + b"\n\n"))
    exchange.write(chunk(b"data: [DONE]\n\n"))
    exchange.end()


def _prompts(sent: Any) -> list[str]:
    if isinstance(sent, str):
        return [sent]
    if isinstance(sent[0], int):
        return ["".join(map(chr, sent))]
    return [one if isinstance(one, str) else "".join(map(chr, one)) for one in sent]


def _pieces(body: Json, prompt: str, count: int) -> list[str]:
    said = [word(k) for k in range(count)] + ([f" [{prompt}|{body['suffix']}]"] if body.get("suffix") else [])
    return [prompt, *said] if body.get("echo") else said


def _choice(index: int, text: str, logprobs: Json | None, reason: str | None = None) -> Json:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(body: Json, said: list[str], start: int = 0) -> Json | None:
    if body.get("logprobs") is None:
        return None
    offsets = [start + len("".join(said[:k])) for k in range(len(said))]
    likely = [{one: -0.5, " other": -1.5} for one in said]
    return {"tokens": said, "token_logprobs": [-0.5] * len(said), "top_logprobs": likely, "text_offset": offsets}


def _head(body: Json) -> Json:
    return {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": body["model"]}


def _event(exchange: Exchange, body: Json, choice: Json) -> None:
    exchange.write(chunk(b"data: " + json.dumps(_head(body) | {"choices": [choice]}).encode() + b"\n\n"))
