"""What is due becomes a job, once: policies for what was missed and what overlaps, owners who lost a right, two schedulers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.connections import Pool, pool_for, tenant_tx
from schema.queries.jobs.submissions import ScheduleMoved
from schema.queries.schedules import schedules as queries
from schema.queries.schedules.schedules import Schedule
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tests.workers.jobs import change, job_row, rows
from tests.workers.webhooks.hooks import have_endpoint
from workers.queue.job_core import JobCore
from workers.redis.client import RedisUnavailable
from workers.schedules.due import DueSchedules
from workers.schedules.submitting import ScheduledJobs

MODEL = "offline/extractive"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Clock:
    """A clock that stands still until somebody sets it."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Place:
    """A tenant with schedules, and schedulers at a frozen time."""

    def __init__(self, core: JobCore, system_pool: Pool, url: str, tenant: TestTenant) -> None:
        self.core, self.url, self.tenant, self.clock = core, url, tenant, Clock()
        self.jobs = ScheduledJobs(core, VAULT, clock=self.clock)
        self.due = DueSchedules(self.jobs, system_pool)
        self.user_id = self.user()

    def user(self, role: str = "member") -> UUID:
        user_id = new_id()
        change(
            self.url,
            "INSERT INTO users (tenant_id, id, email, name, role) VALUES (%s, %s, %s, 'x', %s)",
            *(self.tenant.id, user_id, f"{user_id}@example.com", role),
        )
        return user_id

    def add(
        self, *, agent: str | None = None, model: str = MODEL, pipeline: UUID | None = None, **columns: Any
    ) -> UUID:
        """Store a schedule that is due each minute from noon on; return its id."""
        schedule_id, parts = new_id(), [{"type": "text", "text": "hello"}]
        compiled = {
            **{"kind": "chat", "right": "chat", "rights": ["chat", "pipelines.run"], "payload": {"options": {}}},
            **{"model": model, "models": [model], "agent": agent, "parts": parts},
        }
        if pipeline is not None:
            compiled |= {"kind": "pipeline", "right": "pipelines.run", "pipeline": str(pipeline), "parts": None}
        row: dict[str, Any] = {
            **{"tenant_id": self.tenant.id, "id": schedule_id, "name": "s", "user_id": self.user_id},
            **{"created_by": f"user:{self.user_id}", "issuer": "http://localhost", "kind": "chat", "job": Jsonb({})},
            **{"compiled": Jsonb(compiled), "cron": "* * * * *", "timezone": "UTC", "on_missed": "skip"},
            **{"on_overlap": "queue", "session": "new", "state": "active", "next_at": NOON, **columns},
        }
        places = ", ".join(["%s"] * len(row))
        change(self.url, f"INSERT INTO schedules ({', '.join(row)}) VALUES ({places})", *row.values())
        return schedule_id

    async def run(self, *, after: timedelta = timedelta(0)) -> None:
        """Let the scheduler look, so much after noon."""
        self.clock.now = NOON + after
        await self.due.run_due_schedules()

    async def find(self, schedule_id: UUID) -> Schedule:
        async with tenant_tx(self.core.pool, self.tenant.id) as db:
            found = await queries.find_schedule(db, self.tenant.id, schedule_id)
        assert found is not None
        return found

    def runs(self, schedule_id: UUID) -> list[tuple[timedelta, str]]:
        """What became of due times, oldest first, by how long after noon they were."""
        sql = "SELECT * FROM schedule_runs WHERE schedule_id = %s ORDER BY due_at"
        return [(row["due_at"] - NOON, row["outcome"]) for row in rows(self.url, sql, schedule_id)]

    def submitted(self) -> list[dict[str, Any]]:
        """The tenant's jobs, oldest first."""
        return [
            dict(row) for row in rows(self.url, "SELECT * FROM jobs WHERE tenant_id = %s ORDER BY id", self.tenant.id)
        ]

    def end(self, job_id: UUID) -> None:
        """Let a job succeed."""
        change(self.url, "UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = %s", job_id)


@pytest.fixture
async def system_pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_system", max_size=4) as opened:
        yield opened


@pytest.fixture
def place(core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant) -> Place:
    return Place(core, system_pool, database_url, tenant)


