"""OpenAI's Responses API, as a vendor serves it: `POST /v1/responses`, streamed and whole, and the list of models.

It refuses what OpenAI refuses: calls without outputs and outputs without calls, reasoning that it didn't give or that leads to
nothing, parameters of the other API, reasoning that is asked of a model without. Behaviour is chosen by the model's name.
"""

import json
import re
from typing import Any

from tests.counterparts.behaviours import Behaviour, Turn, parse
from tests.counterparts.http_server import Exchange
from tests.counterparts.openai.server import LISTED, error, vector
from tests.counterparts.wires import VendorServer, Wire, drive, words_of

UNKNOWN = frozenset(
    {
        "messages",
        "stop",
        "n",
        "max_tokens",
        "seed",
        "response_format",
        "reasoning_effort",
        "presence_penalty",
        "logit_bias",
    }
)
THINKS = re.compile(r"o\d|gpt-5|reasoning|text|scripted|tool-call|.*-after|.*-first|no-usage|late-end")


class ResponsesServer(VendorServer):
    """Responses, models and embeddings."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sealed: dict[str, str] = {}
        """What it thought, by the sealed text that it gave for it."""
        self.ending: dict[str, dict[str, Any]] = {}
        """By model: fields that the last response gets, such as a status."""

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def is_chat(self, path: str) -> bool:
        return path == "/v1/responses"

    async def handle(self, exchange: Exchange) -> None:
        route = exchange.path.partition("?")[0].removeprefix("/v1")
        if self.key and exchange.record.headers.get("authorization") != f"Bearer {self.key}":
            exchange.answer(401, error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"))
        elif route == "/responses":
            await self._respond(exchange)
        elif route == "/models":
            exchange.answer(200, {"object": "list", "data": [{"id": m, "object": "model"} for m in LISTED]})
        elif route == "/embeddings":
            data = [{"index": i, "embedding": vector(t)} for i, t in enumerate(exchange.record.body["input"])]
            exchange.answer(200, {"object": "list", "data": data})
        else:
            exchange.answer(404, error(f"No route {route}", "invalid_request_error", None))

    async def _respond(self, exchange: Exchange) -> None:
        model, body = exchange.record.model, exchange.record.body
        if refused := self._refusal(body):
            exchange.answer(400, error(refused[0], "invalid_request_error", refused[1]))
            return
        messages = openai_messages(body["input"])
        does = self.scripts.take(model, {**body, "messages": messages}) or parse(model)
        wire = ResponsesWire(self, body, words_of([str(m.get("content") or "") for m in messages]))
        if does is None:
            said = f"The requested model '{model}' does not exist."
            exchange.answer(400, error(said, "invalid_request_error", "model_not_found"))
        elif isinstance(does, Turn) and does.status != 200:
            kind = "server_error" if does.status >= 500 else "invalid_request_error"
            exchange.answer(does.status, error(does.said, kind, None))
        elif isinstance(does, Behaviour) and does.kind == "refuse":
            exchange.answer(int(does.n), error("This request is refused.", "invalid_request_error", None))
        elif isinstance(does, Behaviour) and does.kind == "slow-connect":
            await exchange.until_gone()
        elif isinstance(does, Behaviour) and self.still_fails(does, [model, body["input"]]):
            limited = does.kind == "rate-limit"
            said = error("Rate limit reached.", "requests", "rate_limit_exceeded" if limited else None)
            exchange.answer(429 if limited else 500, said, {"retry-after": "0.2"} if limited else {})
        elif body.get("stream"):
            await drive(exchange, does, wire, cap=body.get("max_output_tokens"))
        else:
            exchange.answer(200, wire.whole(does))

    def _refusal(self, body: dict[str, Any]) -> tuple[str, str] | None:
        if unknown := UNKNOWN & body.keys():
            return f"Unknown parameter: '{min(unknown)}'.", "unknown_parameter"
        thinks = THINKS.match(body["model"]) is not None
        if not thinks and ("reasoning" in body or body.get("include")):
            return "Encrypted content is not supported with this model.", "unsupported_parameter"
        if any("function" in tool for tool in body.get("tools") or ()):
            return "Missing required parameter: 'tools[0].name'.", "missing_required_parameter"
        return None if isinstance(body["input"], str) else self._refused_items(body["input"])

    def _refused_items(self, items: list[dict[str, Any]]) -> tuple[str, str] | None:
        calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
        outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
        if lost := set(calls) - set(outputs):
            return f"No tool output found for function call {min(lost)}.", "invalid_value"
        if lost := set(outputs) - set(calls):
            return f"No tool call found for function call output with call_id {min(lost)}.", "invalid_value"
        for item, following in zip(items, [*items[1:], {}], strict=True):
            if item.get("type") == "reasoning":
                if item.get("encrypted_content") not in self.sealed:
                    return "The encrypted content could not be verified.", "invalid_encrypted_content"
                if following.get("type") not in ("function_call", "message", "reasoning"):
                    name = item.get("id")
                    return (
                        f"Item '{name}' of type 'reasoning' was provided without its required following item.",
                        "invalid_value",
                    )
        return None


class ResponsesWire(Wire):
    """Numbered events; items are closed before the next one begins."""

    def __init__(self, server: ResponsesServer, body: dict[str, Any], read: int) -> None:
        self._server, self._body, self._read = server, body, read
        self._number, self._output, self._open, self._said = 0, [], "", ""
        self._sealing = "reasoning.encrypted_content" in (body.get("include") or ())
        self._model = body["model"]

    def opening(self) -> bytes:
        return self._event("response.created", response=self._response()) + self._event(
            "response.in_progress", response=self._response()
        )

    def text(self, said: str) -> bytes:
        frames = b"" if self._open == "message" else self._close() + self._begin_message()
        self._said += said
        at = {"item_id": self._id("msg"), "output_index": len(self._output), "content_index": 0}
        return frames + self._event("response.output_text.delta", **at, delta=said, logprobs=[])

    def thought(self, said: str) -> bytes:
        at: dict[str, Any] = {"item_id": self._id("rs"), "output_index": len(self._output), "summary_index": 0}
        item: dict[str, Any] = {"id": self._id("rs"), "type": "reasoning", "summary": []}
        part = {"type": "summary_text", "text": said}
        frames = self._close() + self._event("response.output_item.added", output_index=len(self._output), item=item)
        frames += self._event("response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""})
        frames += self._event("response.reasoning_summary_text.delta", **at, delta=said)
        frames += self._event("response.reasoning_summary_text.done", **at, text=said)
        frames += self._event("response.reasoning_summary_part.done", **at, part=part)
        done = {**item, "summary": [part]}
        if self._sealing:
            done["encrypted_content"] = f"sealed-{len(self._server.sealed)}"
            self._server.sealed[done["encrypted_content"]] = said
        return frames + self._done(done)

    def call(self, index: int, name: str, arguments: str, *, signed: bool) -> bytes:
        frames = self._close() + (self.thought("I must look.") if signed else b"")
        call_id = f"call_{len(self._server.requests)}_{index}"
        item: dict[str, Any] = {"id": self._id("fc"), "type": "function_call", "call_id": call_id, "name": name}
        added = {**item, "arguments": "", "status": "in_progress"}
        frames += self._event("response.output_item.added", output_index=len(self._output), item=added)
        at = {"item_id": item["id"], "output_index": len(self._output)}
        half = len(arguments) // 2
        for piece in (arguments[:half], arguments[half:]):
            frames += self._event("response.function_call_arguments.delta", **at, delta=piece)
        frames += self._event("response.function_call_arguments.done", **at, name=name, arguments=arguments)
        return frames + self._done({**item, "arguments": arguments, "status": "completed"})

    def end(self, reason: str, written: int | None) -> bytes:
        frames = self._close()
        ending: dict[str, Any] = {"status": "completed"}
        if reason == "length":
            ending = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        response = {**self._response(written), **ending, **self._server.ending.get(self._model, {})}
        return frames + self._event(f"response.{response['status']}", response=response)

    def error(self, status: int, message: str) -> bytes:
        return self._event("error", code="server_error", message=message, param=None)

    def whole(self, does: Behaviour | Turn) -> dict[str, Any]:
        turn = does if isinstance(does, Turn) else Turn(" ".join(["water"] * does.tokens))
        self.text(turn.said)
        self._close()
        return {**self._response(turn.tokens), "status": "completed"}

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{len(self._output)}"

    def _begin_message(self) -> bytes:
        self._open, self._said = "message", ""
        item = {"id": self._id("msg"), "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        at = {"item_id": item["id"], "output_index": len(self._output), "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        added = self._event("response.output_item.added", output_index=len(self._output), item=item)
        return added + self._event("response.content_part.added", **at, part=part)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        part = {"type": "output_text", "text": self._said, "annotations": [], "logprobs": []}
        item = {"id": self._id("msg"), "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        at = {"item_id": item["id"], "output_index": len(self._output), "content_index": 0}
        frames = self._event("response.output_text.done", **at, text=self._said, logprobs=[])
        return frames + self._event("response.content_part.done", **at, part=part) + self._done(item)

    def _done(self, item: dict[str, Any]) -> bytes:
        frame = self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        return frame

    def _response(self, written: int | None = None) -> dict[str, Any]:
        head = {"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": self._model}
        usage = None if written is None else {
            "input_tokens": self._read, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self._read + written,
        }  # fmt: skip
        asked = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        rest = {"status": "in_progress", "error": None, "incomplete_details": None, "output": list(self._output)}
        return {**head, **asked, **rest, "usage": usage}

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def openai_messages(items: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An input as the messages of the other API, which scripts read."""
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    found: list[dict[str, Any]] = []
    for item in items:
        match item.get("type", "message"):
            case "message":
                content = item["content"]
                parts = [{"text": content}] if isinstance(content, str) else content
                found.append({"role": item["role"], "content": " ".join(part.get("text", "") for part in parts)})
            case "function_call":
                call = {"id": item["call_id"], "function": {"name": item["name"], "arguments": item["arguments"]}}
                found.append({"role": "assistant", "tool_calls": [call]})
            case "function_call_output":
                found.append({"role": "tool", "content": item["output"]})
            case _:
                pass
    return found
