"""Two schedulers that are killed again and again: each due time has exactly one job."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.conftest import TestTenant, make_tenant
from tests.system import System
from tests.waiting import wait_for
from tests.workers.jobs import rows
from workers.schedules.cron import due_times

EACH_SECOND = "* * * * * *"
"""Cron with seconds, which the API refuses: a minute would take too long here."""
SCHEDULES, TIMES, KILLS = 6, 20, 8


def add(db: psycopg.Connection[Any], tenant: TestTenant, starts_at: datetime) -> str:
    schedule_id, model = new_id(), "offline/extractive"
    compiled = {
        **{"kind": "pipeline", "right": "chat", "rights": ["chat"], "payload": {"options": {}}},
        **{"model": model, "models": [model]},
    }
    row: dict[str, Any] = {
        **{"tenant_id": tenant.id, "id": schedule_id, "name": "s", "issuer": "x", "kind": "chat", "job": Jsonb({})},
        **{"compiled": Jsonb(compiled), "cron": EACH_SECOND, "timezone": "UTC", "on_missed": "skip"},
        **{"on_overlap": "cancel_previous", "session": "new", "state": "active", "next_at": starts_at},
        "ends_at": starts_at + timedelta(seconds=TIMES - 1),
    }
    found = db.execute("SELECT id FROM api_keys WHERE tenant_id = %s", (tenant.id,)).fetchone()
    assert found is not None
    row["created_by"] = f"key:{found[0]}"
    places = ", ".join(["%s"] * len(row))
    db.execute(f"INSERT INTO schedules ({', '.join(row)}) VALUES ({places})", list(row.values()))
    return str(schedule_id)


async def test_each_due_time_has_one_job_whenever_schedulers_are_killed(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    tenant = make_tenant(database_url, max_queued=10_000)
    system = System(database_url, redis_url, folder=tmp_path, roles=("scheduler", "scheduler2"))
    chance = random.Random(7)
    async with system:
        starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
        with psycopg.connect(database_url) as db:
            ids = [add(db, tenant, starts_at) for _ in range(SCHEDULES)]
        for number in range(KILLS):
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            name = system.roles[number % 2]
            system.kill(name)
            system.start(name)
        ended = "SELECT count(*) AS n FROM schedules WHERE tenant_id = %s AND state = 'ended'"
        await wait_for(lambda: rows(database_url, ended, tenant.id)[0]["n"] == SCHEDULES, "all schedules have ended")

    wanted = [
        starts_at,
        *(at for at, _ in zip(due_times(EACH_SECOND, "UTC", starts_at), range(TIMES - 1), strict=False)),
    ]
    for schedule_id in ids:
        runs = rows(database_url, "SELECT * FROM schedule_runs WHERE schedule_id = %s ORDER BY due_at", schedule_id)
        assert wanted == [run["due_at"] for run in runs]
        assert {"submitted": TIMES} == dict(Counter(run["outcome"] for run in runs))
        assert TIMES == len({run["job_id"] for run in runs})
    jobs = rows(database_url, "SELECT id FROM jobs WHERE tenant_id = %s", tenant.id)
    assert SCHEDULES * TIMES == len(jobs), "no job that no due time knows"
