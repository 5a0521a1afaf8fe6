"""Slows down who guesses passwords: five failures for a person and twenty from an address within a quarter of an hour, then
neither is listened to until the quarter is over.

A try for a person counts before its password is looked at, so that a thousand tries at once are still five guesses; the one
that is right clears the count. Fails open: without Redis nobody is slowed down, since the cost of Argon2 and two threads for
it still bound a process to a few dozen guesses a second, and an outage must not lock everybody out.
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
PER_PERSON = 5
PER_ADDRESS = 20


class Throttle:
    """Counts the failed sign-ins of a person, named by tenant, slug and email, and of an address."""

    def __init__(self, redis: RedisClient, tenant_id: UUID, who: str, address: str | None) -> None:
        self._wire = redis
        self._person = login_failures(tenant_id, short_hash(who))
        self._address = address_failures(short_hash(address)) if address else None

    async def enter(self) -> None:
        """Count a try. Raises LimitReached when there were too many."""
        replies = await self._send(
            ("SET", self._person, 0, "EX", WINDOW_S, "NX"), ("INCR", self._person), ("TTL", self._person)
        )
        if replies is not None:
            await self._judge(self._person, replies[1], replies[2], PER_PERSON)
        if self._address is not None:
            replies = await self._send(("GET", self._address), ("TTL", self._address))
            if replies is not None:
                await self._judge(self._address, int(replies[0] or 0) + 1, replies[1], PER_ADDRESS)

    async def failed(self) -> None:
        """Count a failure against its address."""
        if self._address is not None:
            await self._send(("SET", self._address, 0, "EX", WINDOW_S, "NX"), ("INCR", self._address))

    async def succeeded(self) -> None:
        """Forget what a person did wrong before they got it right."""
        await self._send(("DEL", self._person))

    async def _judge(self, name: str, tries: int, left_s: int, most: int) -> None:
        if left_s == -1:  # it ran out between the two commands and began anew without an end
            await self._send(("EXPIRE", name, WINDOW_S))
        if tries > most:
            wait_s = left_s if left_s > 0 else WINDOW_S
            raise LimitReached(
                f"Too many failed sign-ins. Try again in {-(-wait_s // 60)} minutes.",
                code="rate_limit_exceeded",
                retry_after_s=wait_s,
            )

    async def _send(self, *commands: tuple[Any, ...]) -> list[Any] | None:
        try:
            replies = await self._wire.send(commands)
        except RedisUnavailable:
            return None
        refusal = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if refusal is not None:
            log.warning("sign_in_not_counted", why=str(refusal)[:100])
            return None
        return replies


def short_hash(text: str) -> str:
    """Return what stands for a name that must not be read in Redis or in the audit log: 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
