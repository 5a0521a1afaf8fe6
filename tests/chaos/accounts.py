"""What was charged and what is still reserved, judged after a case: each job is paid for once, and nothing stays reserved."""

import asyncio
import time
from uuid import UUID

import psycopg

from schema import redis_names
from tests.chaos.oracle import Charged
from tests.sentinels import connect_async

SETTLED_S = 120.0  # reservations that a dead process left are settled after a minute

CHARGED = """
SELECT coalesce(sum(jobs), 0)::int, coalesce(sum(input_tokens), 0)::int, coalesce(sum(output_tokens), 0)::int
FROM usage_records WHERE tenant_id = %s
"""
LIMIT = "UPDATE tenants SET tokens_per_minute = 1000000000 WHERE id = %s"


def give_limit(database_url: str, tenant_id: UUID) -> None:
    """Limit a tenant, far above what it uses, so that its jobs reserve and settle."""
    with psycopg.connect(database_url) as db:
        db.execute(LIMIT, (tenant_id,))


async def judge_accounts(database_url: str, redis_url: str, tenant_id: UUID, used: Charged) -> tuple[list[str], int]:
    """Return what is wrong with a tenant's usage and reservations, and how many jobs were charged too often."""
    async with await psycopg.AsyncConnection.connect(database_url) as db:
        row = await (await db.execute(CHARGED, (tenant_id,))).fetchone()
    assert row is not None
    charged = Charged(*row)
    wrong = [] if charged == used else [f"jobs used {used} and were charged {charged}"]
    left = await open_reservations(redis_url, tenant_id)
    if left:
        wrong.append(f"still reserved after {SETTLED_S:g} s: {left}")
    return wrong, max(0, charged.jobs - used.jobs)


async def open_reservations(redis_url: str, tenant_id: UUID) -> str:
    """Wait until nothing of the tenant is reserved; return what is, if that takes too long."""
    jobs, reserved = redis_names.limits(tenant_id)[:2]
    async with connect_async(redis_url, decode_responses=True) as db:
        give_up = time.monotonic() + SETTLED_S
        while True:
            held, sums = await db.hlen(jobs), await db.hgetall(reserved)
            members = await db.zrange(redis_names.RESERVATIONS, 0, -1)
            open_ones = [member for member in members if member.startswith(str(tenant_id))]
            if not held and not open_ones and not any(int(float(value)) for value in sums.values()):
                return ""
            if time.monotonic() > give_up:
                return f"{held} jobs, {len(open_ones)} in the list, {sums}"
            await asyncio.sleep(0.2)
