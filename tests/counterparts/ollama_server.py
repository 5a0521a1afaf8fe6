"""A model server that speaks Ollama's wire protocol: `python -m tests.counterparts.ollama_server --port N`.

Behaviour is chosen by the model's name (`behaviours.py`); a name that begins with `absent-` is missing until pulled,
`absent-never` can't be pulled, `absent-halfway` stops in the middle of its pull.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from typing import Any

from tests.counterparts.behaviours import Behaviour, Scripts, Turn, parse, prompt_tokens, word
from tests.counterparts.http_server import CounterpartServer, Exchange, Record, chunk, run
from tests.counterparts.openai.server import vector

LISTED = ("text-100:latest", "text-100-at-50:latest", "reasoning:latest", "tool-call:latest")
CREATED = "2026-01-01T00:00:00.000000Z"
PULL_BYTES = 1000
BURST = 64


class OllamaServer(CounterpartServer):
    """Chat, tags, ps, pull, version and embed; a generate without a prompt loads a model, with one it goes on with the text.
    `loaded` is what is in memory."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pulled: set[str] = set()
        self.loaded: set[str] = set()
        self._failed: Counter[str] = Counter()
        self.scripts = Scripts()
        self.script, self.answer_with = self.scripts.script, self.scripts.answer_with

    @property
    def records(self) -> list[Record]:
        """The chats that were asked for, oldest first."""
        return [record for record in self.requests if record.path == "/api/chat"]

    async def handle(self, exchange: Exchange) -> None:
        route = exchange.path.partition("?")[0]
        if route == "/api/chat":
            await self._chat(exchange)
        elif route == "/api/generate":
            self._generate(exchange)
        elif route == "/_script":
            self.requests.remove(exchange.record)
            self.scripts.load(exchange.record.body)
            exchange.answer(200, {})
        elif route == "/api/show":
            self._show(exchange)
        elif route == "/api/pull":
            await self._pull(exchange)
        elif route == "/api/embed":
            self._embed(exchange)
        elif route == "/api/tags":
            names = (*LISTED, *sorted(self.pulled))
            exchange.answer(
                200, {"models": [{"name": n, "model": n, "modified_at": CREATED, "size": 1} for n in names]}
            )
        elif route == "/api/ps":
            exchange.answer(200, {"models": [{"name": n, "model": n, "size": 1} for n in sorted(self.loaded)]})
        elif route == "/api/version":
            exchange.answer(200, {"version": "0.12.0"})
        else:
            exchange.answer(404, {"error": "404 page not found"})

    def _missing(self, model: str) -> bool:
        if self.scripts.knows(model):
            return False
        return parse(model) is None or (model.startswith("absent-") and model not in self.pulled)

    async def _chat(self, exchange: Exchange) -> None:
        body, model = exchange.record.body, exchange.record.model
        if self._missing(model):
            exchange.answer(404, {"error": f"model '{model}' not found"})
            return
        if model.removeprefix("absent-").startswith("no-tools") and body.get("tools"):
            exchange.answer(400, {"error": f"registry.ollama.ai/library/{model} does not support tools"})
            return
        behaviour = self.scripts.take(model, body) or parse(model)
        assert behaviour is not None
        if isinstance(behaviour, Turn):
            Answer(exchange, Behaviour("text")).turn(behaviour)
        elif behaviour.kind == "refuse":
            exchange.answer(int(behaviour.n), {"error": "this request is refused"})
        elif behaviour.kind == "slow-connect":
            await exchange.until_gone()
        elif self._fails(behaviour, body):
            status = 429 if behaviour.kind == "rate-limit" else 500
            exchange.answer(status, {"error": "try later"}, {"retry-after": "0.2"} if status == 429 else None)
        elif body.get("stream", True):
            await Answer(exchange, behaviour).stream()
        else:
            exchange.answer(200, Answer(exchange, behaviour).whole())

    def _generate(self, exchange: Exchange) -> None:
        body, model = exchange.record.body, exchange.record.model
        if not body.get("prompt"):
            self.loaded.add(model)
            exchange.answer(200, {"model": model, "response": "", "done": True, "done_reason": "load"})
            return
        behaviour = parse(model)
        if self._missing(model) or behaviour is None:
            exchange.answer(404, {"error": f"model '{model}' not found"})
            return
        cap = (body.get("options") or {}).get("num_predict")
        said = [word(k) for k in range(min(behaviour.tokens, cap) if cap else behaviour.tokens)]
        said += [f" [{body['prompt']}|{body['suffix']}]"] if body.get("suffix") else []
        reason = "length" if len(said) < behaviour.tokens else "stop"
        head = {"model": model, "created_at": CREATED}
        counts = {"prompt_eval_count": len(body["prompt"].split()), "eval_count": len(said)}
        last = head | {"response": "", "done": True, "done_reason": reason, "context": [1, 2]} | counts
        exchange.record.tokens_sent = len(said)
        if not body.get("stream", True):
            exchange.answer(200, last | {"response": "".join(said)})
            return
        exchange.begin("application/x-ndjson")
        for one in said:
            exchange.write(line(head | {"response": one, "done": False}))
        exchange.write(line(last))
        exchange.end()

    def _fails(self, behaviour: Behaviour, body: dict[str, Any]) -> bool:
        if behaviour.kind not in ("rate-limit", "overloaded"):
            return False
        prompt = json.dumps([body["model"], body.get("messages")])
        self._failed[prompt] += 1
        return self._failed[prompt] <= behaviour.n

    def _show(self, exchange: Exchange) -> None:
        """A model's capabilities; a name that begins with `old-show` gives the format of versions before 0.6.4."""
        model = exchange.record.model
        if self._missing(model):
            exchange.answer(404, {"error": f"model '{model}' not found"})
            return
        able = [] if model.removeprefix("absent-").startswith("no-tools") else ["tools"]
        shown = {"template": "{{ .Tools }}" if able else "", "details": {"family": "llama", "families": ["llama"]}}
        shown |= {"model_info": {"general.architecture": "llama", "llama.context_length": 131072}}
        exchange.answer(200, shown if model.startswith("old-show") else shown | {"capabilities": ["completion", *able]})

    async def _pull(self, exchange: Exchange) -> None:
        model = exchange.record.model
        exchange.begin("application/x-ndjson")
        exchange.write(line({"status": "pulling manifest"}))
        if parse(model) is None and model != "absent-halfway":
            exchange.write(line({"error": "pull model manifest: file does not exist"}))
            exchange.end()
            return
        for done in range(0, PULL_BYTES + 1, 250):
            part = {"status": "pulling 6a0746a1ec1a", "digest": "sha256:6a07", "total": PULL_BYTES, "completed": done}
            exchange.write(line(part))
            await asyncio.sleep(0.001)
            if model == "absent-halfway" and done == 500:
                exchange.end()
                return
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            exchange.write(line({"status": status}))
        self.pulled.add(model)
        exchange.end()

    def _embed(self, exchange: Exchange) -> None:
        body, model = exchange.record.body, exchange.record.model
        if self._missing(model):
            exchange.answer(404, {"error": f"model '{model}' not found, try pulling it first"})
            return
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        exchange.answer(
            200, {"model": model, "embeddings": [vector(t) for t in texts], "prompt_eval_count": len(texts)}
        )


