"""How counterparts of vendors with a protocol of their own answer: one driver for all behaviours, a `Wire` for each protocol.

`VendorServer` has what they share: scripts, failures that pass, records of chats. Not for: OpenAI's chat and Ollama, whose
servers are also the benchmark's (`openai/server.py`, `ollama_server.py`).
"""

import asyncio
import json
import time
from collections import Counter
from typing import Any

from tests.counterparts.behaviours import Behaviour, Scripts, Turn, word
from tests.counterparts.http_server import CounterpartServer, Exchange, Record, chunk

BURST = 64


class Wire:
    """The frames of one answer. All return the bytes of complete events."""

    content_type = "text/event-stream"
    garbage = b"data: {not json at all\n\n"

    def opening(self) -> bytes:
        return b""

    def text(self, said: str) -> bytes:
        raise NotImplementedError

    def thought(self, said: str) -> bytes:
        raise NotImplementedError

    def call(self, index: int, name: str, arguments: str, *, signed: bool) -> bytes:
        raise NotImplementedError

    def end(self, reason: str, written: int | None) -> bytes:
        """The frames that end an answer: `reason` is stop, length or tool_calls; `written` None: no usage."""
        raise NotImplementedError

    def error(self, status: int, message: str) -> bytes:
        """An error in mid-stream."""
        raise NotImplementedError


class VendorServer(CounterpartServer):
    """A counterpart whose subclass answers `handle` with `drive`."""

    def __init__(self, *, key: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key = key
        self.scripts = Scripts()
        self.script, self.answer_with = self.scripts.script, self.scripts.answer_with
        self._failed: Counter[str] = Counter()

    def is_chat(self, path: str) -> bool:
        """Whether a request asked for an answer."""
        raise NotImplementedError

    @property
    def records(self) -> list[Record]:
        """The chats that were asked for, oldest first."""
        return [record for record in self.requests if self.is_chat(record.path)]

    def still_fails(self, behaviour: Behaviour, prompt: Any) -> bool:
        """Whether `rate-limit-K` and `overloaded-K` fail this prompt once more."""
        if behaviour.kind not in ("rate-limit", "overloaded"):
            return False
        key = json.dumps(prompt)
        self._failed[key] += 1
        return self._failed[key] <= behaviour.n


async def drive(exchange: Exchange, does: Behaviour | Turn, wire: Wire, *, cap: int | None = None) -> None:
    """Stream an answer. `cap` is the most tokens that the request allows."""
    if isinstance(does, Turn):
        drive_turn(exchange, does, wire)
        return
    if does.kind == "slow-first":
        await asyncio.sleep(does.n)
    exchange.begin(wire.content_type)
    if does.kind == "stall-first":
        await exchange.until_gone()
    count = min(does.tokens, cap) if cap else does.tokens
    send(exchange, wire.opening())
    if does.kind == "reasoning":
        send(exchange, wire.thought("".join(word(k) for k in range(5))))
    if does.kind == "tool-call":
        send(exchange, wire.call(0, offered_tool(exchange.record.body), '{"city": "Hà Nội"}', signed=False))
    await _tokens(exchange, does, wire, count)
    await _ending(exchange, does, wire, count)


def drive_turn(exchange: Exchange, turn: Turn, wire: Wire) -> None:
    """Stream a turn of a script, all at once."""
    exchange.begin(wire.content_type)
    send(exchange, wire.opening())
    if turn.thought:
        send(exchange, wire.thought(turn.thought))
    for part in turn.parts:
        send(exchange, wire.text(part))
    for index, (name, given) in enumerate(turn.calls):
        arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        send(exchange, wire.call(index, name, arguments, signed=turn.signed))
    exchange.record.tokens_sent = turn.tokens
    send(exchange, wire.end("tool_calls" if turn.calls else "stop", turn.tokens))
    exchange.end()


def send(exchange: Exchange, frames: bytes) -> None:
    if frames:
        exchange.write(chunk(frames))


def offered_tool(body: dict[str, Any]) -> str:
    """The name of the first tool of a request, wherever its protocol has it."""
    found = json.dumps(body.get("tools") or [])
    at = found.find('"name": "')
    return found[at + 9 :].partition('"')[0] if at >= 0 else "get_weather"


async def _tokens(exchange: Exchange, does: Behaviour, wire: Wire, count: int) -> None:
    """At a rate one by one; flat out, those of one turn of the loop are one write."""
    loop, record = asyncio.get_running_loop(), exchange.record
    due, size = loop.time(), 1 if does.rate else BURST
    for start in range(0, count, size):
        if does.rate and (wait_s := due - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        stop = min(start + size, count)
        send(exchange, b"".join(wire.text(_word(does, k)) for k in range(start, stop)))
        record.tokens_sent = stop
        due += 1 / does.rate if does.rate else 0
        if not does.rate:
            await asyncio.sleep(0)


def _word(does: Behaviour, k: int) -> str:
    return f"<{time.monotonic_ns()}>" if does.kind == "stamped" else word(k)


async def _ending(exchange: Exchange, does: Behaviour, wire: Wire, count: int) -> None:
    match does.kind:
        case "stall-after":
            await exchange.until_gone()
        case "cut-after":
            await asyncio.sleep(0.02)  # a reset would throw away what the kernel has not sent
            exchange.cut()
        case "garbage-after":
            send(exchange, wire.garbage)
            exchange.end()
        case "error-after":
            send(exchange, wire.error(500, "The server had an error."))
            exchange.end()
        case "short-after":
            exchange.end()
        case _:
            reason = "tool_calls" if does.kind == "tool-call" else "length" if count < does.tokens else "stop"
            thought = {"reasoning": 5, "tool-call": 3}.get(does.kind, 0)
            send(exchange, wire.end(reason, None if does.kind == "no-usage" else count + thought))
            if does.kind == "late-end":
                await asyncio.sleep(0.01)
            exchange.end()


def words_of(texts: list[str]) -> int:
    """Count a prompt's tokens as counterparts do: by words."""
    return sum(len(said.split()) for said in texts)
