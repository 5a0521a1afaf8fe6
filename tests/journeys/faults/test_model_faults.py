"""A model that refuses, stalls, breaks off or talks garbage: asked again where that may help, and never a short success.

All faulty jobs run at once, before the first test; each test looks at one of them.
"""

import asyncio
from typing import Any

import psycopg
import pytest

from tests.conftest import make_tenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, ReceivedEvent, format_events
from tests.journeys.conftest import run
from tests.system import System

TRANSIENT = ("rate-limit-2", "overloaded-2")
LASTING = {
    "stall-first": "provider_timeout",
    "stall-after-5": "provider_stalled",
    "cut-after-5": "provider_cut",
    "short-after-5": "provider_cut",
    "garbage-after-5": "provider_garbage",
    "error-after-5": "provider_overloaded",
}
HOPELESS = {"refuse-401": "provider_rejected_key", "refuse-400": "provider_refused", "nobody-knows-me": "model_unknown"}

Outcome = tuple[dict[str, Any], list[ReceivedEvent]]


@pytest.fixture(scope="module")
def outcomes(shared: System, shared_url: str) -> dict[str, Outcome]:
    """What became of a job with each faulty model, asked all at once."""

    async def ask(client: Client, model: str) -> tuple[str, Outcome]:
        # Nobody waits: who waits learns of a failure within seconds, and on a slow machine without another try.
        _, accepted = await client.post(
            "/api/chat", {"message": "?", "model": f"openai/{model}"}, Prefer="respond-async"
        )
        job_id = accepted["job_id"]
        if model in LASTING:
            await shorten(shared_url, job_id)
        stream = await client.follow(job_id)
        events = await stream.rest()
        return model, (await client.job(job_id), events)

    async def ask_all() -> dict[str, Outcome]:
        async with Client(shared.url, make_tenant(shared_url).headers) as client:
            return dict(await asyncio.gather(*(ask(client, model) for model in (*TRANSIENT, *LASTING, *HOPELESS))))

    return run(ask_all())


async def shorten(database_url: str, job_id: str) -> None:
    """Give a job two tries instead of four: the pauses before the later ones would cost the run half a minute."""
    async with await psycopg.AsyncConnection.connect(database_url) as db:
        await db.execute("UPDATE jobs SET max_tries = 2 WHERE id = %s", (job_id,))


@pytest.mark.parametrize("model", TRANSIENT)
def test_a_model_that_fails_for_a_moment_is_asked_again(outcomes: dict[str, Outcome], model: str):
    job, events = outcomes[model]

    assert ("succeeded", text(10), 3) == (job["state"], job["result"]["text"], job["tries"])
    assert ["failed", "failed", "succeeded"] == [attempt["outcome"] for attempt in job["attempts"]]
    assert text(10) == format_events(events)


@pytest.mark.parametrize("model", LASTING)
def test_a_model_that_keeps_failing_fails_the_job_with_its_reason(outcomes: dict[str, Outcome], model: str):
    job, events = outcomes[model]

    assert ("failed", LASTING[model]) == (job["state"], job["error"]["code"])
    assert job["max_tries"] == job["tries"] == len(job["attempts"])
    assert ("job.failed", job["error"]) == (events[-1].type, events[-1].data["error"])
    assert list(range(1, len(events) + 1)) == [event.seq for event in events]
    assert job["result"] is None
    assert not [event for event in events if event.type == "message.completed"]


@pytest.mark.parametrize("model", HOPELESS)
def test_what_another_try_cannot_mend_fails_at_once(outcomes: dict[str, Outcome], model: str):
    job, events = outcomes[model]

    assert ("failed", HOPELESS[model], 1) == (job["state"], job["error"]["code"], job["tries"])
    assert job["error"] == events[-1].data["error"]
    assert "openai" in job["error"]["message"]
