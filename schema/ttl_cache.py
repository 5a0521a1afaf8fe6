"""The in-memory cache that every folder uses: bounded, with entries that may expire.

Not for data that must outlive the process (Redis, Postgres), documents that stay valid while their source is unavailable
(`api/auth/tokens/cached_document.py`), or pure functions (`functools.lru_cache`).
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    expires_at: float
    weight: int


@dataclass(slots=True)
class _Load(Generic[V]):
    began_at: float
    task: "asyncio.Task[V]"


class TtlCache(Generic[K, V]):
    """Holds up to `size` entries for `ttl_s` seconds each; the least recently used is evicted first.

    Without `ttl_s` entries don't expire; it may be a function of the value. With `weigh`, `size` limits the sum of the
    weights, but the newest entry is always kept. Not thread-safe.
    """

    def __init__(
        self,
        size: int,
        ttl_s: float | Callable[[V], float] | None = None,
        *,
        weigh: Callable[[V], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size, self._ttl_s, self._weigh, self._clock = size, ttl_s, weigh, clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._loads: dict[K, _Load[V]] = {}
        self._weight = 0

    def get(self, key: K) -> V | None:
        """Return the value; None if it is missing or has expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= self._clock():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: K, value: V) -> None:
        """Store a value."""
        self._put(key, value, self._clock())

    def discard(self, key: K) -> None:
        """Delete a key. The result of a running load is not stored either, but its callers still get it."""
        self._loads.pop(key, None)
        self._remove(key)

    def discard_where(self, belongs: Callable[[K, V], bool]) -> None:
        """Delete the entries that `belongs` is true of. The results of running loads are not stored either."""
        self._loads.clear()
        for key in [key for key, entry in self._entries.items() if belongs(key, entry.value)]:
            self._remove(key)

    def clear(self) -> None:
        """Delete all entries."""
        self._loads.clear()
        self._entries.clear()
        self._weight = 0

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        """Return the value, created if missing. Errors of `make` are passed on."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value

    async def load(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """Return the value, loaded if missing. Concurrent callers share one load.

        The age of a value counts from the start of its load. None and errors are not cached. Cancelling one caller does not
        cancel the load for the others.
        """
        value = self.get(key)
        if value is not None:
            return value
        now, under_way = self._clock(), self._loads.get(key)
        if under_way is None or self._is_late(under_way, now):
            task = asyncio.ensure_future(self._run(key, load, now))
            under_way = self._loads[key] = _Load(now, task)
            task.add_done_callback(_retrieve)
        return await asyncio.shield(under_way.task)

    def __contains__(self, key: K) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.expires_at > self._clock()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    async def _run(self, key: K, load: Callable[[], Awaitable[V]], began_at: float) -> V:
        task = asyncio.current_task()
        try:
            value = await load()
            if value is not None and self._is_current(key, task):
                self._put(key, value, began_at)
            return value
        finally:
            if self._is_current(key, task):
                del self._loads[key]

    def _is_current(self, key: K, task: object) -> bool:
        under_way = self._loads.get(key)
        return under_way is not None and under_way.task is task

    def _is_late(self, under_way: _Load[V], now: float) -> bool:
        """Whether the result of a load would have expired already."""
        return isinstance(self._ttl_s, int | float) and under_way.began_at + self._ttl_s <= now

    def _put(self, key: K, value: V, now: float) -> None:
        ttl_s = self._ttl_s(value) if callable(self._ttl_s) else self._ttl_s
        weight = 1 if self._weigh is None else self._weigh(value)
        self._remove(key)
        self._entries[key] = _Entry(value, math.inf if ttl_s is None else now + ttl_s, weight)
        self._weight += weight
        while self._weight > self._size and len(self._entries) > 1:
            self._weight -= self._entries.popitem(last=False)[1].weight

    def _remove(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= entry.weight


def _retrieve(task: "asyncio.Task[object]") -> None:
    """Mark an error as retrieved: the callers, if any, get it from the task."""
    if not task.cancelled():
        task.exception()
