"""Doorbells of lines: "this line of this batch is to be called", for any API process. Ids only; a lost one is rung again, and a
second one finds the line held."""

from collections.abc import Sequence

import msgspec

from schema import redis_names
from schema.queries.batches.batches import LineName
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

QUEUE_TTL_S = 60
"""After this long without a new doorbell, those that nobody answered are deleted."""
MAX_RUNG = 10_000

_decode = msgspec.json.Decoder(LineName).decode


async def ring_lines(redis: RedisClient, lines: Sequence[LineName]) -> None:
    """Ring for lines. Without Redis nothing happens: they are rung for again."""
    key = redis_names.BATCH_LINES
    commands = [("LPUSH", key, *(msgspec.json.encode(line) for line in lines))]
    try:
        await redis.send([*commands, ("LTRIM", key, 0, MAX_RUNG - 1), ("EXPIRE", key, QUEUE_TTL_S)])
    except (RedisUnavailable, ReplyError):
        return


def read_doorbell(data: bytes) -> LineName | None:
    """Return the line that is rung for; None if it is malformed."""
    try:
        return _decode(data)
    except msgspec.MsgspecError:
        return None
