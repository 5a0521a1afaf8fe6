"""A model server that speaks OpenAI's wire protocol: `python -m tests.counterparts.openai.server --port N`.

Behaviour is chosen by the model's name (`behaviours.py`). A token costs a few microseconds: without a rate, all tokens of one
event loop iteration go out in one write.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from typing import Any

from tests.counterparts.behaviours import (
    PROSE_TOKENS,
    SIGNATURE,
    WORDS,
    Behaviour,
    Scripts,
    Turn,
    parse,
    prompt_tokens,
    prose_word,
    word,
)
from tests.counterparts.http_server import CounterpartServer, Exchange, Record, chunk, run
from tests.counterparts.openai.texts import complete
from tests.counterparts.raw_server import RawAnswer, send_raw

LISTED = ("text-100", "text-100-at-50", "stamped-100-at-50", "reasoning", "tool-call")
BURST = 64
SCRIPTED = ("/completions", "/responses")
"""Routes besides chats on which it sends the raw answers of a script."""


class OpenAIServer(CounterpartServer):
    """Chat completions and completions of texts (stream and not), models and embeddings. `listed` are models in another
    server's words."""

    def __init__(self, *, key: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key = key
        self._failed: Counter[str] = Counter()
        self.listed: list[dict[str, Any]] | None = None
        self.scripts = Scripts()
        self.script, self.answer_with = self.scripts.script, self.scripts.answer_with

    @property
    def records(self) -> list[Record]:
        """The chats that were asked for, oldest first."""
        return [record for record in self.requests if record.path.partition("?")[0].endswith("/chat/completions")]

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.url}/v1"

    async def handle(self, exchange: Exchange) -> None:
        route = exchange.path.partition("?")[0].removeprefix("/v1")
        if exchange.path == "/_script":
            self.requests.remove(exchange.record)
            self.scripts.load(exchange.record.body)
            exchange.answer(200, {})
        elif self._key and exchange.record.headers.get("authorization") != f"Bearer {self._key}":
            exchange.answer(401, error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"))
        elif route == "/chat/completions":
            await self._chat(exchange)
        elif route in SCRIPTED and isinstance(raw := self.scripts.take(exchange.record.model, {}), RawAnswer):
            await send_raw(exchange, raw)
        elif route == "/completions":
            complete(exchange)
        elif route == "/models":
            data = [{"id": m, "object": "model", "created": 1_700_000_000, "owned_by": "tests"} for m in LISTED]
            exchange.answer(200, {"object": "list", "data": data if self.listed is None else self.listed})
        elif route == "/embeddings":
            self._embed(exchange)
        else:
            exchange.answer(404, error(f"No route {route}", "invalid_request_error", None))

    async def _chat(self, exchange: Exchange) -> None:
        body, model = exchange.record.body, exchange.record.model
        if model.startswith("no-tools") and body.get("tools"):
            said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            exchange.answer(400, error(said, "BadRequestError", None))
            return
        behaviour = self.scripts.take(model, body) or parse(model)
        if isinstance(behaviour, RawAnswer):
            await send_raw(exchange, behaviour)
        elif isinstance(behaviour, Turn):
            answer_turn(exchange, behaviour, len(self.requests))
        elif behaviour is None:
            exchange.answer(
                404, error(f"The model `{model}` does not exist", "invalid_request_error", "model_not_found")
            )
        elif behaviour.kind == "refuse":
            exchange.answer(int(behaviour.n), error("This request is refused.", "invalid_request_error", None))
        elif behaviour.kind == "slow-connect":
            await exchange.until_gone()
        elif self._fails(behaviour, body):
            if behaviour.kind == "rate-limit":
                said = error("Rate limit reached.", "requests", "rate_limit_exceeded")
                exchange.answer(429, said, {"retry-after": "0.2"})
            else:
                exchange.answer(500, error("The server had an error.", "server_error", None))
        elif body.get("stream"):
            await Answer(exchange, behaviour).stream()
        else:
            exchange.answer(200, whole(model, body, behaviour))
            exchange.record.tokens_sent = behaviour.tokens

    def _fails(self, behaviour: Behaviour, body: dict[str, Any]) -> bool:
        if behaviour.kind not in ("rate-limit", "overloaded"):
            return False
        prompt = json.dumps([body["model"], body.get("messages")])
        self._failed[prompt] += 1
        return self._failed[prompt] <= behaviour.n

    def _embed(self, exchange: Exchange) -> None:
        texts = exchange.record.body["input"]
        items: list[Any] = [texts] if isinstance(texts, str) or isinstance(texts[0], int) else texts
        said = [t if isinstance(t, str) else "".join(map(chr, t)) for t in items]
        data = [{"object": "embedding", "index": i, "embedding": vector(t)} for i, t in enumerate(said)]
        data.reverse()  # a client must go by `index`
        used = {"prompt_tokens": len(said), "total_tokens": len(said)}
        exchange.answer(200, {"object": "list", "data": data, "model": exchange.record.model, "usage": used})


def answer_turn(exchange: Exchange, turn: Turn, number: int) -> None:
    """A turn of a script, streamed or whole. `number` makes the ids of its calls its own."""
    body = exchange.record.body
    named = [
        (f"call_{number}_{i}", name, given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))
        for i, (name, given) in enumerate(turn.calls)
    ]
    read = prompt_tokens(body["messages"])
    usage = {"prompt_tokens": read, "completion_tokens": turn.tokens, "total_tokens": read + turn.tokens}
    exchange.record.tokens_sent = turn.tokens
    if turn.status != 200:
        kind = "server_error" if turn.status >= 500 else "invalid_request_error"
        exchange.answer(turn.status, error(turn.said, kind, None))
    elif body.get("stream"):
        Answer(exchange, Behaviour("text")).stream_turn(turn, named, usage)
    else:
        exchange.answer(200, whole_turn(body["model"], turn, named, usage))


