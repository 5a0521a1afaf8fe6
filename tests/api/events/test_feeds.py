"""What a process hands to the streams of a tenant: each change once and in time, to those who may see it, and after a break
what was missed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from api.events import feeds as module
from api.events.feeds import ChangedRow, ChangeFeeds, Listener, Visibility
from api.events.rows import read_rows
from schema import redis_names
from schema.ids import new_id
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.jobs.jobs import delete_job
from schema.queries.jobs.submissions import Submitter
from tests.api.people import make_user
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S, wait_for
from tests.workers.jobs import change, submit_one
from workers.queue.cancel import cancel, retry
from workers.queue.job_core import JobCore
from workers.redis.address import RedisAddress
from workers.stream.changes import LETTERS, Change, Noun

ALL: frozenset[Noun] = frozenset(LETTERS)
OWNER = Visibility(visible_user_id=None, nouns=ALL)


class Feeds(ChangeFeeds):
    """Feeds that know what to read with, and count how often they do."""

    pool: Pool
    reads = 0

    async def listen(self, tenant_id: UUID, sees: Visibility, after: str) -> Listener:
        return await self.open(tenant_id, sees, after, self._read)

    async def _read(self, tenant_id: UUID, changes: Sequence[Change]) -> list[ChangedRow]:
        self.reads += 1
        return await read_rows(self.pool, self._redis, tenant_id, changes)


@pytest.fixture
async def feeds(core: JobCore, redis_url: str) -> AsyncIterator[Feeds]:
    feeds = Feeds(RedisAddress.from_url(redis_url), core.redis)
    feeds.pool = core.pool
    yield feeds
    await feeds.close()


async def jobs_of(listener: Listener) -> dict[str, str]:
    """Wait for the next message and return its jobs, by id, with their states."""
    async with asyncio.timeout(PATIENCE_S):
        await listener.wake.wait()
    listener.wake.clear()
    rows, listener.rows = listener.rows, {}
    return {str(row.id): msgspec.json.decode(row.body)["state"] for row in rows.values() if row.noun == "jobs"}


async def until(listener: Listener, job_id: UUID, state: str) -> None:
    async def is_so() -> bool:
        return (await jobs_of(listener)).get(str(job_id)) == state

    await wait_for(is_so, f"the job is {state}")


async def test_what_happens_to_a_job_is_heard(core: JobCore, feeds: Feeds, tenant: TestTenant) -> None:
    listener = await feeds.listen(tenant.id, OWNER, "")
    assert not listener.resumed
    job = await submit_one(core, tenant)
    await until(listener, job.job_id, "queued")
    await cancel(core, tenant.id, job.job_id)
    await until(listener, job.job_id, "cancelled")
    assert await retry(core, tenant.id, job.job_id)
    await until(listener, job.job_id, "queued")


async def test_a_row_is_as_its_list_shows_it(core: JobCore, feeds: Feeds, tenant: TestTenant, api: Any) -> None:
    listener = await feeds.listen(tenant.id, OWNER, "")
    await submit_one(core, tenant)
    await wait_for(lambda: listener.rows, "the job is there")
    (row,) = listener.rows.values()
    assert (await api.get("/api/jobs")).json()["items"] == [msgspec.json.decode(row.body)]


async def test_others_hear_nothing(
    core: JobCore, feeds: Feeds, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    """Neither another tenant, nor another user, nor a key without the right."""
    ada, eve = make_user(database_url, tenant.id), make_user(database_url, tenant.id)
    foreign = await feeds.listen(stranger.id, OWNER, "")
    owners = await feeds.listen(tenant.id, OWNER, "")
    adas = await feeds.listen(tenant.id, Visibility(visible_user_id=ada, nouns=ALL), "")
    eves = await feeds.listen(tenant.id, Visibility(visible_user_id=eve, nouns=ALL), "")
    blind = await feeds.listen(tenant.id, Visibility(visible_user_id=None, nouns=frozenset({"documents"})), "")
    job = await submit_one(core, tenant, submitted_by=Submitter(user_id=ada))
    for listener in (owners, adas):
        await until(listener, job.job_id, "queued")
    theirs = await submit_one(core, stranger)
    await until(foreign, theirs.job_id, "queued")
    await cancel(core, tenant.id, job.job_id)
    async with tenant_tx(core.pool, tenant.id) as db:
        assert await delete_job(db, tenant.id, job.job_id)
    core.relay.changes.note(tenant.id, "jobs", job.job_id)
    for listener in (owners, adas):
        await wait_for(lambda one=listener: one.deleted, "the job is gone")
    assert ([], []) == ([*eves.rows, *eves.deleted], [*blind.rows, *blind.deleted])
    assert {str(theirs.job_id)} & {str(change.id) for change in (*owners.rows, *adas.rows)} == set()


async def test_an_id_of_another_tenant_shows_nothing(
    core: JobCore, feeds: Feeds, tenant: TestTenant, stranger: TestTenant
) -> None:
    theirs = await submit_one(core, stranger)
    listener = await feeds.listen(tenant.id, OWNER, "")
    core.relay.changes.note(tenant.id, "jobs", theirs.job_id)
    await wait_for(lambda: listener.deleted, "there is no such job")
    assert {} == listener.rows


async def test_who_comes_back_gets_what_was_missed(core: JobCore, feeds: Feeds, tenant: TestTenant) -> None:
    first = await feeds.listen(tenant.id, OWNER, "")
    before = await submit_one(core, tenant)
    await until(first, before.job_id, "queued")
    place = first.place
    feeds.leave(tenant.id, first)
    missed = await submit_one(core, tenant)
    await wait_for(lambda: not core.relay.changes._pending, "the note is sent")
    second = await feeds.listen(tenant.id, OWNER, place)
    assert (True, place) == (second.resumed, second.place)
    await until(second, missed.job_id, "queued")
    assert module.stream_position(second.place) > module.stream_position(place)
    third = await feeds.listen(tenant.id, OWNER, second.place)
    assert (True, []) == (third.resumed, third.owed)


@pytest.mark.parametrize("place", ["1-0", "1700000000000-0"])
async def test_who_was_away_too_long_is_told_so(feeds: Feeds, tenant: TestTenant, place: str) -> None:
    listener = await feeds.listen(tenant.id, OWNER, place)
    assert not listener.resumed
    assert module.stream_position(listener.place) > module.stream_position(place)


async def test_nothing_is_kept_of_tenants_that_nobody_watches(core: JobCore, feeds: Feeds, tenant: TestTenant) -> None:
    unwatched = new_id()
    await feeds.listen(tenant.id, OWNER, "")
    core.relay.changes.note(unwatched, "jobs", new_id())
    core.relay.changes.note(tenant.id, "jobs", new_id())

    async def is_noted() -> bool:
        return await core.redis.call("XLEN", redis_names.changes(tenant.id)) == 2  # the mark, and the note

    await wait_for(is_noted, "the note is in Redis")
    assert 0 == await core.redis.call("EXISTS", redis_names.changes(unwatched))
    assert 0 < await core.redis.call("PTTL", redis_names.changes(tenant.id))


async def test_many_changes_are_one_message_and_too_many_are_a_list_to_read_again(
    core: JobCore, feeds: Feeds, tenant: TestTenant
) -> None:
    listener = await feeds.listen(tenant.id, OWNER, "")
    ids = [(await submit_one(core, tenant)).job_id for _ in range(3)]
    core.relay.changes.note(tenant.id, "jobs", *ids)
    await wait_for(lambda: len(listener.rows) == 3, "all three are there")
    listener.rows.clear()
    core.relay.changes.note(tenant.id, "jobs", *(new_id() for _ in range(module.MAX_ROWS + 1)))
    await wait_for(lambda: listener.reload, "the list is to be read again")
    assert ({"jobs"}, {}, {}) == (listener.reload, listener.rows, listener.deleted)


async def test_rows_are_read_once_for_all_streams(core: JobCore, feeds: Feeds, tenant: TestTenant) -> None:
    listeners = [await feeds.listen(tenant.id, OWNER, "") for _ in range(20)]
    job_id = (await submit_one(core, tenant)).job_id
    for listener in listeners:
        await until(listener, job_id, "queued")
    assert feeds.reads <= 2


async def test_an_end_whose_note_was_lost_is_noticed(
    core: JobCore, feeds: Feeds, tenant: TestTenant, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECHECK_S", 0.05)
    listener = await feeds.listen(tenant.id, OWNER, "")
    job = await submit_one(core, tenant)
    await until(listener, job.job_id, "queued")
    sql = "UPDATE jobs SET state = 'failed', finished_at = %s WHERE id = %s"
    change(database_url, sql, datetime.now(UTC), job.job_id)
    await until(listener, job.job_id, "failed")


async def test_a_lost_connection_to_redis_is_made_good(core: JobCore, feeds: Feeds, tenant: TestTenant) -> None:
    listener = await feeds.listen(tenant.id, OWNER, "")
    job = await submit_one(core, tenant)
    await until(listener, job.job_id, "queued")
    connection = feeds._subscriber._connection
    assert connection is not None
    connection.abort()
    missed = await submit_one(core, tenant)
    await until(listener, missed.job_id, "queued")
    await core.redis.call("DEL", redis_names.changes(tenant.id))
    listener.is_new = False
    feeds._subscriber._connection.abort()  # type: ignore[union-attr]
    await wait_for(lambda: listener.is_new, "the stream begins anew")
    assert not listener.resumed


async def test_the_last_stream_ends_the_subscription(feeds: Feeds, tenant: TestTenant) -> None:
    one, two = [await feeds.listen(tenant.id, OWNER, "") for _ in range(2)]
    feeds.leave(tenant.id, one)
    feeds.leave(tenant.id, one)
    assert 1 == len(feeds._feeds)
    feeds.leave(tenant.id, two)
    assert ({}, {}) == (feeds._feeds, feeds._subscriber._channels)


async def test_who_reads_slowly_is_told_to_read_the_lists_again() -> None:
    listener = Listener(sees=OWNER)
    row = {"noun": "jobs", "owner_id": None, "is_shared": False, "state": "queued", "body": msgspec.Raw(b"{}")}
    rows = [module.ChangedRow(id=new_id(), **row) for _ in range(4 * module.MAX_ROWS + 1)]
    for each in rows:
        listener.take("1-0", [each], [], set())
    assert ({"jobs"}, {}) == (listener.reload, listener.rows)
