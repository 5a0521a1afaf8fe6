"""Short ways to call the limits with a fake clock and spending, and a process that calls them concurrently.

`python -m tests.workers.limit_calls REDIS_URL TENANT CALLS LIMIT` prints "ready", waits for a line, makes its calls
concurrently and prints how many were allowed.
"""

import asyncio
import sys
from datetime import datetime
from typing import Any
from uuid import UUID

from schema.identity.budgets import CallerBudget
from schema.ids import new_id
from workers.limits.limits import LimitPolicy, Limits, Spent, Verdict
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient


class Clock:
    """A clock that tests advance."""

    def __init__(self, at: str = "2026-11-21T10:00:00+00:00") -> None:
        self.ms = int(datetime.fromisoformat(at).timestamp() * 1000)

    def __call__(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class FakeSpending:
    """What a tenant has spent, in place of Postgres; `reads` counts the queries."""

    def __init__(self, day: int = 0, month: int = 0) -> None:
        self.day, self.month, self.reads = day, month, 0
        self.callers: dict[str, Spent] = {}

    async def __call__(self, tenant_id: UUID, caller: CallerBudget | None = None) -> Spent:
        self.reads += 1
        return Spent(self.day, self.month) if caller is None else self.callers.get(caller.of, Spent(0, 0))


class Tenant:
    """The limits of one tenant."""

    def __init__(self, limits: Limits, **policy: Any) -> None:
        self.id, self.limits, self.policy = new_id(), limits, LimitPolicy(**policy)

    async def reserve(self, job_id: UUID | None = None, *, tokens: int = 1, nanos: int = 0) -> Verdict:
        return await self.limits.reserve(self.id, job_id or new_id(), self.policy, tokens=tokens, nanos=nanos)

    async def extend(self, job_id: UUID, *, tokens: int = 0, nanos: int = 0) -> bool:
        return await self.limits.extend(self.id, job_id, self.policy, tokens=tokens, nanos=nanos)

    async def settle(self, job_id: UUID, *, tokens: int = 0, nanos: int = 0, refund_request: bool = False) -> bool:
        return await self.limits.settle(self.id, job_id, tokens=tokens, nanos=nanos, refund_request=refund_request)

    async def used(self) -> dict[str, int]:
        return {quota.name: quota.used for quota in await self.limits.get_quotas(self.id, self.policy)}


async def call_at_once(redis_url: str, tenant_id: UUID, calls: int, limit: int) -> int:
    """Reserve for `calls` jobs concurrently when a line arrives; return how many were allowed."""
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    limits = Limits(redis_client, FakeSpending())
    policy = LimitPolicy(requests_per_minute=limit)
    await redis_client.call("PING")
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    verdicts = await asyncio.gather(
        *(limits.reserve(tenant_id, new_id(), policy, tokens=1, nanos=0) for _ in range(calls))
    )
    await redis_client.close()
    return sum(verdict.allowed for verdict in verdicts)


if __name__ == "__main__":
    print(asyncio.run(call_at_once(sys.argv[1], UUID(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