class Answer:
    """One answer."""

    def __init__(self, exchange: Exchange, behaviour: Behaviour) -> None:
        self._to = exchange
        self._does = behaviour
        self._body = exchange.record.body
        cap = (self._body.get("options") or {}).get("num_predict")
        self._count = min(behaviour.tokens, cap) if cap else behaviour.tokens

    async def stream(self) -> None:
        if self._does.kind == "slow-first":
            await asyncio.sleep(self._does.n)
        self._to.begin("application/x-ndjson")
        if self._does.kind == "stall-first":
            await self._to.until_gone()
        if self._does.kind == "reasoning":
            self._line({"thinking": "".join(word(k) for k in range(5))})
        if self._does.kind == "tool-call":
            self._line({"tool_calls": [self._tool_call()]})
        await self._tokens()
        await self._ending()

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(word(k) for k in range(self._count))}
        if self._does.kind == "tool-call":
            message["tool_calls"] = [self._tool_call()]
        self._to.record.tokens_sent = self._count
        return self._last() | {"message": message}

    def turn(self, turn: Turn) -> None:
        """Send a turn of a script, streamed or not; calls are whole and without ids, as Ollama sent them before 0.12."""
        self._to.record.tokens_sent = turn.tokens
        if turn.status != 200:
            self._to.answer(turn.status, {"error": turn.said})
            return
        called = [
            {"function": {"name": name, "arguments": json.loads(given) if isinstance(given, str) else given}}
            for name, given in turn.calls
        ]
        last = self._last() | {"eval_count": turn.tokens}
        if not self._body.get("stream", True):
            message = {"role": "assistant", "content": turn.said} | ({"thinking": turn.thought} if turn.thought else {})
            self._to.answer(200, last | {"message": message | ({"tool_calls": called} if called else {})})
            return
        self._to.begin("application/x-ndjson")
        if turn.thought:
            self._line({"thinking": turn.thought})
        for part in turn.parts:
            self._line({"content": part})
        for call in called:
            self._line({"tool_calls": [call]})
        self._to.write(line(last))
        self._to.end()

    async def _tokens(self) -> None:
        record, loop = self._to.record, asyncio.get_running_loop()
        before, after = self._object({"content": "@"}).split(b"@")
        due = loop.time()
        for k in range(self._count):
            if self._does.rate:
                await asyncio.sleep(max(due - loop.time(), 0))
                due += 1 / self._does.rate
            elif k % BURST == 0:
                await asyncio.sleep(0)
            said = b"<%d>" % time.monotonic_ns() if self._does.kind == "stamped" else word(k).encode()
            self._to.write(chunk(before + said + after))
            record.tokens_sent = k + 1

    async def _ending(self) -> None:
        match self._does.kind:
            case "stall-after":
                await self._to.until_gone()
            case "cut-after":
                # One turn of the loop lets the kernel have the tokens: a reset would throw away what it has not.
                await asyncio.sleep(0.02)
                self._to.cut()
            case "garbage-after":
                self._to.write(chunk(b"{not json at all\n"))
                self._to.end()
            case "error-after":
                self._to.write(line({"error": "an error was encountered while running the model"}))
                self._to.end()
            case "short-after":
                self._to.end()
            case _:
                self._to.write(line(self._last()))
                if self._does.kind == "late-end":
                    await asyncio.sleep(0.01)
                self._to.end()

    def _last(self) -> dict[str, Any]:
        reason = "length" if self._count < self._does.tokens else "stop"
        last = {"model": self._to.record.model, "created_at": CREATED, "message": {"role": "assistant", "content": ""}}
        last |= {"done": True, "done_reason": reason, "total_duration": 1, "load_duration": 1}
        if self._does.kind != "no-usage":
            wrote = self._count + {"reasoning": 5, "tool-call": 3}.get(self._does.kind, 0)
            last |= {"prompt_eval_count": prompt_tokens(self._body["messages"]), "eval_count": wrote}
        return last

    def _tool_call(self) -> dict[str, Any]:
        tools = self._body.get("tools") or [{"function": {"name": "get_weather"}}]
        return {"function": {"name": tools[0]["function"]["name"], "arguments": {"city": "Hà Nội"}}}

    def _line(self, message: dict[str, Any]) -> None:
        self._to.write(chunk(self._object({"content": "", **message})))

    def _object(self, message: dict[str, Any]) -> bytes:
        body = {"model": self._to.record.model, "created_at": CREATED, "message": {"role": "assistant", **message}}
        return json.dumps(body | {"done": False}, separators=(",", ":")).encode() + b"\n"


def line(body: dict[str, Any]) -> bytes:
    """One NDJSON line as a chunk."""
    return chunk(json.dumps(body).encode() + b"\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    run(OllamaServer(), parser.parse_args().port)
