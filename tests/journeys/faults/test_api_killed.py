"""kill -9 of the API while it streams: the client goes on through any other API process, without a gap or a double."""

import aiohttp
import pytest

from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, Stream, assert_complete
from tests.system import System


async def test_a_client_resumes_through_another_api_process(system: System, client: Client, tenant: TestTenant):
    system.start("api2")
    await system.ready("api2")
    stream = await client.ask("text-150-at-60")
    await stream.until("message.delta", 30)
    system.kill("api")
    before = await until_lost(stream)

    async with (
        Client(system.url_of("api2"), tenant.headers) as other,
        await other.follow(stream.job_id, last_event_id=stream.last_seq) as rest,
    ):
        events = before + await rest.rest()

    assert text(150) == assert_complete(events)


async def test_a_job_that_was_submitted_through_a_killed_api_process_is_done(
    system: System, client: Client, tenant: TestTenant
):
    system.start("api2")
    await system.ready("api2")
    jobs = [await client.submit("text-30-at-60") for _ in range(5)]
    system.kill("api")

    async with Client(system.url_of("api2"), tenant.headers) as other:
        ended = [await other.ended(job["job_id"]) for job in jobs]

    assert [("succeeded", 1)] * 5 == [(job["state"], len(job["attempts"])) for job in ended]


async def until_lost(stream: Stream) -> list:
    """Read what still comes of a stream whose server is gone."""
    with pytest.raises(aiohttp.ClientError):
        await stream.rest()
    return stream.events