async def test_a_due_time_becomes_a_job_of_its_owner_and_the_next_one_follows(place: Place) -> None:
    schedule_id = place.add(on_overlap="queue", session="new")
    await place.run(after=-MINUTE)
    assert [] == place.submitted()
    await place.run(after=timedelta(seconds=1))
    await place.run(after=timedelta(seconds=2))
    (job,) = place.submitted()
    assert ("chat", MODEL, place.user_id, f"user:{place.user_id}") == tuple(
        job[name] for name in ("kind", "model", "user_id", "actor")
    )
    assert [(timedelta(0), "submitted")] == place.runs(schedule_id)
    assert NOON + MINUTE == (await place.find(schedule_id)).next_at
    (message,) = rows(place.url, "SELECT * FROM messages WHERE job_id = %s", job["id"])
    assert [{"type": "text", "text": "hello"}] == message["parts"]


async def test_schedulers_that_see_the_same_time_due_submit_one_job(place: Place, system_pool: Pool) -> None:
    ids = [place.add() for _ in range(20)]
    place.clock.now = NOON
    others = [DueSchedules(place.jobs, system_pool) for _ in range(4)]
    await asyncio.gather(*(one.run_due_schedules() for one in others))
    assert 20 == len(place.submitted())
    assert [[(timedelta(0), "submitted")]] * 20 == [place.runs(one) for one in ids]


@pytest.mark.parametrize(("policy", "outcome", "jobs"), [("skip", "missed", 0), ("run_once", "submitted", 1)])
async def test_missed_times_are_not_piled_up(place: Place, policy: str, outcome: str, jobs: int) -> None:
    """An hour without a scheduler: the sixty times up to a minute ago were missed, the last one was not."""
    schedule_id = place.add(on_missed=policy, on_overlap="queue")
    await place.run(after=timedelta(hours=1, seconds=5))
    assert [(timedelta(minutes=59), outcome)] == place.runs(schedule_id)
    (run,) = rows(place.url, "SELECT missed FROM schedule_runs WHERE schedule_id = %s", schedule_id)
    assert 60 == run["missed"]
    assert jobs == len(place.submitted())
    for job in place.submitted():
        place.end(job["id"])
    await place.run(after=timedelta(hours=1, seconds=6))
    assert (timedelta(hours=1), "submitted") == place.runs(schedule_id)[-1]
    assert jobs + 1 == len(place.submitted())


async def test_a_time_that_comes_while_a_job_runs_is_skipped(place: Place) -> None:
    schedule_id = place.add(on_overlap="skip")
    await place.run()
    await place.run(after=MINUTE)
    assert [(timedelta(0), "submitted"), (MINUTE, "skipped")] == place.runs(schedule_id)
    (job,) = place.submitted()
    place.end(job["id"])
    await place.run(after=2 * MINUTE)
    assert "submitted" == place.runs(schedule_id)[-1][1]


async def test_a_time_that_comes_while_a_job_runs_waits_for_its_end(place: Place) -> None:
    schedule_id = place.add(on_overlap="queue")
    for minute in range(3):
        await place.run(after=minute * MINUTE)
    assert ["submitted", "waiting", "waiting"] == [outcome for _, outcome in place.runs(schedule_id)]
    for number in range(1, 3):
        place.end(place.submitted()[-1]["id"])
        await place.run(after=2 * MINUTE + timedelta(seconds=number))
        assert number + 1 == len(place.submitted()), "one after the other"
    assert ["submitted"] * 3 == [outcome for _, outcome in place.runs(schedule_id)]


async def test_no_more_than_ten_times_wait(place: Place) -> None:
    schedule_id = place.add(on_overlap="queue")
    for minute in range(13):
        await place.run(after=minute * MINUTE)
    outcomes = [outcome for _, outcome in place.runs(schedule_id)]
    assert ["submitted", *["waiting"] * 10, "skipped", "skipped"] == outcomes


async def test_a_time_that_comes_while_a_job_runs_cancels_it(place: Place) -> None:
    schedule_id = place.add(on_overlap="cancel_previous")
    await place.run()
    await place.run(after=MINUTE)
    assert ["cancelled", "dispatched"] == [job["state"] for job in place.submitted()]
    assert ["submitted"] * 2 == [outcome for _, outcome in place.runs(schedule_id)]


