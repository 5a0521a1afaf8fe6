"""The oracle finds what a case must not show: each kind of fault is made by hand, and it says so in a line."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from schema import events, redis_names
from schema.events import Event
from tests.chaos import accounts, oracle
from tests.chaos.accounts import judge_accounts
from tests.chaos.oracle import Charged, judge
from tests.chaos.processes import Logs, judge_files
from tests.chaos.world import Load, ReaderResult, reader_errors
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import ReceivedEvent
from tests.workers.jobs import Script, change, claim, turn, worker_context
from workers.context import WorkerContext
from workers.queue.attempts import attempt_job
from workers.queue.job_core import JobCore
from workers.queue.submit import submit

USED = Charged(jobs=1, input_tokens=2, output_tokens=5)


@pytest.fixture
async def worker(database_url: str, redis_url: str) -> AsyncIterator[WorkerContext]:
    async with worker_context(database_url, redis_url) as opened:
        yield opened


def answer(said: str) -> tuple[Event, ...]:
    return (
        events.MessageDelta(text=said),
        events.MessageCompleted(text=said),
        events.UsageRecorded(model="openai/text-5", input_tokens=2, output_tokens=5),
    )


async def run(core: JobCore, worker: WorkerContext, tenant: TestTenant, *steps: Event | Exception) -> UUID:
    job = await submit(core, turn(tenant, model="openai/text-5"))
    await attempt_job(worker.queue, Script(*steps), tenant.id, job.job_id, 1)
    return job.job_id


async def test_a_job_that_says_what_the_model_says_is_right(
    core: JobCore, worker: WorkerContext, database_url: str, redis_url: str, tenant: TestTenant
):
    job_id = await run(core, worker, tenant, *answer(text(5)))
    verdict = await judge(database_url, tenant.id, {job_id})
    assert [] == verdict.findings
    assert (0, 0, 0, 0, USED) == (verdict.lost, verdict.doubled, verdict.wrong, verdict.innocent, verdict.used)
    assert ([], 0) == await judge_accounts(database_url, redis_url, tenant.id, verdict.used)


async def test_a_word_that_is_missing_everywhere_is_noticed(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
):
    job_id = await run(core, worker, tenant, *answer(text(5).replace(" flows", "")))
    verdict = await judge(database_url, tenant.id, {job_id})
    assert 1 == verdict.wrong
    assert [f"1 jobs: openai/text-5 said other words than these ({job_id})"] == verdict.findings


async def test_a_second_answer_is_noticed(core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant):
    job_id = await run(core, worker, tenant, *answer(text(5)))
    copied = "SELECT tenant_id, %s, session_id, job_id, turn, 2, role, parts, status FROM messages"
    change(
        database_url,
        "INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts, status) "
        f"{copied} WHERE job_id = %s AND role = 'assistant'",
        UUID(int=job_id.int ^ 1),
        job_id,
    )
    verdict = await judge(database_url, tenant.id, {job_id})
    assert (1, True) == (verdict.doubled, any("two answers" in line for line in verdict.findings))


async def test_a_job_that_never_ends_and_one_without_a_row_are_lost(
    core: JobCore, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(oracle, "QUIET_TIMEOUT_S", 0.0)
    job = await submit(core, turn(tenant, model="openai/text-5"))
    await claim(core, database_url, job.job_id)
    verdict = await judge(database_url, tenant.id, {job.job_id, UUID(int=1)})
    assert 2 == verdict.lost
    assert ["it was accepted and has no row", "still running"] == [
        next(part for part in ("it was accepted and has no row", "still running") if part in line)
        for line in verdict.findings
    ]


async def test_an_innocent_job_that_fails_is_counted_and_a_guilty_one_has_to(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
):
    failed = await run(core, worker, tenant, ValueError("broken"))
    succeeded = await run(core, worker, tenant, *answer(text(5)))
    accepted = {failed, succeeded}
    assert 1 == (await judge(database_url, tenant.id, accepted)).innocent
    assert [] == (await judge(database_url, tenant.id, accepted, guilty=frozenset({failed}))).findings
    verdict = await judge(database_url, tenant.id, accepted, guilty=frozenset(accepted))
    assert (0, 1) == (verdict.innocent, len(verdict.findings))


async def test_a_double_charge_and_a_reservation_that_stays_are_noticed(
    core: JobCore,
    worker: WorkerContext,
    database_url: str,
    redis_url: str,
    tenant: TestTenant,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(accounts, "SETTLED_S", 0.0)
    await run(core, worker, tenant, *answer(text(5)))
    change(database_url, "UPDATE usage_records SET jobs = 2 WHERE tenant_id = %s", tenant.id)
    with redis.Redis.from_url(redis_url) as db:
        db.zadd(redis_names.RESERVATIONS, {f"{tenant.id}:{UUID(int=1)}": 0})
    wrong, charged_twice = await judge_accounts(database_url, redis_url, tenant.id, USED)
    with redis.Redis.from_url(redis_url) as db:
        db.zrem(redis_names.RESERVATIONS, f"{tenant.id}:{UUID(int=1)}")
    assert (1, ["were charged", "still reserved"]) == (
        charged_twice,
        [next(part for part in ("were charged", "still reserved") if part in line) for line in wrong],
    )


def test_a_secret_in_a_log_is_noticed_once_it_is_written_in_the_case(tmp_path: Path):
    (tmp_path / "api.log").write_text("hr_secret of the case before\n")
    logs = Logs(tmp_path)
    assert [] == logs.find({"a key": "hr_secret"})
    (tmp_path / "chat.log").write_text('{"event": "job_ended", "key": "hr_secret"}\n')
    assert ["a key is in chat.log"] == logs.find({"a key": "hr_secret"})


async def test_files_that_stay_open_are_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.chaos.processes.CLOSED_S", 0.0)
    monkeypatch.setattr("tests.chaos.processes.count_files", lambda processes: {7: ("api", 150)})
    assert [] == await judge_files({}, {7: ("api", 140)})
    assert ["api had 20 files open, and has 150"] == await judge_files({}, {7: ("api", 20)})


def received(seq: int, kind: str, **data: Any) -> ReceivedEvent:
    return ReceivedEvent(seq, kind, {"seq": seq, **data}, b"")


def test_a_reader_whose_numbers_began_anew_twice_is_right_and_one_that_lacks_a_word_is_not(tenant: TestTenant) -> None:
    """As after Redis was killed twice, each time with the worker."""
    said = [received(3, "message.delta", text=text(5)), received(4, "message.completed", text=text(5))]
    restarted = received(2, "job.restarted", discard_after=1)
    begun = [received(1, "job.queued"), received(2, "job.started"), received(3, "message.delta", text="water")]
    once = [restarted, received(3, "message.delta", text="water flows"), received(4, "message.delta", text=" down")]
    whole = [*begun, *once, restarted, *said, received(5, "job.succeeded")]
    load = Load(tenant)
    load.readers = [ReaderResult("a", whole, 2, "text-5")]
    assert [] == reader_errors(load)
    load.readers = [
        ReaderResult("a", [*whole[:-3], received(3, "message.delta", text="water"), *whole[-2:]], 2, "text-5")
    ]
    assert 1 == len(reader_errors(load))
