"""Removes keys from Redis by a pattern: a tenant's, or all of headrace's."""

from workers.redis.client import RedisClient

KEYS_AT_ONCE = 500


async def forget(redis: RedisClient, pattern: str) -> None:
    """Delete all keys that match, of which there may be millions. Raises RedisUnavailable."""
    cursor = b"0"
    while True:
        cursor, names = await redis.call("SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_AT_ONCE)
        if names:
            await redis.call("UNLINK", *names)
        if cursor == b"0":
            return
