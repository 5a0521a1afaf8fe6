"""An API process that reaches neither store any more sends its clients on: those of streams resume elsewhere, and to a proxy it
is as good as gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.chaos.proxy import Proxy
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.system import System
from tests.waiting import wait_for

WORDS = 60


@pytest.fixture
async def links(system: System) -> AsyncIterator[list[Proxy]]:
    """How `api2` reaches Postgres and Redis; this machine is a proxy in its eyes."""
    before = dict(system.env)
    async with AsyncExitStack() as opened:
        links = list[Proxy]()
        for setting in ("HEADRACE_DATABASE_URL", "HEADRACE_REDIS_URL"):
            url = urlsplit(system.env[setting])
            links.append(await opened.enter_async_context(Proxy(url.port or 0)))
            where = f"{url.username or ''}:{url.password}@127.0.0.1:{links[-1].port}"
            system.env[setting] = url._replace(netloc=where).geturl()
        system.env["HEADRACE_TRUSTED_PROXIES"] = "127.0.0.1"
        system.start("api2")
        system.env.clear()
        system.env.update(before)
        await system.ready("api2")
        yield links


async def test_streams_of_a_process_that_is_cut_off_from_its_stores_go_on_at_another(
    system: System, client: Client, tenant: TestTenant, links: list[Proxy]
) -> None:
    async with Client(system.url_of("api2"), tenant.headers) as there:
        stream = await there.ask(f"text-{WORDS}-at-2")
        other = await there.ask(f"text-{WORDS}-at-2")
        await asyncio.gather(*(each.until("message.delta") for each in (stream, other)))
        raw = await there.http.get(f"/api/jobs/{stream.job_id}/events")
        for link in links:
            link.swallow()

        seen = await stream.rest()
        assert 'event: stream.closed\ndata: {"reason":"unavailable"' in await raw.text()
        with pytest.raises(aiohttp.ClientError):  # a proxy asks another then
            await there.get(f"/api/jobs/{stream.job_id}")
        async with there.http.get("/health/live") as answer:
            assert 200 == answer.status
        async with await client.follow(stream.job_id, last_event_id=seen[-1].seq) as rest:
            assert text(WORDS) == assert_complete([*seen, *await rest.rest()])

        for link in links:
            link.let_through()

        async def is_back() -> bool:
            try:
                return bool(await there.get(f"/api/jobs/{other.job_id}"))
            except (aiohttp.ClientError, AssertionError):
                return False

        await wait_for(is_back, "it answers proxies again")
    assert "stores_reached_again" in system.log("api2")
