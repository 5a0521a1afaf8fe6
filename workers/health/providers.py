"""Checks of the vendors of models, from what real calls of all processes met: nothing is called for a check. Only Ollama, which
costs nothing, is asked for its list. Calls with tenants' own keys don't count.

A vendor that fails is taken out for new jobs: where an agent's models, or the fallbacks of a model, have another vendor, that
is tried first. Half a minute after its last failure jobs begin with it again, so that real calls find out whether it works;
when one has succeeded, every process closes its breakers for it.
"""

import asyncio
from collections.abc import Mapping

from graphs.providers.calls.log import EMBEDDER, RecentCalls
from graphs.providers.offline import provider as offline
from graphs.providers.registry import Providers
from schema.errors import ProviderError
from schema.redis_names import embedding_requests
from workers.embedding.protocol import MAX_QUEUED
from workers.health.checks import Finding, NoData, PartDown
from workers.health.healing_audit import HealingAudit
from workers.health.reports import living, read_reports, set_failing_providers
from workers.health.watch import Part
from workers.redis.client import RedisClient

OLLAMA = "ollama"
MIN_FAILURES = 3
FRESH_S = 30.0
"""How long after its last failure a vendor is avoided, and its last success counts."""
BELIEVED_S = 15.0
FAILING_SHARE = 0.5
LIST_S = 1.5


def sum_up(calls: list[RecentCalls]) -> RecentCalls | None:
    """Return the calls of several processes together; None if there were none. `in_row` counts those of processes whose calls
    have all failed since any of them succeeded last."""
    if not calls:
        return None
    ok_ago_s = min((one.ok_ago_s for one in calls if one.ok_ago_s is not None), default=None)
    last = min(calls, key=lambda one: one.failed_ago_s if one.failed_ago_s is not None else float("inf"))
    return RecentCalls(
        ok=sum(one.ok for one in calls),
        failed=sum(one.failed for one in calls),
        in_row=sum(one.in_row for one in calls if ok_ago_s is None or (one.row_ago_s or 0.0) < ok_ago_s),
        ok_ago_s=ok_ago_s,
        failed_ago_s=last.failed_ago_s,
        code=last.code,
    )


def judge(calls: RecentCalls | None) -> Finding:
    """Return what calls say of who was called. Raises NoData for none, and PartDown if the last ones all failed."""
    if calls is None:
        raise NoData
    detail = {"calls": calls.ok + calls.failed, "failed": calls.failed}
    if calls.in_row >= MIN_FAILURES:
        raise PartDown(f"The last {calls.in_row} calls failed ({calls.code}).", detail=detail)
    if calls.in_row:
        raise NoData(detail)
    if calls.failed >= MIN_FAILURES and calls.failed >= FAILING_SHARE * (calls.ok + calls.failed):
        return Finding(detail, f"{calls.failed} of {calls.ok + calls.failed} calls in a minute failed ({calls.code}).")
    return Finding(detail)


class ProviderWatch:
    """Watches the vendors that the installation has configured."""

    def __init__(self, redis: RedisClient, providers: Providers, audit: HealingAudit) -> None:
        self._redis, self._providers, self._audit = redis, providers, audit
        self._names = [name for name in providers.settings.names if name != offline.NAME]
        self._failing: dict[str, bool] = {}
        self._taken_out = set[str]()

    def parts(self) -> dict[str, Part]:
        """Return a part for each vendor."""
        return {
            f"provider/{name}": Part(lambda name=name: self._find(name), depends_on=("redis",)) for name in self._names
        }

    async def _find(self, name: str) -> Finding:
        calls = await recent_calls(self._redis, name)
        try:
            found = judge(calls)
        except PartDown:
            self._failing[name] = calls is not None and (calls.failed_ago_s or 0.0) < FRESH_S
            raise
        except NoData as nothing:
            if name != OLLAMA:
                raise
            found = Finding(nothing.detail)
        if name == OLLAMA:
            await self._ask_for_list(found)
        self._failing.pop(name, None)
        return found

    async def _ask_for_list(self, found: Finding) -> None:
        try:
            async with asyncio.timeout(LIST_S):
                await self._providers.get(OLLAMA).list_models()
        except TimeoutError:
            code = "provider_timeout"
        except ProviderError as error:
            code = error.code
        else:
            return
        self._failing[OLLAMA] = True
        raise PartDown(f"It doesn't list its models ({code}).", detail=found.detail)

    async def take_out_failing(self) -> None:
        """Tell all processes which vendors fail; write down which are taken out, and which are put back as they work."""
        await set_failing_providers(self._redis, self._failing, for_s=BELIEVED_S)
        for name in sorted(self._failing.keys() - self._taken_out):
            await self._audit.record("provider.taken_out", f"provider:{name}")
            self._taken_out.add(name)
        for name in sorted(self._taken_out - self._failing.keys()):
            await self._audit.record("provider.put_back", f"provider:{name}")
            self._taken_out.discard(name)


async def recent_calls(redis: RedisClient, name: str) -> RecentCalls | None:
    """Return the calls of all living processes."""
    now, reports = await read_reports(redis)
    return sum_up([report.calls[name] for report in living(now, reports) if name in report.calls])


async def find_embedder(redis: RedisClient) -> Finding:
    """Check the installation's embedder: whether what it was asked for succeeded, and whether somebody takes requests."""
    now, reports = await read_reports(redis)
    alive = living(now, reports)
    waiting = {queue: int(await redis.call("LLEN", embedding_requests(queue))) for queue in ("query", "bulk")}
    detail: Mapping[str, float] = {f"{queue}_waiting": n for queue, n in waiting.items()}
    if not any(report.queue for report in alive):
        raise NoData(detail)
    if max(waiting.values()) > MAX_QUEUED / 2:
        return Finding(detail, f"{max(waiting.values())} requests for vectors wait.")
    try:
        found = judge(sum_up([report.calls[EMBEDDER] for report in alive if EMBEDDER in report.calls]))
    except PartDown as down:
        raise PartDown(str(down), detail={**detail, **down.detail}) from None
    except NoData as nothing:
        return Finding({**detail, **nothing.detail})
    return Finding({**detail, **found.detail}, found.trouble)
