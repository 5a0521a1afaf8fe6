"""A claim that Postgres forgot in a crash: whoever comes next, nothing is done twice and no words are mixed.

A crash is simulated by undoing what the claim wrote: its transaction is the only one that is not flushed before it is answered.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
import redis

from schema import events, redis_names
from schema.events import Frame
from schema.postgres.batch import run_batch
from schema.queries.jobs.attempts import RENEW, Ending, renew_values
from schema.queries.jobs.jobs import compress_frames
from tests.conftest import TestTenant
from tests.secret import VAULT
from tests.waiting import PATIENCE_S, wait_for
from tests.workers.jobs import (
    Script,
    change,
    claim,
    dispatch_again,
    job_row,
    read_all,
    rows,
    saying,
    stored_frames,
    submit_one,
    worker_context,
)
from workers.queue.attempts import attempt_job
from workers.queue.cancel import cancel, retry
from workers.queue.context import QueueContext
from workers.queue.finish.retry import finish_with_retries, was_ours
from workers.queue.job_core import JobCore
from workers.queue.submit import Submitted
from workers.scheduler import Scheduler
from workers.settings import WorkerSettings

OLD = "old words"


@pytest.fixture
async def worker(database_url: str, redis_url: str) -> AsyncIterator[QueueContext]:
    async with worker_context(database_url, redis_url) as opened:
        yield opened.queue


@pytest.fixture
async def other(database_url: str, redis_url: str) -> AsyncIterator[QueueContext]:
    async with worker_context(database_url, redis_url) as opened:
        yield dataclasses.replace(opened.queue, owner="chat@other/1/1")


@pytest.fixture
async def scheduler(database_url: str, redis_url: str) -> AsyncIterator[Scheduler]:
    async with Scheduler(WorkerSettings(database_url, redis_url, vault=VAULT)) as opened:
        yield opened


class Zombie:
    """An attempt at a new job whose claim was forgotten while it was speaking."""

    def __init__(self, worker: QueueContext, tenant: TestTenant, job: Submitted) -> None:
        self.awake = asyncio.Event()
        self.script = Script(events.MessageDelta(text="old "), self.awake, *saying(OLD))
        self.task = asyncio.create_task(attempt_job(worker, self.script, tenant.id, job.job_id, 1))

    async def speak(self) -> None:
        await asyncio.wait_for(self.script.at_work.wait(), PATIENCE_S)

    async def end(self) -> None:
        self.awake.set()
        await asyncio.wait_for(self.task, PATIENCE_S)


def forget_claim(database_url: str, job_id: UUID) -> None:
    undo = """UPDATE jobs SET state = 'dispatched', attempt = 0, tries = 0, lease_owner = NULL, lease_until = NULL,
      started_at = NULL WHERE id = %s AND state = 'running'"""
    change(database_url, undo, job_id)
    change(database_url, "DELETE FROM attempts WHERE job_id = %s", job_id)


async def zombie_of(
    core: JobCore, database_url: str, redis_url: str, worker: QueueContext, tenant: TestTenant
) -> tuple[Submitted, Zombie]:
    job = await submit_one(core, tenant)
    zombie = Zombie(worker, tenant, job)
    await zombie.speak()
    await wait_for_words(redis_url, tenant, job)
    forget_claim(database_url, job.job_id)
    return job, zombie


async def wait_for_words(redis_url: str, tenant: TestTenant, job: Submitted) -> None:
    with redis.Redis.from_url(redis_url) as db:
        await wait_for(lambda: db.exists(redis_names.job_events(tenant.id, job.job_id)), "the first words were written")


def words(frames: list[Frame]) -> str:
    """What a client shows in the end: after a restart, without what it was told to drop."""
    said: list[tuple[int, str]] = []
    for frame in frames:
        match events.decode_event(frame):
            case events.MessageDelta(text=text):
                said.append((frame.seq, text))
            case events.JobRestarted(discard_after=kept):
                said = [piece for piece in said if piece[0] <= kept]
            case _:
                pass
    return "".join(text for _, text in said)


async def assert_said(core: JobCore, database_url: str, tenant: TestTenant, job_id: UUID, text: str) -> list[Frame]:
    """One result, one attempt that succeeded, and the same words for those who read live and for those who come late."""
    row = job_row(database_url, job_id)
    assert ("succeeded", text) == (row["state"], row["result"]["text"])
    attempts = rows(database_url, "SELECT attempt, outcome FROM attempts WHERE job_id = %s ORDER BY attempt", job_id)
    assert [row["attempt"]] == [each["attempt"] for each in attempts if each["outcome"] == "succeeded"]
    frames = await read_all(await core.hub.join(tenant.id, job_id))
    assert frames == await stored_frames(core, tenant, job_id)
    assert list(range(1, len(frames) + 1)) == [frame.seq for frame in frames]
    assert text == words(frames)
    return frames


async def test_a_claim_does_not_wait_for_the_disk_and_other_batches_do(core: JobCore, tenant: TestTenant) -> None:
    """The stores of tests never wait; so it is asked who said so."""
    show = ("SELECT setting, source FROM pg_settings WHERE name = 'synchronous_commit'", {})
    (claims,) = await run_batch(core.pool, tenant.id, [show], async_commit=True)
    (others,) = await run_batch(core.pool, tenant.id, [show])
    assert {"setting": "off", "source": "session"} == claims.first()
    assert "session" != others.first()["source"]


async def test_the_next_dispatch_has_a_higher_number_and_the_forgotten_attempt_changes_nothing(
    core: JobCore,
    worker: QueueContext,
    other: QueueContext,
    scheduler: Scheduler,
    database_url: str,
    redis_url: str,
    tenant: TestTenant,
) -> None:
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    change(database_url, "UPDATE jobs SET dispatched_at = now() - interval '1 hour' WHERE id = %s", job.job_id)
    await scheduler.sweep()
    number = await dispatch_again(other, database_url, job.job_id)
    await attempt_job(other, Script(*saying("new words")), tenant.id, job.job_id, number)
    await zombie.end()
    frames = await assert_said(core, database_url, tenant, job.job_id, "new words")
    assert 2 == number == job_row(database_url, job.job_id)["attempt"]
    assert ["job.started", "job.restarted"] == [frame.type for frame in frames if "started" in frame.type]


async def test_the_same_doorbell_at_another_worker_is_refused_by_the_stream_and_dispatched_anew(
    core: JobCore, worker: QueueContext, other: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    second = Script(*saying("second words"))
    await attempt_job(other, second, tenant.id, job.job_id, 1)
    row = job_row(database_url, job.job_id)
    assert ("queued", 0, "worker_lost") == (row["state"], row["tries"], row["error"]["code"])

    number = await dispatch_again(other, database_url, job.job_id)
    await attempt_job(other, Script(*saying("new words")), tenant.id, job.job_id, number)
    await zombie.end()
    await assert_said(core, database_url, tenant, job.job_id, "new words")


async def test_the_same_doorbell_and_a_wiped_redis_leave_it_to_the_row(
    core: JobCore, worker: QueueContext, other: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    with redis.Redis.from_url(redis_url) as db:
        db.flushall()
    awake = asyncio.Event()
    second = Script(events.MessageDelta(text="new "), awake, events.MessageDelta(text="words"), saying("new words")[1])
    running = asyncio.create_task(attempt_job(other, second, tenant.id, job.job_id, 1))
    await wait_for_words(redis_url, tenant, job)
    await zombie.end()
    assert "running" == job_row(database_url, job.job_id)["state"], "another worker's attempt was finished"
    awake.set()
    await asyncio.wait_for(running, PATIENCE_S)
    await assert_said(core, database_url, tenant, job.job_id, "new words")


async def test_the_same_doorbell_at_the_same_worker_runs_nothing(
    core: JobCore, worker: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    script = Script(*saying("again"))
    await attempt_job(worker, script, tenant.id, job.job_id, 1)
    assert (0, "dispatched") == (script.begun, job_row(database_url, job.job_id)["state"])
    await zombie.end()


async def test_a_forgotten_attempt_loses_its_lease_to_another_holder_of_its_number(
    core: JobCore, worker: QueueContext, other: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    held = worker.running.list_attempts()
    taken = "UPDATE jobs SET state = 'running', attempt = 1, lease_owner = %s, lease_until = now() WHERE id = %s"
    change(database_url, taken, other.owner, job.job_id)
    with psycopg.connect(database_url) as db:
        renewed = [
            len(db.execute(RENEW, renew_values(held, 30, worker=owner)).fetchall())
            for owner in (worker.owner, other.owner)
        ]
    assert [0, 1] == renewed
    await zombie.end()
    assert "running" == job_row(database_url, job.job_id)["state"]


async def test_a_job_whose_claim_was_forgotten_can_be_cancelled_and_tried_again(
    core: JobCore, worker: QueueContext, other: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    assert "cancelled" == await cancel(core, tenant.id, job.job_id)
    await zombie.end()
    frames = await read_all(await core.hub.join(tenant.id, job.job_id))
    assert "job.cancelled" == frames[-1].type
    assert frames == await stored_frames(core, tenant, job.job_id)

    assert await retry(core, tenant.id, job.job_id)
    number = await dispatch_again(other, database_url, job.job_id)
    await attempt_job(other, Script(*saying("new words")), tenant.id, job.job_id, number)
    await assert_said(core, database_url, tenant, job.job_id, "new words")


async def test_a_job_whose_doorbell_was_only_late_starts_and_does_not_start_over(
    core: JobCore, worker: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    change(
        database_url, "UPDATE jobs SET state = 'queued', created_at = now() + interval '9 s' WHERE id = %s", job.job_id
    )
    number = await dispatch_again(worker, database_url, job.job_id)
    await attempt_job(worker, Script(*saying("words")), tenant.id, job.job_id, number)
    frames = await assert_said(core, database_url, tenant, job.job_id, "words")
    assert ["job.queued", "job.started"] == [frame.type for frame in frames[:2]]


async def test_a_claim_that_was_forgotten_together_with_its_words_makes_the_next_attempt_start_over(
    core: JobCore, worker: QueueContext, other: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    """As in a power cut: clients have seen words that nobody remembers."""
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    with redis.Redis.from_url(redis_url) as db:
        db.flushall()
    change(database_url, "UPDATE jobs SET state = 'queued' WHERE id = %s", job.job_id)
    number = await dispatch_again(other, database_url, job.job_id)
    await attempt_job(other, Script(*saying("new words")), tenant.id, job.job_id, number)
    await zombie.end()
    frames = await assert_said(core, database_url, tenant, job.job_id, "new words")
    assert ["job.queued", "job.restarted"] == [frame.type for frame in frames[:2]]


async def test_a_row_that_knows_less_than_the_stream_catches_up(
    core: JobCore, worker: QueueContext, database_url: str, tenant: TestTenant
) -> None:
    """As after a failover to a standby: the numbers that it gives have been given before."""
    job = await submit_one(core, tenant)
    at = datetime.now(UTC)
    assert await core.relay.take_over(tenant.id, job.job_id, 3, holder="before the failover", created_at=at)
    number, ends = 1, []
    for number in range(1, 5):
        await attempt_job(worker, Script(*saying("words")), tenant.id, job.job_id, number)
        ends.append(job_row(database_url, job.job_id)["state"])
        if ends[-1] == "queued":
            assert number + 1 == await dispatch_again(worker, database_url, job.job_id)
    assert ["queued", "queued", "queued", "succeeded"] == ends
    assert 1 == job_row(database_url, job.job_id)["tries"]


async def test_an_unanswered_finish_is_not_taken_for_that_of_another_holder(
    core: JobCore, worker: QueueContext, other: QueueContext, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    """Both have the same number and succeeded; only the log tells whose commit it was."""
    job, zombie = await zombie_of(core, database_url, redis_url, worker, tenant)
    with redis.Redis.from_url(redis_url) as db:
        db.flushall()
    claimed = await claim(core, database_url, job.job_id, worker=other.owner)
    assert claimed is not None
    mine = Ending("succeeded", 1, compress_frames([b"mine"]))
    theirs = Ending("succeeded", 1, compress_frames([b"theirs"]))
    await finish_with_retries(core.pool, claimed, theirs, is_fenced=lambda: False)
    assert (True, False) == (await was_ours(core.pool, claimed, theirs), await was_ours(core.pool, claimed, mine))
    await zombie.end()