async def test_a_scheduler_that_comes_late_cancels_no_job_of_the_same_time(place: Place) -> None:
    schedule_id = place.add(on_overlap="cancel_previous")
    place.clock.now = NOON
    seen = await place.find(schedule_id)
    await place.run()
    with pytest.raises(ScheduleMoved):
        await place.due._run_due(place.tenant.id, seen)
    assert ["dispatched"] == [job["state"] for job in place.submitted()]


async def test_a_schedule_that_was_changed_meanwhile_submits_nothing(place: Place) -> None:
    schedule_id = place.add()
    place.clock.now = NOON
    seen = await place.find(schedule_id)
    change(place.url, "UPDATE schedules SET next_at = %s WHERE id = %s", NOON + 60 * MINUTE, schedule_id)
    with pytest.raises(ScheduleMoved):
        await place.due._run_due(place.tenant.id, seen)
    assert ([], []) == (place.submitted(), place.runs(schedule_id))


async def test_a_session_goes_on_and_begins_anew_when_it_was_deleted(place: Place) -> None:
    schedule_id = place.add(session="continue")
    for minute in range(3):
        await place.run(after=minute * MINUTE)
        place.end(place.submitted()[-1]["id"])
        if minute == 1:
            change(place.url, "DELETE FROM sessions WHERE id = %s", place.submitted()[0]["session_id"])
    sessions = rows(place.url, "SELECT turns FROM sessions WHERE tenant_id = %s", place.tenant.id)
    assert [1] == [row["turns"] for row in sessions]
    assert (await place.find(schedule_id)).session_id == place.submitted()[-1]["session_id"]


async def test_a_session_of_its_own_for_each_job(place: Place) -> None:
    place.add(session="new")
    for minute in range(2):
        await place.run(after=minute * MINUTE)
        place.end(place.submitted()[-1]["id"])
    assert 2 == len({job["session_id"] for job in place.submitted()})


CHANGED: LiteralString = "UPDATE schedules SET compiled = {} WHERE tenant_id = %(tenant)s"
LOST: dict[str, tuple[LiteralString, str]] = {
    "user was disabled": ("UPDATE users SET state = 'disabled' WHERE id = %(user)s", "forbidden"),
    "user is gone": ("DELETE FROM users WHERE id = %(user)s", "forbidden"),
    "user may only read": ("UPDATE users SET role = 'viewer' WHERE id = %(user)s", "forbidden"),
    "model is not granted": ("DELETE FROM grants WHERE tenant_id = %(tenant)s AND kind = 'model'", "model_unknown"),
    "agent is gone": (CHANGED.format("jsonb_set(compiled, '{agent}', '\"Nobody\"')"), "agent_unknown"),
    "pipeline is gone": (
        CHANGED.format("compiled || jsonb_build_object('pipeline', %(user)s::uuid)"),
        "not_found",
    ),
    "template is another version's": (CHANGED.format("'{}'"), "not_found"),
}


@pytest.mark.parametrize("lost", LOST)
async def test_a_schedule_that_may_not_run_any_more_says_so_and_pauses(place: Place, lost: str) -> None:
    schedule_id = place.add()
    sql, code = LOST[lost]
    with psycopg.connect(place.url) as db:
        db.execute(sql, {"user": place.user_id, "tenant": place.tenant.id})
    await place.run()
    await place.run(after=MINUTE)
    found = await place.find(schedule_id)
    assert ("paused", None, code) == (found.state, found.next_at, (found.reason or {}).get("code"))
    assert [] == place.submitted()
    assert [(timedelta(0), "refused")] == place.runs(schedule_id)
    (entry,) = rows(place.url, "SELECT * FROM audit_log WHERE target = %s", f"schedule:{schedule_id}")
    assert ("schedule.paused", code) == (entry["action"], entry["detail"]["code"])


async def test_a_schedule_of_a_revoked_key_pauses(place: Place) -> None:
    (key,) = rows(place.url, "SELECT id FROM api_keys WHERE tenant_id = %s", place.tenant.id)
    schedule_id = place.add(user_id=None, created_by=f"key:{key['id']}")
    await place.run()
    assert 1 == len(place.submitted())
    place.end(place.submitted()[0]["id"])
    change(place.url, "UPDATE api_keys SET revoked_at = now() WHERE id = %s", key["id"])
    await place.run(after=MINUTE)
    assert "paused" == (await place.find(schedule_id)).state


