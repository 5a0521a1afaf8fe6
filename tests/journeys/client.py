"""A client of headrace as users write one: HTTP and Server-Sent Events, nothing imported from the code under test."""

import asyncio
import io
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from tests.waiting import PATIENCE_S

TERMINAL_STATES = ("succeeded", "failed", "cancelled")
TERMINAL_EVENTS = tuple(f"job.{state}" for state in TERMINAL_STATES)


@dataclass(frozen=True)
class ReceivedEvent:
    """One event as it came over the wire; `raw` are its bytes."""

    seq: int
    type: str
    data: dict[str, Any]
    raw: bytes


class Client:
    """One user: a tenant's key, and the address of an API process. Use as `async with`; its end closes its streams.
    `trust` is for TLS, `resolver` for hosts that this machine has no names for."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        *,
        trust: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.url, self._headers, self._trust, self._resolver = url, headers, trust, resolver

    async def __aenter__(self) -> "Client":
        self.http = aiohttp.ClientSession(
            self.url,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_read=PATIENCE_S),
            connector=aiohttp.TCPConnector(limit=0, ssl=self._trust or True, resolver=self._resolver),
            read_bufsize=1 << 23,
        )
        self._streams: list[Stream] = []
        return self

    async def __aexit__(self, *exc: object) -> None:
        for stream in self._streams:
            stream.answer.close()
        await self.http.close()

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON of the answer; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(path, json=body, headers=named) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str) -> Any:
        """Return the JSON of a GET that must succeed."""
        async with self.http.get(path) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == 200, f"GET {path}: {answer.status} {body}"
            return body

    async def upload(self, files: dict[str, bytes], **fields: str) -> dict[str, Any]:
        """Upload files; return what the 202 said: job_id, documents, refused."""
        form = aiohttp.FormData(fields)
        for name, content in files.items():
            form.add_field("file", io.BytesIO(content), filename=name)
        async with self.http.post("/api/documents", data=form) as answer:
            said = await answer.json()
            assert answer.status == 202, f"{answer.status}: {said}"
            return said

    async def submit(self, model: str, message: str = "Tell me.", **fields: Any) -> dict[str, Any]:
        """Have a message answered later; returns what the 202 said: job_id, session_id."""
        body = {"message": message, "model": f"openai/{model}", **fields}
        status, said = await self.post("/api/chat", body, Prefer="respond-async")
        assert status == 202, f"{status}: {said}"
        return said

    async def ask(self, model: str, message: str = "Tell me.", **fields: Any) -> "Stream":
        """Send a message and return the open stream of its events."""
        body = {"message": message, "model": f"openai/{model}", **fields}
        return await self._open("POST", "/api/chat", json=body, headers={"Accept": "text/event-stream"})

    async def follow(self, job_id: str, *, after: int | None = None, last_event_id: int | None = None) -> "Stream":
        """Return the open stream of a job's events, from behind the one that is named either way."""
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        params = {} if after is None else {"after": str(after)}
        return await self._open("GET", f"/api/jobs/{job_id}/events", params=params, headers=headers)

    async def _open(self, method: str, path: str, **request: Any) -> "Stream":
        answer = await self.http.request(method, path, **request)
        if answer.status != 200:
            raise AssertionError(f"{method} {path}: {answer.status} {await answer.text()}")
        self._streams.append(Stream(answer))
        return self._streams[-1]

    async def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as users see it."""
        return await self.get(f"/api/jobs/{job_id}")

    async def cancel(self, job_id: str) -> str:
        """Cancel a job and return the state that the answer names."""
        status, said = await self.post(f"/api/jobs/{job_id}/cancel")
        assert status == 200, said
        return said["state"]

    async def ended(self, job_id: str) -> dict[str, Any]:
        """Wait until a job has ended and return it."""
        async with asyncio.timeout(PATIENCE_S), await self.follow(job_id) as stream:
            await stream.rest()
        return await self.job(job_id)

    async def said(self, session_id: str) -> list[tuple[str, str]]:
        """Return the (role, text) of a session's messages."""
        items = (await self.get(f"/api/sessions/{session_id}/messages?limit=100"))["items"]
        return [(item["role"], "".join(part["text"] for part in item["parts"])) for item in items]


class Stream:
    """An open stream of events, which keeps those that it has given. Use as `async with`; leaving it closes it."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.job_id = answer.headers.get("X-Job-ID", "")
        self.events: list[ReceivedEvent] = []

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer.close()

    @property
    def last_seq(self) -> int:
        """The number of the last event that came."""
        return self.events[-1].seq if self.events else 0

    async def __aiter__(self) -> AsyncIterator[ReceivedEvent]:
        lines: list[bytes] = []
        give_up = time.monotonic() + PATIENCE_S
        async for line in self.answer.content:
            assert time.monotonic() < give_up, f"no event but comments for {PATIENCE_S:g} s: {self.events[-1:]}"
            lines.append(line)
            if line == b"\n":
                event = _parse_event(lines)
                lines = []
                if event is not None:
                    give_up = time.monotonic() + PATIENCE_S
                    self.events.append(event)
                    yield event

    async def until(self, kind: str, count: int = 1) -> ReceivedEvent:
        """Read on to the `count`-th event of this kind from here; of deltas, to that many words: in how many events those come
        is a matter of how busy the machine is."""
        async for event in self:
            if event.type == kind:
                count -= max(len(event.data.get("text", "").split()), 1) if kind == "message.delta" else 1
            if count <= 0:
                return event
        raise AssertionError(f"the stream ended before {kind}: {[e.type for e in self.events[-5:]]}")

    async def rest(self) -> list[ReceivedEvent]:
        """Read to the end and return all events since the stream was opened."""
        async for _ in self:
            pass
        return self.events


def _parse_event(lines: list[bytes]) -> ReceivedEvent | None:
    fields = dict(line.rstrip(b"\n").split(b": ", 1) for line in lines if b": " in line and not line.startswith(b":"))
    if b"id" not in fields:
        return None
    return ReceivedEvent(int(fields[b"id"]), fields[b"event"].decode(), json.loads(fields[b"data"]), b"".join(lines))


def format_events(events: Iterable[ReceivedEvent]) -> str:
    """What a client shows in the end: all deltas but those that a restart made void."""
    kept: list[tuple[int, str]] = []
    for event in events:
        if event.type == "job.restarted":
            kept = [(seq, text) for seq, text in kept if seq <= event.data["discard_after"]]
        elif event.type == "message.delta":
            kept.append((event.seq, event.data["text"]))
    return "".join(text for _, text in kept)


def event_types(events: Iterable[ReceivedEvent]) -> list[str]:
    """The types of events, with runs of deltas as one."""
    named: list[str] = []
    for event in events:
        if event.type != "message.delta" or named[-1:] != ["message.delta"]:
            named.append(event.type)
    return named


def assert_complete(events: list[ReceivedEvent]) -> str:
    """Assert that these are all events of a job that succeeded, dense and with one answer; return its text."""
    assert list(range(1, len(events) + 1)) == [event.seq for event in events]
    assert "job.succeeded" == events[-1].type, events[-1].data
    assert 1 == sum(event.type in TERMINAL_EVENTS for event in events)
    (completed,) = [event.data["text"] for event in events if event.type == "message.completed"]
    assert completed == format_events(events)
    return completed