def whole_turn(model: str, turn: Turn, named: list[tuple[str, str, str]], usage: dict[str, int]) -> dict[str, Any]:
    """A turn as the answer to a request without `stream`."""
    message: dict[str, Any] = {"role": "assistant", "content": turn.said or None}
    if turn.thought:
        message["reasoning_content"] = turn.thought
    if named:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in named
        ]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if named else "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": model}
    return {**head, "choices": [choice], "usage": usage}


class Answer:
    """One streamed answer."""

    def __init__(self, exchange: Exchange, behaviour: Behaviour) -> None:
        self._to = exchange
        self._does = behaviour
        self._body = exchange.record.body
        frame = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": exchange.record.model,
            "choices": [{"index": 0, "delta": {"content": "@"}, "finish_reason": None}],
        }
        before, after = json.dumps(frame, separators=(",", ":")).split("@")
        self._before, self._after = b"data: " + before.encode(), after.encode() + b"\n\n"
        cap = self._body.get("max_completion_tokens") or self._body.get("max_tokens")
        self._count = min(behaviour.tokens, cap) if cap else behaviour.tokens
        self._capped = self._count < behaviour.tokens

    async def stream(self) -> None:
        if self._does.kind == "slow-first":
            await asyncio.sleep(self._does.n)
        self._to.begin("text/event-stream; charset=utf-8")
        if self._does.kind == "stall-first":
            await self._to.until_gone()
        if self._does.kind == "reasoning":
            self._event({"reasoning_content": "".join(word(k) for k in range(5))})
        if self._does.kind == "tool-call":
            self._call_tool()
        await self._tokens()
        await self._ending()

    def stream_turn(self, turn: Turn, named: list[tuple[str, str, str]], usage: dict[str, int]) -> None:
        """A turn of a script, all at once; the arguments of each call come in two pieces."""
        self._to.begin("text/event-stream; charset=utf-8")
        if turn.thought:
            self._event({"reasoning_content": turn.thought})
        for part in turn.parts:
            self._event({"content": part})
        for i, (call_id, name, arguments) in enumerate(named):
            function = {"name": name, "arguments": ""}
            head = {"index": i, "id": call_id, "type": "function", "function": function}
            self._event({"tool_calls": [head | SIGNATURE if turn.signed else head]})
            half = len(arguments) // 2
            for piece in (arguments[:half], arguments[half:]):
                self._event({"tool_calls": [{"index": i, "function": {"arguments": piece}}]})
        self._event({}, "tool_calls" if named else "stop")
        if (self._body.get("stream_options") or {}).get("include_usage"):
            self._to.write(chunk(self._payload({"choices": [], "usage": usage})))
        self._to.write(chunk(b"data: [DONE]\n\n"))
        self._to.end()

    async def _tokens(self) -> None:
        if self._does.kind == "stamped":
            frames = None
        else:
            said, period = (prose_word, PROSE_TOKENS) if self._does.kind == "prose" else (word, len(WORDS))
            first = self._said(said(0))
            others = [self._said(said(period + k)) for k in range(period)]
            frames = (first, others)
        if self._does.rate:
            await self._paced(frames)
        else:
            await self._flat_out(frames)

    async def _paced(self, frames: tuple[bytes, list[bytes]] | None) -> None:
        loop, record, write = asyncio.get_running_loop(), self._to.record, self._to.write
        gap_s, due = 1 / self._does.rate, loop.time()
        for k in range(self._count):
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            write(self._frame(k, frames))
            record.tokens_sent = k + 1
            due += gap_s

    async def _flat_out(self, frames: tuple[bytes, list[bytes]] | None) -> None:
        for start in range(0, self._count, BURST):
            stop = min(start + BURST, self._count)
            self._to.write(b"".join([self._frame(k, frames) for k in range(start, stop)]))
            self._to.record.tokens_sent = stop
            await asyncio.sleep(0)

    def _said(self, text: str) -> bytes:
        return chunk(self._before + json.dumps(text)[1:-1].encode() + self._after)

    def _frame(self, k: int, frames: tuple[bytes, list[bytes]] | None) -> bytes:
        if frames is None:
            return chunk(b"%s<%d>%s" % (self._before, time.monotonic_ns(), self._after))
        return frames[0] if k == 0 else frames[1][k % len(frames[1])]

    async def _ending(self) -> None:
        match self._does.kind:
            case "stall-after":
                await self._to.until_gone()
            case "cut-after":
                # One turn of the loop lets the kernel have the tokens: a reset would throw away what it has not.
                await asyncio.sleep(0.02)
                self._to.cut()
            case "garbage-after":
                self._to.write(chunk(b"data: {not json at all\n\n"))
                self._to.end()
            case "error-after":
                said = json.dumps(error("The server had an error.", "server_error", None)).encode()
                self._to.write(chunk(b"data: " + said + b"\n\n"))
                self._to.end()
            case "short-after":
                self._to.end()
            case _:
                await self._proper_end()

    async def _proper_end(self) -> None:
        reason = "tool_calls" if self._does.kind == "tool-call" else "length" if self._capped else "stop"
        self._event({}, reason)
        if (self._body.get("stream_options") or {}).get("include_usage") and self._does.kind != "no-usage":
            usage = usage_of(self._body, self._does, self._count)
            self._to.write(chunk(self._payload({"choices": [], "usage": usage})))
        self._to.write(chunk(b"data: [DONE]\n\n"))
        if self._does.kind == "late-end":
            await asyncio.sleep(0.01)
        self._to.end()

    def _call_tool(self) -> None:
        call_id, name, pieces = tool_call(self._body)
        head = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        self._event({"role": "assistant", "content": None, "tool_calls": [head]})
        for piece in pieces:
            self._event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})

    def _event(self, delta: dict[str, Any], reason: str | None = None) -> None:
        self._to.write(chunk(self._payload({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})))

    def _payload(self, body: dict[str, Any]) -> bytes:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000}
        return b"data: " + json.dumps({**head, "model": self._body["model"], **body}).encode() + b"\n\n"


