"""A model server that speaks Cohere's second protocol: `python -m tests.counterparts.cohere.server --port N`.

It refuses what Cohere refuses. Behaviour is chosen by the model's name (`behaviours.py`). Tokens are words; a prompt has seven
more, of Cohere's own, which are not billed.
"""

import argparse
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.counterparts.behaviours import Behaviour, Turn, parse, prompt_tokens
from tests.counterparts.http_server import Exchange, run
from tests.counterparts.openai.server import vector
from tests.counterparts.wires import VendorServer, Wire, drive

LISTED = ("text-100", "text-100-at-50", "reasoning", "tool-call", "command-a-03-2025", "embed-v4.0", "rerank-v4.0")
REASONS = {"stop": "COMPLETE", "tool_calls": "TOOL_CALL", "length": "MAX_TOKENS"}
OWN_TOKENS = 7
FIELDS = frozenset(
    {
        *("model", "messages", "stream", "tools", "strict_tools", "documents", "citation_options", "response_format"),
        *("safety_mode", "max_tokens", "stop_sequences", "temperature", "seed", "frequency_penalty"),
        *("presence_penalty", "k", "p", "logprobs", "tool_choice", "thinking", "priority"),
    }
)


class CohereServer(VendorServer):
    """Chat (stream and not), embeddings and models."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.finish: dict[str, dict[str, Any]] = {}
        """By model: fields that the last event's `delta` gets, such as another finish reason."""

    def is_chat(self, path: str) -> bool:
        return path == "/v2/chat"

    async def handle(self, exchange: Exchange) -> None:
        url, body = urlsplit(exchange.path), exchange.record.body
        if self.key and exchange.record.headers.get("authorization") != f"Bearer {self.key}":
            exchange.answer(401, {"message": "invalid api token"})
        elif url.path.startswith("/v1/models"):
            self._models(exchange, parse_qs(url.query), unquote(url.path.removeprefix("/v1/models").strip("/")))
        elif url.path == "/v2/embed":
            missing = [name for name in ("model", "input_type", "embedding_types") if name not in body]
            if missing:
                exchange.answer(400, {"message": f"invalid request: {missing[0]} parameter is required"})
                return
            exchange.answer(
                200, {"id": "e1", "embeddings": {"float": [vector(text) for text in body["texts"]]}, "texts": []}
            )
        elif url.path == "/v2/chat":
            await self._chat(exchange)
        else:
            exchange.answer(404, {"message": f"No route {url.path}"})

    async def _chat(self, exchange: Exchange) -> None:
        model, body = exchange.record.model, exchange.record.body
        if said := refusal(body):
            exchange.answer(400, {"message": said})
            return
        does = self.scripts.take(model, body) or parse(model)
        wire = CohereWire(prompt_tokens(body["messages"]), self.finish.get(model, {}))
        if does is None:
            exchange.answer(404, {"message": f"model '{model}' not found, make sure the correct model ID was used"})
        elif isinstance(does, Turn) and does.status != 200:
            exchange.answer(does.status, {"message": does.said})
        elif isinstance(does, Behaviour) and does.kind == "refuse":
            exchange.answer(int(does.n), {"message": "This request is refused."})
        elif isinstance(does, Behaviour) and does.kind == "slow-connect":
            await exchange.until_gone()
        elif isinstance(does, Behaviour) and self.still_fails(does, [model, body]):
            limited = does.kind == "rate-limit"
            said = "You are using a Trial key, which is limited." if limited else "internal server error"
            exchange.answer(429 if limited else 500, {"message": said}, {"retry-after": "0.2"} if limited else {})
        elif body.get("stream"):
            await drive(exchange, does, wire, cap=body.get("max_tokens"))
        else:
            exchange.answer(200, wire.whole(does))

    def _models(self, exchange: Exchange, query: dict[str, list[str]], name: str) -> None:
        if name:
            known = name in LISTED or parse(name) is not None or self.scripts.knows(name)
            missing = {"message": f"model '{name}' not found, make sure the correct model ID was used"}
            exchange.answer(200 if known else 404, info(name) if known else missing)
            return
        start = int(query.get("page_token", ["0"])[0])
        end = start + min(int(query.get("page_size", ["20"])[0]), 4)  # pages are short, so that there are several
        more = {"next_page_token": str(end)} if end < len(LISTED) else {}
        exchange.answer(200, {"models": [info(name) for name in LISTED[start:end]], **more})


