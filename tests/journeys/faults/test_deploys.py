"""SIGTERM, as a deployment sends it: short jobs end in their worker, long ones go on in the next, no try is spent."""

from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete, event_types
from tests.system import System
from tests.waiting import PATIENCE_S

LONG = 500  # tokens at 60 a second: longer than the grace of 5 s


async def test_a_deploy_hands_long_jobs_to_the_next_worker_without_spending_a_try(system: System, client: Client):
    long, short = await client.ask(f"text-{LONG}-at-60"), await client.ask("text-30-at-60")
    for stream in (long, short):
        await stream.until("message.delta", 5)
    system.start("chat2")  # unawaited: on a slow machine the long job would end before anything stops

    assert 0 == await system.stop("chat")

    short_events, long_events = await short.rest(), await long.rest()
    assert text(30) == assert_complete(short_events)
    assert "job.restarted" not in event_types(short_events)
    assert text(LONG) == assert_complete(long_events)
    (restarted,) = [event for event in long_events if event.type == "job.restarted"]
    assert "worker_stopped" == restarted.data["reason"]
    job = await client.job(long.job_id)
    assert 1 == job["tries"]
    assert ["handed_back", "succeeded"] == [attempt["outcome"] for attempt in job["attempts"]]


async def test_a_job_that_comes_while_the_only_worker_stops_runs_in_the_next_one(system: System, client: Client):
    system.kill("chat", 15)
    job = await client.submit("text-10")
    system.processes["chat"].wait(PATIENCE_S)
    system.start("chat")

    ended = await client.ended(job["job_id"])

    assert ("succeeded", 1) == (ended["state"], ended["tries"])
