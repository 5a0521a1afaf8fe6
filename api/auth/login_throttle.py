"""Throttles password guessing: after five failures for a user, or twenty from an IP address, within 15 minutes, further
sign-ins are refused until the 15 minutes are over.

An attempt counts before its password is checked, so a thousand concurrent attempts are still five guesses; a correct password
resets the count. Fails open: without Redis nobody is throttled. Two Argon2 threads still limit a process to a few dozen guesses
a second, and an outage must not lock everybody out.
"""

import hashlib
from typing import Any
from uuid import UUID

import structlog

from schema.errors import LimitReached
from schema.redis_names import address_failures, login_failures
from workers.redis.client import RedisClient, RedisUnavailable

log = structlog.get_logger()

WINDOW_S = 900
MAX_USER_FAILURES = 5
MAX_ADDRESS_FAILURES = 20


class LoginThrottle:
    """Counts the failed sign-ins of a user (any text that identifies one) in a tenant, and of an IP address."""

    def __init__(self, redis: RedisClient, tenant_id: UUID, user: str, address: str | None) -> None:
        self._redis = redis
        self._user_key = login_failures(tenant_id, short_hash(user))
        self._address_key = address_failures(short_hash(address)) if address else None

    async def count_attempt(self) -> None:
        """Count an attempt. Raises LimitReached if there were too many."""
        replies = await self._send(
            ("SET", self._user_key, 0, "EX", WINDOW_S, "NX"), ("INCR", self._user_key), ("TTL", self._user_key)
        )
        if replies is not None:
            await self._check_limit(self._user_key, replies[1], replies[2], MAX_USER_FAILURES)
        if self._address_key is not None:
            replies = await self._send(("GET", self._address_key), ("TTL", self._address_key))
            if replies is not None:
                await self._check_limit(self._address_key, int(replies[0] or 0) + 1, replies[1], MAX_ADDRESS_FAILURES)

    async def record_failure(self) -> None:
        """Count a failure of the address."""
        if self._address_key is not None:
            await self._send(("SET", self._address_key, 0, "EX", WINDOW_S, "NX"), ("INCR", self._address_key))

    async def reset(self) -> None:
        """Reset the user's count after a successful sign-in."""
        await self._send(("DEL", self._user_key))

    async def _check_limit(self, name: str, attempts: int, left_s: int, limit: int) -> None:
        if left_s == -1:  # the key expired between the two commands and was recreated without a TTL
            await self._send(("EXPIRE", name, WINDOW_S))
        if attempts > limit:
            wait_s = left_s if left_s > 0 else WINDOW_S
            raise LimitReached(
                f"Too many failed sign-ins. Try again in {-(-wait_s // 60)} minutes.",
                code="rate_limit_exceeded",
                retry_after_s=wait_s,
            )

    async def _send(self, *commands: tuple[Any, ...]) -> list[Any] | None:
        try:
            replies = await self._redis.send(commands)
        except RedisUnavailable:
            return None
        error = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if error is not None:
            log.warning("sign_in_not_counted", why=str(error)[:100])
            return None
        return replies


def short_hash(text: str) -> str:
    """Return 16 hex digits in place of a name that must not be readable in Redis or in the audit log."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
