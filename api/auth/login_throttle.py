"""Slows down the guessing of passwords, without locking anybody out who has signed in before.

| who tries | within 15 minutes |
|---|---|
| a device on which this user has signed in (`api/auth/device_cookie.py`) | 10 wrong tries, and nobody else's count |
| one address, for one user | 5 wrong tries |
| one address, for anybody | 20 wrong tries |
| all addresses from which this user has never signed in, for this user | 50 wrong tries |

So strangers use up their own tries, never those of a user at a known device or address. OWASP: "Slow Down Online Guessing
Attacks with Device Cookies". An attempt counts before its password is checked, in one step for all counters, so a thousand
concurrent attempts are still five guesses; it is taken back when it was no wrong guess. IPv6 addresses count by /64, which is
what one customer has.

Fails open: without Redis nobody is throttled. Two Argon2 threads still limit a process to a few dozen guesses a second, and an
outage must not lock everybody out.
"""

import hashlib
import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from schema.errors import LimitReached
from schema.redis_names import address_failures, login_failures
from workers.redis.client import RedisClient, RedisUnavailable

log = structlog.get_logger()

LUA = Path(__file__).parent / "lua"
COUNT_ATTEMPT = (LUA / "count_attempt.lua").read_text()
TAKE_BACK_ATTEMPT = (LUA / "take_back_attempt.lua").read_text()

WINDOW_S = 900
MAX_DEVICE_FAILURES = 10
MAX_USER_FAILURES = 5
"""Of one user, from one address."""
MAX_ADDRESS_FAILURES = 20
MAX_STRANGER_FAILURES = 50

STRANGERS = "strangers"
IPV6_CUSTOMER_BITS = 64


@dataclass(frozen=True)
class Counter:
    """A field of a hash in Redis that counts attempts. `shared`: others count there too, so a success doesn't empty it."""

    key: str
    field: str
    limit: int
    shared: bool = False


class LoginThrottle:
    """Counts the attempts of one sign-in."""

    def __init__(self, redis: RedisClient, counters: Sequence[Counter]) -> None:
        self._redis, self._counters = redis, counters

    async def count_attempt(self) -> None:
        """Count an attempt in all counters. Raises LimitReached, and counts nothing, if one is full."""
        limits = [part for counter in self._counters for part in (counter.field, counter.limit)]
        keys = [counter.key for counter in self._counters]
        reply = await self._call("EVAL", COUNT_ATTEMPT, len(keys), *keys, WINDOW_S, *limits)
        if reply is not None and reply[0] > 0:
            raise _too_many(self._counters[reply[0] - 1], reply[1])

    async def take_back(self) -> None:
        """Uncount the attempt, which was no guess."""
        await self._take_back(self._counters)

    async def reset(self) -> None:
        """After a success: empty the counters that are the user's alone, and uncount the attempt in the others."""
        for counter in self._counters:
            if not counter.shared:
                await self._call("HDEL", counter.key, counter.field)
        await self._take_back([counter for counter in self._counters if counter.shared])

    async def _take_back(self, counters: Sequence[Counter]) -> None:
        keys, fields = [counter.key for counter in counters], [counter.field for counter in counters]
        if keys:
            await self._call("EVAL", TAKE_BACK_ATTEMPT, len(keys), *keys, *fields)

    async def _call(self, *command: Any) -> Any:
        try:
            (reply,) = await self._redis.send([command])
        except RedisUnavailable:
            return None
        if isinstance(reply, Exception):
            log.warning("sign_in_not_counted", why=str(reply)[:100])
            return None
        return reply


def sign_in_throttle(
    redis: RedisClient,
    tenant_id: UUID,
    user: str,
    *,
    address: str | None,
    device: str | None,
    known_addresses: Collection[str] = (),
) -> LoginThrottle:
    """The throttle of a sign-in with a password. `user` is any text that identifies one in the tenant; `device` is the id in
    their device cookie; `known_addresses` are those of their latest sign-ins."""
    key = login_failures(tenant_id, short_hash(user))
    if device is not None:
        return LoginThrottle(redis, [Counter(key, f"device:{device}", MAX_DEVICE_FAILURES)])
    network = client_network(address) if address else "unknown"
    counters = [Counter(key, f"address:{short_hash(network)}", MAX_USER_FAILURES), *_address_counter(address)]
    if network not in {client_network(known) for known in known_addresses}:
        counters.append(Counter(key, STRANGERS, MAX_STRANGER_FAILURES, shared=True))
    return LoginThrottle(redis, counters)


def guess_throttle(redis: RedisClient, tenant_id: UUID, subject: str, address: str | None) -> LoginThrottle:
    """The throttle of another secret that can be guessed: five tries for the `subject`, twenty for an address."""
    subject_counter = Counter(login_failures(tenant_id, short_hash(subject)), "guesses", MAX_USER_FAILURES)
    return LoginThrottle(redis, [subject_counter, *_address_counter(address)])


async def forget_attempts(redis: RedisClient, tenant_id: UUID, user: str) -> None:
    """Delete all that is counted of a user."""
    try:
        await redis.send([("DEL", login_failures(tenant_id, short_hash(user)))])
    except RedisUnavailable:
        log.warning("sign_in_attempts_not_deleted")


def login_name(slug: str, email: str) -> str:
    """Return the text by which a sign-in with a password identifies a user, whether or not there is one."""
    return f"{slug} {email}"


def client_network(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = getattr(ip, "ipv4_mapped", None)
    if ip.version == 4 or mapped is not None:
        return str(mapped or ip)
    return str(ipaddress.ip_network((int(ip), IPV6_CUSTOMER_BITS), strict=False))


def short_hash(text: str) -> str:
    """Return 16 hex digits in place of a name that must not be readable in Redis or in the audit log."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _address_counter(address: str | None) -> list[Counter]:
    if address is None:
        return []
    return [Counter(address_failures(short_hash(client_network(address))), "all", MAX_ADDRESS_FAILURES, shared=True)]


def _too_many(counter: Counter, left_s: int) -> LimitReached:
    wait_s = left_s if left_s > 0 else WINDOW_S
    elsewhere = ", or from a device or network from which you have signed in before" * (counter.field == STRANGERS)
    return LimitReached(
        f"Too many failed sign-ins. Try again in {-(-wait_s // 60)} minutes{elsewhere}.",
        code="rate_limit_exceeded",
        retry_after_s=wait_s,
    )
