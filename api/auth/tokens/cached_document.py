"""Caches one document of an external issuer: fetched once for all concurrent callers, refreshed when it is old, and still
served while the issuer is unavailable.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from schema.errors import EgressFailed

log = structlog.get_logger()

T = TypeVar("T")

FRESH_FOR_S = 600.0
REFETCH_INTERVAL_S = 60.0
MAX_STALE_S = 24 * 3600.0
FAILURE_TTL_S = 5.0
"""How long a failure is cached while there is no document to fall back on."""

NEVER = float("-inf")


class CachedDocument(Generic[T]):
    """`fetch` returns the document, or raises EgressFailed if it can't be fetched or used. `clock` is monotonic.

    A document is fresh for ten minutes. While the issuer is unavailable it is asked once a minute, and the last document stays
    valid for a day: signing in fails open for that long, so an issuer's outage is not ours."""

    def __init__(self, name: str, fetch: Callable[[], Awaitable[T]], clock: Callable[[], float]) -> None:
        self._name = name
        self._fetch_document = fetch
        self._clock = clock
        self._document: T | None = None
        self._fetched_at = NEVER
        self._failure = EgressFailed(f"{name} has not been fetched yet.")
        self._failed_at = NEVER
        self._refetched_at = NEVER
        self._fetch_task: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """Return the document. Raises EgressFailed if it can't be fetched and the last one is too old."""
        if self._age() >= FRESH_FOR_S and self._clock() - self._failed_at >= self._retry_delay_s():
            await self._fetch()
        return self._usable()

    async def refetch(self) -> T:
        """Like `get`, but fetch now, unless that was done within the last minute."""
        if self._clock() - self._refetched_at >= REFETCH_INTERVAL_S:
            self._refetched_at = self._clock()
            await self._fetch()
        elif self._fetch_task is not None:
            await self._fetch()
        return self._usable()

    async def aclose(self) -> None:
        if self._fetch_task is not None:
            self._fetch_task.cancel()
            await asyncio.gather(self._fetch_task, return_exceptions=True)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _retry_delay_s(self) -> float:
        return REFETCH_INTERVAL_S if self._age() < MAX_STALE_S else FAILURE_TTL_S

    def _usable(self) -> T:
        if self._document is None or self._age() >= MAX_STALE_S:
            raise type(self._failure)(self._failure.message)
        return self._document

    async def _fetch(self) -> None:
        """Join the fetch in progress, or start one. A caller that is cancelled does not cancel it for the others."""
        if self._fetch_task is None:
            self._fetch_task = asyncio.create_task(self._fetch_once())
        await asyncio.shield(self._fetch_task)

    async def _fetch_once(self) -> None:
        try:
            self._document = await self._fetch_document()
            self._fetched_at, self._failed_at = self._clock(), NEVER
        except EgressFailed as error:
            self._failure, self._failed_at = error, self._clock()
            log.warning("issuer_fetch_failed", what=self._name, code=error.code, why=error.message)
        finally:
            self._fetch_task = None
