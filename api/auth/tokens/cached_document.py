"""One document of a foreign issuer, kept as long as it is good: fetched once for all who ask, asked for again when it is
old, and still there while the issuer is away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from schema.errors import EgressFailed

log = structlog.get_logger()

T = TypeVar("T")

FRESH_S = 600.0
REFETCH_S = 60.0
LAST_GOOD_S = 24 * 3600.0
FAILED_S = 5.0
"""How long callers that have nothing to fall back on are told of a failure before the issuer is asked again."""

NEVER = float("-inf")


class CachedDocument(Generic[T]):
    """`read` fetches the document and raises EgressFailed when it is away or can't be used. `clock` is monotonic.

    A document is fresh for ten minutes. While the issuer is away it is asked once a minute, and what it said last holds
    for a day: signing in fails open for that long, so that an issuer's outage is not ours."""

    def __init__(self, name: str, read: Callable[[], Awaitable[T]], clock: Callable[[], float]) -> None:
        self._name = name
        self._read = read
        self._clock = clock
        self._good: T | None = None
        self._good_at = NEVER
        self._failure = EgressFailed(f"{name} has not been fetched yet.")
        self._failed_at = NEVER
        self._refetched_at = NEVER
        self._fetching: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """Return the document. Raises EgressFailed when it can't be had and the last good one is too old."""
        if self._age() >= FRESH_S and self._clock() - self._failed_at >= self._patience_s():
            await self._fetch()
        return self._last_good()

    async def refetch(self) -> T:
        """The same, but ask the issuer now, unless that was done within the last minute."""
        if self._clock() - self._refetched_at >= REFETCH_S:
            self._refetched_at = self._clock()
            await self._fetch()
        elif self._fetching is not None:
            await self._fetch()
        return self._last_good()

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _age(self) -> float:
        return self._clock() - self._good_at

    def _patience_s(self) -> float:
        return REFETCH_S if self._age() < LAST_GOOD_S else FAILED_S

    def _last_good(self) -> T:
        if self._good is None or self._age() >= LAST_GOOD_S:
            raise type(self._failure)(self._failure.message)
        return self._good

    async def _fetch(self) -> None:
        """Joins the fetch that is under way, or begins one. A caller who leaves does not end it for the others."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_once())
        await asyncio.shield(self._fetching)

    async def _fetch_once(self) -> None:
        try:
            self._good = await self._read()
            self._good_at, self._failed_at = self._clock(), NEVER
        except EgressFailed as error:
            self._failure, self._failed_at = error, self._clock()
            log.warning("issuer_fetch_failed", what=self._name, code=error.code, why=error.message)
        finally:
            self._fetching = None
