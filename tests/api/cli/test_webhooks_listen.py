"""`webhooks listen`, run as a person runs it: verifies what it is sent, and prints it."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from schema.ids import new_id
from tests.system import free_port
from tests.waiting import PATIENCE_S
from workers.webhooks.payload import message_name
from workers.webhooks.signing import new_secret, signed_headers

ROOT = Path(__file__).parents[3]


async def listening(port: int, *options: str, **env: str) -> asyncio.subprocess.Process:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "webhooks", "listen", "--port", str(port), *options),
        cwd=ROOT,
        env=own | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


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
    body = b'{"type":"job.failed","data":{"job_id":"7","state":"failed"}}'
    process = await listening(port, "--count", "1", HEADRACE_WEBHOOK_SECRET=secret)
    await post(port, signed_headers([secret], "msg_1", int(time.time()), body), body)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert 0 == process.returncode
    assert "✓ job.failed  msg_1" in out.decode()
    assert "job_id 7  state failed" in out.decode()


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
