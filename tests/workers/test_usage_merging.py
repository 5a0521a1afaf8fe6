"""Usage is merged by day, user, agent and model, and by day in all; nothing of it is lost or counted twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from schema.postgres.connections import tenant_tx
from schema.queries.tenants.usage import get_spending, list_usage
from tests.conftest import TestTenant, make_tenant
from tests.workers.jobs import change, rows
from tests.workers.retained_rows import add, add_user, sweeping
from workers.queue.job_core import JobCore
from workers.retention import Retention


@pytest.fixture
async def retention(core: JobCore, database_url: str) -> AsyncIterator[Retention]:
    async with sweeping(core, database_url, core.limits) as opened:
        yield opened


def add_usage(
    database_url: str, tenant: TestTenant, *, days_ago: int, user_id: UUID | None = None, **facts: Any
) -> None:
    day = (datetime.now(UTC) - timedelta(days=days_ago)).date()
    values = {"agent": "", "model": "m/1", "jobs": 1, "input_tokens": 3, "output_tokens": 5, "cost_nanos": 7, **facts}
    add(database_url, "usage_records", tenant, id=uuid4(), day=day, user_id=user_id, **values)


USED = """
SELECT day, user_id, agent, model, sum(jobs)::int AS jobs, sum(input_tokens)::int AS input, sum(output_tokens)::int AS output,
  sum(cost_nanos)::int AS cost, count(*) AS rows
FROM usage_records WHERE tenant_id = %s GROUP BY day, user_id, agent, model ORDER BY day, user_id, agent, model
"""


SPENT = """
SELECT sum(jobs)::int AS jobs, sum(cost_nanos) FILTER (WHERE day = (now() AT TIME ZONE 'UTC')::date)::bigint AS day,
  sum(cost_nanos) FILTER (WHERE day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date)::bigint AS month
FROM usage_records WHERE tenant_id = %s
"""


async def test_usage_of_a_day_becomes_one_row_for_each_user_agent_and_model_with_equal_sums(
    retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    user_id, other = add_user(database_url, tenant), make_tenant(database_url)
    for days_ago in range(30):
        for who, whose in ((tenant, user_id), (tenant, None), (other, None)):
            for number in range(3):
                add_usage(database_url, who, days_ago=days_ago, user_id=whose, cost_nanos=number)
            add_usage(database_url, who, days_ago=days_ago, user_id=whose, model="m/2")
            add_usage(database_url, who, days_ago=days_ago, user_id=whose, agent="a")
    before = {who.slug: rows(database_url, USED, who.id) for who in (tenant, other)}
    await retention.merge_usage()
    for who in (tenant, other):
        after = rows(database_url, USED, who.id)
        sums = [[{**row, "rows": 0} for row in some] for some in (before[who.slug], after)]
        assert sums[0] == sums[1]
        assert {1} == {row["rows"] for row in after}


async def test_what_a_tenant_used_in_all_is_right_while_usage_is_merged_and_users_are_erased(
    core: JobCore, retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    user_id, today = add_user(database_url, tenant), datetime.now(UTC).date()
    for round_ in range(4):
        for days_ago in (0, 1, 40):
            for number in range(3):
                add_usage(
                    database_url, tenant, days_ago=days_ago, user_id=user_id if number else None, cost_nanos=round_
                )
        if round_ % 2:
            await retention.merge_usage()
        if round_ == 2:
            change(database_url, "UPDATE usage_records SET user_id = NULL WHERE user_id = %s", user_id)
        (spent,) = rows(database_url, SPENT, tenant.id)
        async with tenant_tx(core.pool, tenant.id) as db:
            by_day = await list_usage(db, tenant.id, first=date.min, last=date.max, by=["day"], limit=100)
            (by_user,) = await list_usage(db, tenant.id, first=date.min, last=date.max, by=[], model="m/1", limit=100)
            day_nanos, month_nanos = await get_spending(db, tenant.id)
        assert (spent["day"], spent["month"]) == (day_nanos, month_nanos)
        assert [(today, 3 * (round_ + 1))] == [(row.day, row.jobs) for row in by_day if row.day == today]
        assert spent["jobs"] == by_user.jobs == sum(row.jobs for row in by_day)


async def test_schedulers_that_join_at_the_same_time_lose_nothing(
    core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    for days_ago in range(2, 40):
        for _ in range(4):
            add_usage(database_url, tenant, days_ago=days_ago)
    async with (
        sweeping(core, database_url, core.limits) as one,
        sweeping(core, database_url, core.limits) as two,
    ):
        await asyncio.gather(*(retention.merge_usage() for retention in (one, two) * 3))
    assert [(4, 1)] * 38 == [(row["jobs"], row["rows"]) for row in rows(database_url, USED, tenant.id)]
