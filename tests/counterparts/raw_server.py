"""A server that sends exactly the bytes that a test gives it, each piece in a write of its own, over a real socket."""

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.counterparts.http_server import CounterpartServer, Exchange, chunk

Ending = Literal["proper", "reset", "hold"]


@dataclass(frozen=True)
class RawAnswer:
    """An answer: pieces of its body, and what happens after them (the end of the HTTP answer, a reset, or nothing)."""

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: str = "text/event-stream"
    ending: Ending = "proper"
    headers: dict[str, str] = field(default_factory=dict)


class RawServer(CounterpartServer):
    """Answers each POST with the next answer, and the last one again and again; GETs with `{}`."""

    def __init__(self, *answers: RawAnswer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._answers = deque(answers)
        self._last = RawAnswer(())

    def then(self, answer: RawAnswer) -> None:
        """Append an answer."""
        self._answers.append(answer)

    async def handle(self, exchange: Exchange) -> None:
        if exchange.method != "POST":
            exchange.answer(200, {})
            return
        if self._answers:
            self._last = self._answers.popleft()
        await send_raw(exchange, self._last)


async def send_raw(exchange: Exchange, answer: RawAnswer) -> None:
    """Send an answer as it is."""
    exchange.record.status = answer.status
    lines = [f"HTTP/1.1 {answer.status} Any", f"content-type: {answer.content_type}", "transfer-encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    exchange.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    for piece in answer.pieces:
        exchange.write(chunk(piece))
        await asyncio.sleep(0)
    if answer.ending == "proper":
        exchange.end()
    elif answer.ending == "hold":
        await exchange.until_gone()
    else:
        await asyncio.sleep(0.02)  # a reset would throw away what the kernel hasn't sent yet
        exchange.cut()


def raw_json(status: int, body: Any, headers: dict[str, str] | None = None) -> RawAnswer:
    """Return an answer that is one JSON body."""
    return RawAnswer((json.dumps(body).encode(),), status, "application/json", headers=headers or {})


def raw_chunks(*payloads: Any) -> RawAnswer:
    """Return an answer that streams these payloads, with the end mark."""
    return RawAnswer((*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in payloads), b"data: [DONE]\n\n"))
