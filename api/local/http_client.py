"""headrace's own HTTP client for the terminal: chats over Server-Sent Events that resume when the connection breaks.

Not a library for applications: they use an OpenAI SDK, or any SSE client.
"""

import asyncio
import json
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from api.local.errors import LocalError

FINAL_EVENTS = {"job.succeeded", "job.failed", "job.cancelled"}
MAX_FAILURES = 20
RECONNECT_DELAY_S = 0.5
READ_TIMEOUT_S = 60.0
"""The server sends a comment every 15 s, so a connection that is silent for this long is dead."""


CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""What may stand in the name of a file, but not in a header."""


def _trusted(ca_file: str | None) -> ssl.SSLContext | bool:
    """Return whom a client trusts: the operator's own authority too, if there is one."""
    if ca_file is None:
        return True
    from tools.egress.trust import client_context  # which loads what most commands don't need

    return client_context(ca_file)


@dataclass(frozen=True)
class StreamEvent:
    """One event as it came over the wire: its number in the job's stream, its type, and its JSON fields."""

    seq: str
    type: str
    data: dict[str, Any]


class Client:
    """Calls one headrace server with one API key. Use it as `async with Client(url, key) as client`. `ca_file`: authorities
    that are trusted besides the usual ones."""

    def __init__(self, url: str, key: str, *, ca_file: str | None = None) -> None:
        self._url, self._key, self._ca_file = url.rstrip("/"), key, ca_file
        self._http: aiohttp.ClientSession
        self.reconnections = 0
        """How often a broken stream was resumed."""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=aiohttp.ClientTimeout(total=None, connect=5, sock_read=READ_TIMEOUT_S),
            connector=aiohttp.TCPConnector(ssl=_trusted(self._ca_file)),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def wait_for_worker(self, *, within_s: float = 90.0) -> None:
        """Wait until a worker is ready to answer a chat; a stack accepts jobs before its workers are up.

        Raises LocalError when none is ready in time.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            with self._reaching():
                async with self._http.get(f"{self._url}/health") as answer:
                    health = self._read(answer, await answer.text())
            if health["parts"]["workers"]["status"] == "up":
                return
            if asyncio.get_running_loop().time() > deadline:
                raise LocalError(f"No chat worker was ready within {within_s:.0f} s; its log says why.")
            await asyncio.sleep(0.05)

    async def language_model_hint(self) -> str:
        """Why answers are poorer than they could be, and how to change that; empty when a language model is connected."""
        health = await self.get("/health")
        return health["parts"]["language_model"].get("hint") or ""

    async def console_link(self) -> str:
        """The address of the console, which signs a browser in once, with this client's key."""
        code = await self.post("/api/auth/codes", None)
        return code["url"]

    async def chat(
        self,
        message: str,
        session_id: str | None = None,
        agent: str | None = None,
        collections: Sequence[str] = (),
        attachments: Sequence[dict[str, str]] = (),
    ) -> AsyncIterator[StreamEvent]:
        """Send a message, to an agent if one is named, and yield the job's events up to its last. A broken connection is taken
        up where it broke.

        Raises LocalError when the server can't be reached or refuses.
        """
        body = {"message": message} | ({"session_id": session_id} if session_id else {})
        body |= {"agent": agent} if agent else {}
        body |= {"collections": list(collections)} if collections else {}
        body |= {"attachments": list(attachments)} if attachments else {}
        job_id, after = "", "0"
        accept = {"Accept": "text/event-stream"}
        try:
            async with self._http.post(f"{self._url}/api/chat", json=body, headers=accept) as answer:
                await self._require_success(answer)
                if "X-Job-ID" not in answer.headers:
                    raise self._is_another(answer.status)
                job_id = answer.headers["X-Job-ID"]
                async for event in read_events(answer.content):
                    after = event.seq
                    yield event
                    if event.type in FINAL_EVENTS:
                        return
        except (aiohttp.ClientError, TimeoutError) as error:
            if not job_id:
                raise self._unreachable(error) from error
        async for event in self.follow(job_id, after):
            yield event

    async def follow(self, job_id: str, after: str = "0") -> AsyncIterator[StreamEvent]:
        """Yield a job's events after the one numbered `after`, reconnecting while the server is away."""
        failures = 0
        while failures < MAX_FAILURES:
            self.reconnections += 1
            headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
            try:
                async with self._http.get(f"{self._url}/api/jobs/{job_id}/events", headers=headers) as answer:
                    if answer.status < 500:
                        await self._require_success(answer)
                        async for event in read_events(answer.content):
                            after, failures = event.seq, 0
                            yield event
                            if event.type in FINAL_EVENTS:
                                return
            except (aiohttp.ClientError, TimeoutError):
                pass  # counted below, like a stream that ended early
            failures += 1
            await asyncio.sleep(RECONNECT_DELAY_S)
        raise LocalError(f"{self._url} stopped answering. Job {job_id} is safe; follow it when the API is back.")

    async def upload(self, files: Sequence[tuple[str, Path]], fields: Mapping[str, str]) -> dict[str, Any]:
        """Upload files under these names; the answer says which job reads them and which were refused. Raises LocalError, also
        when all of them were refused."""
        with ExitStack() as opened:
            # Names are sent as they are; aiohttp would percent-encode them, and the server keep that. It escapes only quotes.
            form = aiohttp.FormData(dict(fields), quote_fields=False)
            for name, path in files:
                form.add_field("files", opened.enter_context(path.open("rb")), filename=CONTROL.sub("_", name))
            with self._reaching():
                async with self._http.post(f"{self._url}/api/documents", data=form) as answer:
                    if answer.status in (413, 422) and "errors" in (problem := self._read(answer, await answer.text())):
                        return {"documents": [], "refused": _refused_files(files, problem)}
                    await self._require_success(answer)
                    return self._read(answer, await answer.text())

    async def get(self, path: str) -> Any:
        """The JSON answer to a GET. Raises LocalError, as all of these do, when headrace can't be reached there or refuses."""
        return await self._call("GET", path)

    async def post(self, path: str, body: Any) -> Any:
        """The JSON answer to a POST."""
        return await self._call("POST", path, body)

    async def put(self, path: str, body: Any) -> Any:
        """The JSON answer to a PUT."""
        return await self._call("PUT", path, body)

    async def delete(self, path: str) -> None:
        """DELETE something."""
        with self._reaching():
            async with self._http.delete(f"{self._url}{path}") as answer:
                await self._require_success(answer)

    async def complete(self, message: str) -> dict[str, Any]:
        """One POST /v1/chat/completions, as an OpenAI SDK sends it."""
        body = {"model": "auto", "messages": [{"role": "user", "content": message}]}
        return await self._call("POST", "/v1/chat/completions", body)

    async def stream_completion(self, message: str) -> AsyncIterator[str]:
        """The pieces of text of one streaming POST /v1/chat/completions."""
        body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": message}]}
        with self._reaching():
            async with self._http.post(f"{self._url}/v1/chat/completions", json=body) as answer:
                await self._require_success(answer)
                async for line in answer.content:
                    payload = line.decode().strip().removeprefix("data: ")
                    if payload.startswith("{"):
                        for choice in json.loads(payload).get("choices", []):
                            yield choice.get("delta", {}).get("content") or ""

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        with self._reaching():
            async with self._http.request(method, f"{self._url}{path}", json=body) as answer:
                await self._require_success(answer)
                return self._read(answer, await answer.text())

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn what goes wrong on the way to the server and back into a LocalError."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> LocalError:
        if isinstance(error, aiohttp.InvalidURL):
            return LocalError(
                f"{self._url[:200]!r} is no URL of a server. Correct HEADRACE_URL; it must be like http://127.0.0.1:8000."
            )
        advice = "Start headrace there, or correct HEADRACE_URL."
        return LocalError(f"{self._url} can't be reached ({_why(error)}). {advice}")

    def _read(self, answer: aiohttp.ClientResponse, text: str) -> "Answer":
        """The fields of an answer. Raises LocalError where it is not one of headrace's."""
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._is_another(answer.status)
        return Answer(found, self._is_another(answer.status))

    def _is_another(self, status: int) -> LocalError:
        return LocalError(f"{self._url} answers {status}, but not as headrace does. Correct HEADRACE_URL.")

    async def _require_success(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status < 400:
            return
        problem = self._read(answer, await answer.text())
        of_openai = problem.get("error")
        reason = problem.get("detail") or (of_openai.get("message") if isinstance(of_openai, dict) else None)
        if not reason:
            raise self._is_another(answer.status)
        raise LocalError(f"The server answered {answer.status}: {reason}")


class Answer(dict[str, Any]):
    """The fields of an answer; asking for one that headrace always sends says that another server has answered."""

    def __init__(self, fields: Mapping[str, Any], error: LocalError) -> None:
        super().__init__(fields)
        self._error = error

    def __missing__(self, name: str) -> Any:
        raise self._error


async def read_events(stream: aiohttp.StreamReader) -> AsyncIterator[StreamEvent]:
    """Parse Server-Sent Events; comments (heartbeats) are passed over. Ends when the stream does."""
    fields: dict[str, str] = {}
    async for raw in stream:
        line = raw.decode().rstrip("\r\n")
        if line and not line.startswith(":"):
            name, _, value = line.partition(":")
            # Several data lines are one value with line breaks between them, says the standard.
            text = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{text}" if name == "data" and "data" in fields else text
        elif not line and "data" in fields:
            yield StreamEvent(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}


def _refused_files(files: Sequence[tuple[str, Path]], problem: dict[str, Any]) -> list[dict[str, str]]:
    """All files of an upload with the reason of each; the server names them in order."""
    errors = problem["errors"]
    return [
        {"name": name, "message": errors[place]["message"] if place < len(errors) else problem["detail"]}
        for place, (name, _) in enumerate(files)
    ]


def _why(error: Exception) -> str:
    """Why a server could not be reached, for people: aiohttp's own words name its objects."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted here, or not for this name; HEADRACE_CA_FILE names more authorities to trust"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no encrypted connection can be made"
    if isinstance(cause, socket.gaierror):
        return "no such host is known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return "the connection was closed"
