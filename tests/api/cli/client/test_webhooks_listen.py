"""`webhooks listen`, run as a person runs it: verifies what it is sent, and prints it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schema.ids import new_id
from tests.system import free_port
from tests.waiting import PATIENCE_S
from workers.webhooks.payload import message_name
from workers.webhooks.signing import new_secret, signed_headers

ROOT = Path(__file__).parents[4]


async def listening(port: int, *options: str, **env: str) -> asyncio.subprocess.Process:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "webhooks", "listen", "--port", str(port), *options),
        cwd=ROOT,
        env=own | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_heed_signals,
    )


def _heed_signals() -> None:
    """Undo what the tests may run under: `nohup` has SIGHUP ignored, a shell that starts them in the background SIGINT."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


async def post(port: int, headers: dict[str, str], body: bytes) -> int:
    """Send a message as soon as somebody listens."""
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.post(f"http://127.0.0.1:{port}/", data=body, headers=headers) as answer:
                    return answer.status
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


async def test_messages_are_verified_and_printed_as_json() -> None:
    secret, port, body = new_secret(), free_port(), b'{"type":"job.succeeded","data":{"job_id":"1"}}'
    headers = signed_headers([secret], message_name(new_id()), int(time.time()), body)
    process = await listening(port, "--json", "--count", "3", HEADRACE_WEBHOOK_SECRET=secret)
    statuses = [
        await post(port, headers, body),
        await post(port, headers, body),
        await post(port, headers, body + b" "),
    ]
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.decode().splitlines()]
    assert ([200, 200, 400], b"", 1) == (statuses, err, process.returncode)
    assert [(True, False), (True, True), (False, False)] == [(line["verified"], line["repeated"]) for line in lines]
    assert ("job.succeeded", {"job_id": "1"}) == (lines[0]["type"], lines[0]["data"])
    assert "no signature matches" in lines[2]["refused"]


async def test_people_read_a_line_and_what_it_is_about() -> None:
    secret, port = new_secret(), free_port()
    body = b'{"type":"job.failed","data":{"job_id":"7","state":"failed","metadata":{"order":"A 7"}}}'
    process = await listening(port, "--count", "1", HEADRACE_WEBHOOK_SECRET=secret)
    await post(port, signed_headers([secret], "msg_1", int(time.time()), body), body)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert 0 == process.returncode
    assert "✓ job.failed  msg_1" in out.decode()
    assert "job_id 7  state failed" in out.decode()
    assert "metadata.order A 7" in out.decode()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"HEADRACE_WEBHOOK_SECRET": "short"}, "HEADRACE_WEBHOOK_SECRET must be whsec_"),
        ({"HEADRACE_HOME": "/nonexistent"}, "headrace is not running here"),
    ],
)
async def test_what_is_missing_is_named(env: dict[str, str], said: str) -> None:
    process = await listening(free_port(), **env)
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert 1 == process.returncode
    assert said in err.decode()


@dataclass
class StubWebhooks:
    """The endpoints of a server, and what was asked of it."""

    endpoints: dict[str, dict[str, Any]]
    made: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        match request.method:
            case "GET":
                return web.json_response({"items": list(self.endpoints.values()), "next_cursor": None})
            case "DELETE":
                del self.endpoints[request.path.rpartition("/")[2]]
                return web.Response(status=204)
        self.endpoints["new"] = {"id": "new", **await request.json()}
        self.made.set()
        return web.json_response({"id": "new", "secret": new_secret()}, status=201)


@asynccontextmanager
async def served(stub: StubWebhooks) -> AsyncIterator[dict[str, str]]:
    app = web.Application()
    app.router.add_route("*", "/api/webhooks{rest:.*}", stub.answer)
    server = TestServer(app)
    await server.start_server()
    yield {"HEADRACE_URL": str(server.make_url("")).rstrip("/"), "HEADRACE_API_KEY": "hr_x"}
    await server.close()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)], ids=str
)
async def test_a_listener_that_is_ended_deletes_its_endpoint(number: signal.Signals, status: int) -> None:
    stub = StubWebhooks({})
    async with served(stub) as env:
        process = await listening(free_port(), **env)
        assert process.stdout
        await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        assert ["new"] == list(stub.endpoints)
        process.send_signal(number)
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert ({}, status, b"") == (stub.endpoints, process.returncode, err)


async def test_what_a_killed_listener_left_is_deleted_and_nothing_else() -> None:
    port = free_port()
    here = {"url": f"http://127.0.0.1:{port}/", "description": "listen"}
    stub = StubWebhooks(
        {
            "left": here | {"id": "left"},
            "elsewhere": here | {"id": "elsewhere", "url": "http://127.0.0.1:1/"},
            "someones": here | {"id": "someones", "description": "mine"},
        }
    )
    async with served(stub) as env:
        process = await listening(port, **env)
        await asyncio.wait_for(stub.made.wait(), PATIENCE_S)
        process.terminate()
        await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert ["elsewhere", "someones"] == list(stub.endpoints)


async def test_a_message_of_another_endpoint_says_so() -> None:
    port, body = free_port(), b'{"type":"job.succeeded","data":{}}'
    process = await listening(port, "--count", "1", HEADRACE_WEBHOOK_SECRET=new_secret())
    await post(port, signed_headers([new_secret()], "msg_1", int(time.time()), body), body)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (
        "✗ refused: no signature matches the secret and the body; another endpoint may point here: "
        "GET /api/webhooks lists them" in out.decode()
    )
