"""Receivers that get nothing for a while, since they asked for it: kept in Redis, so that the API can say so. Deliverers go by
what they know themselves; without Redis nothing is said (fails open)."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from schema import redis_names
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.webhooks.send import Answer

log = structlog.get_logger()


class Hold(msgspec.Struct, frozen=True):
    """Until when a receiver gets nothing, and why."""

    until: datetime
    why: str


async def note_hold(redis: RedisClient, tenant_id: UUID, lane: str, answer: Answer, held_s: float) -> None:
    """Note that a lane is held, after an answer."""
    hold = Hold(datetime.now(UTC) + timedelta(seconds=held_s), describe_hold(answer))
    key = redis_names.webhook_hold(tenant_id, lane)
    try:
        await redis.call("SET", key, msgspec.json.encode(hold), "PX", max(1, round(held_s * 1000)))
    except (RedisUnavailable, ReplyError):
        log.info("webhook_hold_not_noted")


def describe_hold(answer: Answer) -> str:
    """Return why, for people."""
    asked = answer.retry_after_s
    return (
        f"The receiver answered with status {answer.status}{'' if asked is None else f' and Retry-After: {asked:g} s'}."
    )


async def read_holds(redis: RedisClient, tenant_id: UUID, lanes: Collection[str]) -> Mapping[str, Hold]:
    """Return the holds of those lanes that are held."""
    if not lanes:
        return {}
    names = list(dict.fromkeys(lanes))
    try:
        found = await redis.call("MGET", *(redis_names.webhook_hold(tenant_id, lane) for lane in names))
    except (RedisUnavailable, ReplyError):
        return {}
    return {lane: msgspec.json.decode(raw, type=Hold) for lane, raw in zip(names, found, strict=True) if raw}