def whole(model: str, body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """The answer to a request without `stream`."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(word(k) for k in range(behaviour.tokens))}
    reason = "stop"
    if behaviour.kind == "tool-call":
        call_id, name, pieces = tool_call(body)
        function = {"name": name, "arguments": "".join(pieces)}
        message |= {"content": None, "tool_calls": [{"id": call_id, "type": "function", "function": function}]}
        reason = "tool_calls"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": usage_of(body, behaviour, behaviour.tokens),
    }


def tool_call(body: dict[str, Any]) -> tuple[str, str, list[str]]:
    """(id, tool name, argument text in pieces) of the call that `tool-call` makes."""
    tools = body.get("tools") or [{"function": {"name": "get_weather"}}]
    return "call_1", tools[0]["function"]["name"], ['{"city"', ': "Hà', ' Nội"}']


def usage_of(body: dict[str, Any], behaviour: Behaviour, sent: int) -> dict[str, int]:
    """Words of the prompt, tokens of the answer (reasoning included)."""
    read = prompt_tokens(body["messages"])
    wrote = sent + {"reasoning": 5, "tool-call": 3}.get(behaviour.kind, 0)
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def vector(of: str) -> list[float]:
    """A small embedding that is a function of the text alone."""
    return [float(len(of)), float(sum(map(ord, of)) % 97), 1.0]


def error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1", help="a name or address of this machine to listen at")
    parser.add_argument("--key", default="")
    args = parser.parse_args()
    run(OpenAIServer(key=args.key), args.port, args.host)