class CohereWire(Wire):
    """Each frame is a named event whose data has the name as its type."""

    def __init__(self, read: int, ending: dict[str, Any]) -> None:
        self._read, self._ending, self._open = read, ending, ""

    def opening(self) -> bytes:
        return event(
            "message-start", id="m1", delta={"message": {"role": "assistant", "content": [], "tool_calls": []}}
        )

    def text(self, said: str) -> bytes:
        return self._content("text", said)

    def thought(self, said: str) -> bytes:
        return self._content("thinking", said)

    def call(self, index: int, name: str, arguments: str, *, signed: bool) -> bytes:
        plan = b"" if index else event("tool-plan-delta", delta={"message": {"tool_plan": "I will look."}})
        call = {"id": f"look_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        half = len(arguments) // 2
        pieces = b"".join(
            event("tool-call-delta", index=index, delta={"message": {"tool_calls": {"function": {"arguments": piece}}}})
            for piece in (arguments[:half], arguments[half:])
        )
        start = event("tool-call-start", index=index, delta={"message": {"tool_calls": call}})
        return self._close() + plan + start + pieces + event("tool-call-end", index=index)

    def end(self, reason: str, written: int | None) -> bytes:
        usage = {} if written is None else {"usage": self._usage(written)}
        delta = {"finish_reason": REASONS[reason], **usage, **self._ending}
        return self._close() + event("message-end", id="m1", delta=delta)

    def error(self, status: int, message: str) -> bytes:
        return event("message-end", id="m1", delta={"finish_reason": "ERROR", "error": message})

    def whole(self, does: Behaviour | Turn) -> dict[str, Any]:
        turn = does if isinstance(does, Turn) else Turn(" ".join(["water"] * does.tokens))
        message: dict[str, Any] = {"role": "assistant", "content": [{"type": "text", "text": turn.said}]}
        if turn.calls:
            calls = [
                {"id": f"look_{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
                for i, (name, given) in enumerate(turn.calls)
            ]
            message = {"role": "assistant", "tool_plan": "I will look.", "tool_calls": calls}
        reason = "TOOL_CALL" if turn.calls else "COMPLETE"
        return {"id": "m1", "finish_reason": reason, "message": message, "usage": self._usage(turn.tokens)}

    def _usage(self, written: int) -> dict[str, Any]:
        billed = {"input_tokens": self._read, "output_tokens": written}
        return {
            "billed_units": billed,
            "tokens": {**billed, "input_tokens": self._read + OWN_TOKENS},
            "cached_tokens": 0,
        }

    def _content(self, kind: str, said: str) -> bytes:
        frames = b""
        if self._open != kind:
            frames, self._open = self._close(), kind
            frames += event("content-start", index=0, delta={"message": {"content": {"type": kind, kind: ""}}})
        return frames + event("content-delta", index=0, delta={"message": {"content": {kind: said}}})

    def _close(self) -> bytes:
        was, self._open = self._open, ""
        return event("content-end", index=0) if was else b""


def event(kind: str, **fields: Any) -> bytes:
    """One event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def refusal(body: dict[str, Any]) -> str:
    """What Cohere says to a request that it refuses; empty for others."""
    if unknown := body.keys() - FIELDS:
        return f"invalid request: unknown field: parameter '{min(unknown)}' is not a valid field"
    if not body.get("messages"):
        return "invalid request: list of messages must contain at least one message"
    open_calls: set[str] = set()
    for message in body["messages"]:
        if message.get("role") not in ("system", "user", "assistant", "tool"):
            return f"invalid request: invalid role '{message.get('role')}'"
        if message["role"] == "tool" and message.get("tool_call_id") not in open_calls:
            return "invalid request: tool message cannot be provided for a call that was not made"
        if message["role"] != "tool" and not (message.get("content") or message.get("tool_calls")):
            return "invalid request: message must be at least 1 token long or tool results must be specified."
        open_calls |= {call["id"] for call in message.get("tool_calls") or ()}
    if body.get("tool_choice", "NONE") not in ("REQUIRED", "NONE"):
        return "invalid request: tool_choice must be REQUIRED or NONE"
    return ""


def info(name: str) -> dict[str, Any]:
    """What Cohere says of a model."""
    endpoint = next((e for e in ("embed", "rerank") if name.startswith(e)), "chat")
    features = ["tools", "json_mode"] if endpoint == "chat" else []
    return {"name": name, "endpoints": [endpoint], "context_length": 256_000, "features": features, "finetuned": False}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="")
    args = parser.parse_args()
    run(CohereServer(key=args.key), args.port)
