"""Anthropic's answers: the events of a stream, paced and ended as a behaviour says, and whole messages."""

import asyncio
import json
import time
from typing import Any

from tests.counterparts.anthropic.rules import sign
from tests.counterparts.behaviours import Behaviour, Turn, word
from tests.counterparts.http_server import Exchange, chunk

BURST = 64
REDACTED = "EmwKAhgBEgy3va3pzix"
"""The data of a thought that is not shown; a turn whose thought is this sends it so."""

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class Answer:
    """One answer to one request. `blocks` are its content; tokens of `Behaviour`s are paced and may end badly."""

    def __init__(self, exchange: Exchange, does: Behaviour | Turn, read: dict[str, int], *, number: int) -> None:
        self.exchange, self.body, self.does, self.read = exchange, exchange.record.body, does, read
        self.kind = does.kind if isinstance(does, Behaviour) else "text"
        self._number, self._index = number, -1
        turn = does if isinstance(does, Turn) else _turn_of(does, self.body)
        tokens = does.tokens if isinstance(does, Behaviour) else turn.tokens
        self.count = min(tokens, self.body["max_tokens"])
        self.capped = self.count < tokens
        self.turn = turn

    @property
    def usage(self) -> dict[str, Any]:
        """What the last event says of usage."""
        thought = len(self.turn.thought.split())
        written = self.count + (thought + len(self.turn.calls) * 3 if isinstance(self.does, Behaviour) else 0)
        return {**self.read, "output_tokens": written, "output_tokens_details": {"thinking_tokens": thought}}

    @property
    def stop(self) -> dict[str, Any]:
        """Why the answer ends."""
        reason = self.turn.stop or ("tool_use" if self.turn.calls else "max_tokens" if self.capped else "end_turn")
        details = {"type": "refusal", "category": "cyber", "explanation": "It is not allowed."}
        found = next((s for s in self.body.get("stop_sequences") or () if self.turn.stop == "stop_sequence"), None)
        return {"stop_reason": reason, "stop_sequence": found, "stop_details": details if reason == "refusal" else None}

    def message(self, content: list[Any], stop: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """Return the message, begun or whole."""
        head = {"id": f"msg_{self._number}", "type": "message", "role": "assistant", "model": self.body["model"]}
        return {**head, "content": content, **stop, **({} if self.kind == "no-usage" else {"usage": usage})}

    @property
    def calls(self) -> list[tuple[str, str, list[str]]]:
        """(id, name, pieces of the input's JSON) of each call."""
        named = []
        for i, (name, given) in enumerate(self.turn.calls):
            text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False) if given else ""
            half = len(text) // 2
            named.append((f"toolu_{self._number}_{i}", name, [piece for piece in (text[:half], text[half:]) if piece]))
        return named

    async def stream(self) -> None:
        """Send the events."""
        if self.kind == "slow-first" and isinstance(self.does, Behaviour):
            await asyncio.sleep(self.does.n)
        self.exchange.begin("text/event-stream; charset=utf-8")
        if self.kind == "stall-first":
            await self.exchange.until_gone()
        begun = self.message([], {"stop_reason": None, "stop_sequence": None}, {**self.read, "output_tokens": 1})
        self._send("message_start", {"message": begun})
        self.exchange.write(chunk(PING))
        self._think()
        await self._say()
        self._call()
        await self._end()

    def _think(self) -> None:
        if self.turn.thought == REDACTED:
            self._block({"type": "redacted_thinking", "data": REDACTED}, [])
        elif self.turn.thought:
            words = self.turn.thought.partition(" ")
            pieces = [
                {"type": "thinking_delta", "thinking": piece} for piece in ("".join(words[:2]), words[2]) if piece
            ]
            signed = {"type": "signature_delta", "signature": sign(self.turn.thought)}
            self._block({"type": "thinking", "thinking": "", "signature": ""}, [*pieces, signed])

    async def _say(self) -> None:
        if isinstance(self.does, Turn):
            pieces = [{"type": "text_delta", "text": part} for part in self.turn.parts]
            if pieces:
                self._block({"type": "text", "text": ""}, pieces)
            return
        if not self.count:
            return
        self._start({"type": "text", "text": ""})
        frames = [self._delta({"type": "text_delta", "text": word(k)}) for k in range(min(self.count, 11))]
        await self._tokens(frames, self.does.rate)
        if not self.kind.endswith("-after"):
            self._send("content_block_stop", {"index": self._index})

    async def _tokens(self, frames: list[bytes], rate: float) -> None:
        loop, record = asyncio.get_running_loop(), self.exchange.record
        due = loop.time()
        for start in range(0, self.count, 1 if rate else BURST):
            stop = start + 1 if rate else min(start + BURST, self.count)
            due += 1 / rate if rate else 0
            await asyncio.sleep(max(0.0, due - loop.time()) if rate and start else 0)
            self.exchange.write(b"".join(self._frame(k, frames) for k in range(start, stop)))
            record.tokens_sent = stop

    def _frame(self, k: int, frames: list[bytes]) -> bytes:
        if self.kind == "stamped":
            return self._delta({"type": "text_delta", "text": f"<{time.monotonic_ns()}>"})
        return frames[k] if k < len(frames) else frames[(k - 1) % 10 + 1]

    def _call(self) -> None:
        for call_id, name, pieces in self.calls:
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            self._block({"type": "tool_use", "id": call_id, "name": name, "input": {}}, deltas)

    async def _end(self) -> None:
        match self.kind:
            case "stall-after":
                await self.exchange.until_gone()
            case "cut-after":
                await asyncio.sleep(0.02)  # lets the kernel have the tokens: a reset would throw away what it has not
                self.exchange.cut()
            case "garbage-after":
                self.exchange.write(chunk(b"event: content_block_delta\ndata: {not json at all\n\n"))
                self.exchange.end()
            case "error-after":
                self._send("error", error_body("overloaded_error", "Overloaded"))
                self.exchange.end()
            case "short-after":
                self.exchange.end()
            case _:
                usage = {} if self.kind == "no-usage" else {"usage": self.usage}
                self._send("message_delta", {"delta": self.stop, **usage})
                self._send("message_stop", {})
                if self.kind == "late-end":
                    await asyncio.sleep(0.01)
                self.exchange.end()

    def _block(self, start: dict[str, Any], deltas: list[dict[str, Any]]) -> None:
        self._start(start)
        for delta in deltas:
            self.exchange.write(self._delta(delta))
        self._send("content_block_stop", {"index": self._index})

    def _start(self, block: dict[str, Any]) -> None:
        self._index += 1
        self._send("content_block_start", {"index": self._index, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event("content_block_delta", {"index": self._index, "delta": delta})

    def _send(self, name: str, data: dict[str, Any]) -> None:
        self.exchange.write(event(name, data))


def _turn_of(does: Behaviour, body: dict[str, Any]) -> Turn:
    """Return what a behaviour says beside its tokens."""
    if does.kind == "tool-call":
        tools = body.get("tools") or [{"name": "get_weather"}]
        return Turn(calls=((tools[0]["name"], {"city": "Hà Nội"}),))
    if does.kind == "reasoning":
        return Turn("".join(word(k) for k in range(5)), thought="".join(word(k) for k in range(5)))
    return Turn("".join(word(k) for k in range(does.tokens)))


def whole_message(answer: Answer) -> dict[str, Any]:
    """Return the answer to a request without `stream`."""
    turn, blocks = answer.turn, []
    if turn.thought == REDACTED:
        blocks.append({"type": "redacted_thinking", "data": REDACTED})
    elif turn.thought:
        blocks.append({"type": "thinking", "thinking": turn.thought, "signature": sign(turn.thought)})
    if turn.said:
        blocks.append(
            {"type": "text", "text": " ".join(turn.said.split(" ")[: answer.count]) if answer.capped else turn.said}
        )
    for call_id, name, pieces in answer.calls:
        blocks.append({"type": "tool_use", "id": call_id, "name": name, "input": json.loads("".join(pieces) or "{}")})
    answer.exchange.record.tokens_sent = answer.count
    return answer.message(blocks, answer.stop, answer.usage)


def event(name: str, data: dict[str, Any]) -> bytes:
    """One event of a stream, as a chunk of the response."""
    payload = json.dumps({"type": name, **data}, separators=(",", ":"))
    return chunk(f"event: {name}\ndata: {payload}\n\n".encode())


def error_body(kind: str, message: str) -> dict[str, Any]:
    """Anthropic's error body."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
