"""A case in which the schedulers are killed while many schedules are due: each due time has exactly one job."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.chaos.table import case
from tests.chaos.world import Load, World
from tests.conftest import TestTenant
from tests.waiting import wait_for
from tests.workers.jobs import rows
from workers.schedules.cron import due_times

SCHEDULERS = ("scheduler", "scheduler2")
EVERY_TWO_SECONDS = "*/2 * * * * *"
"""Cron with seconds, which the API refuses: a minute would take too long here."""
MODEL = "openai/text-20"
# Of a key, whose schedules need no user.
INSERT = """
INSERT INTO schedules (tenant_id, id, name, created_by, issuer, kind, job, compiled, cron, timezone, on_missed, on_overlap,
  session, state, next_at)
SELECT tenant_id, %(id)s, 'chaos', 'key:' || id, 'http://localhost', 'chat', '{}', %(compiled)s, %(cron)s, 'UTC', 'skip',
  'cancel_previous', 'new', 'active', %(starts_at)s
FROM api_keys WHERE tenant_id = %(tenant)s LIMIT 1
"""
END = "UPDATE schedules SET ends_at = now() WHERE tenant_id = %s"
RUNS = (
    "SELECT schedule_id, due_at, outcome, job_id FROM schedule_runs WHERE tenant_id = %s ORDER BY schedule_id, due_at"
)
OPEN = "SELECT id FROM schedules WHERE tenant_id = %s AND state <> 'ended'"


@case(32, "schedules, and both schedulers killed", states=("succeeded", "cancelled"))
async def schedules(world: World, load: Load, scale: float) -> list[str]:
    """Two schedulers submit what is due every two seconds. One is killed whenever the other works, in the midst of it."""
    url = world.stores.database_url
    await world.add("scheduler2")
    world.keep("scheduler2")
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    with psycopg.connect(url) as db:
        ids = [_add(db, load.tenant, starts_at) for _ in range(max(6, int(20 * scale)))]
    for number in range(max(4, int(12 * scale))):
        victim, other = SCHEDULERS[number % 2], SCHEDULERS[1 - number % 2]
        await world.back(other)
        await wait_for(lambda name=other: _has_submitted(world, name), f"{other} submits what is due")
        await world.pause(0, 1)
        world.kill(victim)
    await world.all_ready()
    with psycopg.connect(url) as db:
        db.execute(END, (load.tenant.id,))
    await wait_for(lambda: not rows(url, OPEN, load.tenant.id), "all schedules have ended")
    await world.remove("scheduler2")
    found = [dict(row) for row in rows(url, RUNS, load.tenant.id)]
    # What else the tenant has are jobs that no due time knows: the oracle counts them as doubled.
    load.keys |= {f"{run['schedule_id']} {run['due_at']}": run["job_id"] for run in found if run["job_id"]}
    return [line for schedule_id in ids for line in _judge(str(schedule_id), starts_at, found)]


def _add(db: psycopg.Connection[Any], tenant: TestTenant, starts_at: datetime) -> Any:
    schedule_id = new_id()
    compiled = {
        **{"kind": "chat", "right": "chat", "rights": ["chat"], "payload": {"options": {}}},
        **{"model": MODEL, "models": [MODEL], "parts": [{"type": "text", "text": "What is due?"}]},
    }
    values = {"id": schedule_id, "compiled": Jsonb(compiled), "cron": EVERY_TWO_SECONDS}
    added = db.execute(INSERT, {**values, "starts_at": starts_at, "tenant": tenant.id})
    assert added.rowcount == 1, "the tenant has a key"
    return schedule_id


def _has_submitted(world: World, name: str) -> bool:
    """Whether a scheduler that runs has submitted a job since it was started."""
    return "schedule_submitted" in world.system.log(name, since_start=True)


def _judge(schedule_id: str, starts_at: datetime, every: list[dict[str, Any]]) -> list[str]:
    """Compare the runs of a schedule with the times at which it was due, up to the last one."""
    runs = [run for run in every if str(run["schedule_id"]) == schedule_id]
    if not runs:
        return [f"schedule {schedule_id} was never run"]
    last = runs[-1]["due_at"]
    wanted = [starts_at, *takewhile(lambda at: at <= last, due_times(EVERY_TWO_SECONDS, "UTC", starts_at))]
    findings = [f"schedule {schedule_id} at {run['due_at']}: {run['outcome']}" for run in runs if not run["job_id"]]
    if wanted != [run["due_at"] for run in runs]:
        findings.append(f"schedule {schedule_id} was due {len(wanted)} times and run {len(runs)} times")
    if len(jobs := {run["job_id"] for run in runs}) != len(runs):
        findings.append(f"schedule {schedule_id}: {len(runs)} due times have {len(jobs)} jobs")
    return findings