async def test_a_suspended_tenant_has_nothing_due_and_misses_its_times(place: Place) -> None:
    schedule_id = place.add()
    change(place.url, "UPDATE tenants SET state = 'suspended' WHERE id = %s", place.tenant.id)
    await place.run(after=MINUTE)
    assert [] == place.runs(schedule_id)
    change(place.url, "UPDATE tenants SET state = 'active' WHERE id = %s", place.tenant.id)
    await place.run(after=10 * MINUTE)
    assert [(9 * MINUTE, "missed")] == place.runs(schedule_id)


async def test_a_limit_refuses_a_time_and_the_next_one_may_be_run(place: Place) -> None:
    schedule_id = place.add()
    change(place.url, "UPDATE tenants SET requests_per_minute = 1 WHERE id = %s", place.tenant.id)
    await place.run()
    place.end(place.submitted()[0]["id"])
    await place.run(after=MINUTE)
    (_, refused) = rows(place.url, "SELECT * FROM schedule_runs WHERE schedule_id = %s ORDER BY due_at", schedule_id)
    assert ("refused", "rate_limit_exceeded") == (refused["outcome"], refused["reason"]["code"])
    found = await place.find(schedule_id)
    assert ("active", NOON + 2 * MINUTE) == (found.state, found.next_at)


@pytest.mark.parametrize(("budget", "outcome"), [(110_000_000, "submitted"), (100_000_000, "refused")])
async def test_a_budget_holds_while_nobody_can_reserve(
    place: Place, monkeypatch: pytest.MonkeyPatch, budget: int, outcome: str
) -> None:
    async def reserve(*args: Any, **named: Any) -> None:
        raise RedisUnavailable("away")

    monkeypatch.setattr(place.core.limits, "reserve", reserve)
    sql = "INSERT INTO models (name, input_usd, output_usd) VALUES ('offline/extractive', 100, 100) ON CONFLICT DO NOTHING"
    change(place.url, sql)
    change(place.url, "UPDATE tenants SET budget_day_nanos = %s WHERE id = %s", budget, place.tenant.id)
    schedule_id = place.add()
    await place.run()
    assert [(timedelta(0), outcome)] == place.runs(schedule_id)


async def test_after_its_end_a_schedule_is_not_due(place: Place) -> None:
    schedule_id = place.add(ends_at=NOON + MINUTE)
    await place.run()
    place.end(place.submitted()[0]["id"])
    await place.run(after=MINUTE)
    await place.run(after=5 * MINUTE)
    assert 2 == len(place.submitted())
    found = await place.find(schedule_id)
    assert ("ended", None) == (found.state, found.next_at)


async def test_one_schedule_that_fails_keeps_no_other_from_being_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = place.add(), place.add()
    submit = place.jobs.submit

    async def fail_for_one(tenant_id: UUID, schedule: Schedule, *rest: Any) -> UUID:
        if schedule.id == bad:
            raise RuntimeError("a fault")
        return await submit(tenant_id, schedule, *rest)

    monkeypatch.setattr(place.jobs, "submit", fail_for_one)
    await place.run()
    assert ([], [(timedelta(0), "submitted")]) == (place.runs(bad), place.runs(good))


async def test_nothing_of_another_tenant_is_run(place: Place, database_url: str) -> None:
    stranger = make_tenant(database_url)
    place.add()
    await place.run()
    assert [] == rows(database_url, "SELECT id FROM jobs WHERE tenant_id = %s", stranger.id)
    (job,) = place.submitted()
    assert "dispatched" == job_row(database_url, job["id"])["state"]


async def test_a_budget_that_a_scheduled_job_reaches_is_told(place: Place) -> None:
    await have_endpoint(place.core, place.tenant, "http://127.0.0.1:9/hook", events=["budget.*"])
    sql = "INSERT INTO models (name, input_usd, output_usd) VALUES ('offline/extractive', 100, 100) ON CONFLICT DO NOTHING"
    change(place.url, sql)
    limits = "UPDATE tenants SET budget_day_nanos = 110000000, budget_warn_percent = 50 WHERE id = %s"
    change(place.url, limits, place.tenant.id)
    place.add()
    await place.run()
    assert 1 == len(place.submitted())
    (told,) = rows(place.url, "SELECT * FROM webhook_deliveries WHERE tenant_id = %s", place.tenant.id)
    assert ("budget.reached", {"budget": "day", "percent": 50}) == (told["type"], told["data"])
