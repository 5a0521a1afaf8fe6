"""A client that reads nothing costs little memory, delays nobody, and is cut off."""

import asyncio
import socket

import psutil
import pytest

from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.system import System
from tests.waiting import wait_for

TOKENS = 500_000  # 6 MB of events; the kernel alone holds 4 MB of a socket that nobody reads
DEAF = 8


def open_unread_streams(system: System, api: str, tenant: TestTenant, job_id: str) -> socket.socket:
    """Follow a job over a socket with a small buffer that nobody reads."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", system.ports[api]))
    head = f"GET /api/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tenant.key}\r\n\r\n"
    deaf.sendall(head.encode())
    return deaf


async def test_clients_that_read_nothing_delay_nobody_fill_no_memory_and_are_cut_off(
    system: System, client: Client, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(system.env, "HEADRACE_SLOW_CLIENT_S", "2")
    system.start("api2")
    await system.ready("api2")
    process = psutil.Process(system.processes["api2"].pid)
    before = process.memory_info().rss
    big = await client.ask(f"text-{TOKENS}")
    sockets = [open_unread_streams(system, "api2", tenant, big.job_id) for _ in range(DEAF)]
    try:
        async with Client(system.url_of("api2"), tenant.headers) as other:
            streams = [await other.ask("text-60-at-60") for _ in range(4)]
            told = await asyncio.gather(*(stream.rest() for stream in streams))
        whole = await big.rest()
        await wait_for(lambda: system.log("api2").count("slow_client_cut") == DEAF, "all deaf clients were cut off")
        grown = process.memory_info().rss - before
    finally:
        for deaf in sockets:
            deaf.close()

    print(f"the API process grew by {grown >> 20} MiB for {DEAF} deaf clients")
    assert [text(60)] * 4 == [assert_complete(events) for events in told]
    assert text(TOKENS) == assert_complete(whole)
    assert grown < 100 << 20


async def test_a_client_that_was_too_slow_resumes_where_it_was(system: System, client: Client):
    stream = await client.ask("text-20000")
    first = await stream.until("message.delta")
    await client.ended(stream.job_id)  # meanwhile the first stream is not read
    stream.answer.close()

    async with await client.follow(stream.job_id, last_event_id=first.seq) as rest:
        await rest.rest()

    assert text(20000) == assert_complete(stream.events + rest.events)
