"""An API process that is stopped, as a deployment does it: whoever waits at it is told where the answer will be, no job is
lost or cancelled by it, and streams that can't be gone on with elsewhere are finished first."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client
from tests.system import System
from tests.waiting import PATIENCE_S, wait_for

LONG = "openai/text-9000-at-100"  # a minute and a half: longer than any grace here
CHAT = "/v1/chat/completions"
SAID = [{"role": "user", "content": "Tell me."}]
VENDORS: dict[str, dict[str, Any]] = {
    CHAT: {"model": LONG, "messages": SAID},
    "/v1/responses": {"model": LONG, "input": "Tell me."},
    "/v1/messages": {"model": LONG, "max_tokens": 9000, "messages": SAID},
}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
NOISE = (
    "Traceback",
    "Exception in ASGI",
    "without completing",
    "Internal Server Error",
    "timeout graceful shutdown exceeded",
)


@asynccontextmanager
async def second_api(system: System, tenant: TestTenant, grace_s: int) -> AsyncIterator[Client]:
    """A client of another API process with this grace."""
    before = system.env["HEADRACE_GRACE_S"]
    system.env["HEADRACE_GRACE_S"] = str(grace_s)
    try:
        system.start("api2")
    finally:
        system.env["HEADRACE_GRACE_S"] = before
    await system.ready("api2")
    async with Client(system.url_of("api2"), tenant.headers) as client:
        yield client


async def wait_for_running(client: Client, number: int) -> set[str]:
    """Wait until so many jobs run, and return their ids."""

    async def running() -> set[str] | None:
        items = (await client.get("/api/jobs?state=running&limit=100"))["items"]
        return {job["id"] for job in items} if len(items) == number else None

    return await wait_for(running, f"{number} jobs run")


async def ask(client: Client, path: str, body: Any, headers: dict[str, str] | None = None, **named: Any) -> Any:
    """Send a request; return the status, headers and JSON of its answer."""
    async with client.http.post(path, json=body, headers=headers, **named) as answer:
        return answer.status, answer.headers, await answer.json(content_type=None)


async def open_stream(client: Client, path: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
    """Return a stream that has begun."""
    answer = await client.http.post(path, json={**body, "stream": True})
    assert 200 == answer.status
    await answer.content.readuntil(b"water")
    return answer


async def half_a_body(begun: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the beginning of a body; the rest never comes."""
    yield b"--b\r\n"
    begun.set()
    await asyncio.Event().wait()


async def cancel_all(client: Client, jobs: Iterable[str]) -> set[str]:
    """Cancel jobs, and return the states in which they were."""
    states = {(await client.job(job))["state"] for job in jobs}
    for job in jobs:
        await client.cancel(job)
    return states


def code_of(body: dict[str, Any]) -> str:
    """Return the code of an error in OpenAI's or Anthropic's shape."""
    return body["error"].get("code") or body["error"]["details"]["error_code"]


def noise(system: System) -> list[str]:
    """What a process must not log when it is stopped."""
    log = system.log("api2", since_start=True)
    return [word for word in NOISE if word in log]


async def test_who_waits_is_told_at_once_where_the_answer_will_be(
    system: System, client: Client, tenant: TestTenant
) -> None:
    async with second_api(system, tenant, grace_s=600) as second:
        native = asyncio.create_task(ask(second, "/api/chat", {"model": LONG, "message": "Tell me."}))
        keys = {path: {"Idempotency-Key": f"stopped{path}"} for path in VENDORS}
        vendors = {path: asyncio.create_task(ask(second, path, body, keys[path])) for path, body in VENDORS.items()}
        keyless = asyncio.create_task(ask(second, CHAT, VENDORS[CHAT]))
        jobs = await wait_for_running(client, 5)

        await system.stop("api2")

        status, headers, body = await native
        assert (202, f"/api/jobs/{body['job_id']}", "running") == (status, headers["Location"], body["state"])
        for asked in vendors.values():
            status, headers, body = await asked
            assert (503, "2", "server_stopping") == (status, headers["Retry-After"], code_of(body))
            assert "same Idempotency-Key" in body["error"]["message"]
            assert "X-Should-Retry" not in headers
            assert headers["X-Job-ID"] in jobs
        status, headers, body = await keyless
        assert (503, "false") == (status, headers["X-Should-Retry"])
        assert f"GET /api/jobs/{headers['X-Job-ID']} " in body["error"]["message"]
    assert {"running"} == await cancel_all(client, jobs)
    assert [] == noise(system)


async def test_a_request_that_comes_again_with_its_key_waits_for_the_same_job(
    system: System, client: Client, tenant: TestTenant
) -> None:
    key, body = {"Idempotency-Key": "once"}, {**VENDORS[CHAT], "model": "openai/text-300-at-100"}
    async with second_api(system, tenant, grace_s=600) as second:
        asked = asyncio.create_task(ask(second, CHAT, body, key))
        (job_id,) = await wait_for_running(client, 1)
        await system.stop("api2")
        assert 503 == (await asked)[0]

    status, headers, answer = await ask(client, CHAT, body, key)

    assert (200, job_id) == (status, headers["X-Job-ID"])
    assert text(300) == answer["choices"][0]["message"]["content"]


async def test_a_stream_that_cannot_be_gone_on_with_elsewhere_is_finished_in_the_grace(
    system: System, client: Client, tenant: TestTenant
) -> None:
    async with second_api(system, tenant, grace_s=600) as second:
        body = {**VENDORS[CHAT], "model": "openai/text-300-at-100"}
        stream = await open_stream(second, CHAT, body)

        await system.stop("api2")

        assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    assert [] == noise(system)


async def test_a_stream_that_is_cut_by_the_end_of_the_grace_says_so_and_its_job_goes_on(
    system: System, client: Client, tenant: TestTenant
) -> None:
    async with second_api(system, tenant, grace_s=1) as second:
        streams = {path: await open_stream(second, path, body) for path, body in VENDORS.items()}
        begun = asyncio.Event()
        upload = asyncio.create_task(ask(second, "/api/documents", None, FORM, data=half_a_body(begun)))
        await begun.wait()

        await system.stop("api2")

        for path, stream in streams.items():
            *_, last = (await stream.read()).decode().removesuffix("data: [DONE]\n\n").strip().split("\n\n")
            said = json.loads(last.partition("data: ")[2])
            assert "server_stopping" == (said["code"] if path == "/v1/responses" else code_of(said)), path
        status, headers, refused = await upload
        assert (503, "server_stopping", headers["X-Request-ID"]) == (status, refused["code"], refused["request_id"])
    jobs = [stream.headers["X-Job-ID"] for stream in streams.values()]
    assert {"running"} == await cancel_all(client, jobs)
    assert [] == noise(system)


async def test_a_client_that_leaves_in_the_grace_cancels_its_job(
    system: System, client: Client, tenant: TestTenant
) -> None:
    async with second_api(system, tenant, grace_s=600) as second:
        answer = await open_stream(second, CHAT, VENDORS[CHAT])
        system.kill("api2", signal.SIGTERM)
        await wait_for(lambda: "server_stopping" in system.log("api2", since_start=True), "it stops")

        answer.close()

        assert "cancelled" == (await client.ended(answer.headers["X-Job-ID"]))["state"]
        await asyncio.to_thread(system.processes["api2"].wait, PATIENCE_S)
