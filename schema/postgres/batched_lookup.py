"""Look-ups of many callers, answered together.

While one look-up is under way, those that come meanwhile wait, and go out as the next one. So a thousand clients that reconnect
at once cost a few round trips and one connection, instead of queueing for a connection each until they time out. Nothing is
kept: an answer is as fresh as its caller (`schema/ttl_cache.py` keeps answers).
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BatchedLookup(Generic[K, V]):
    """Calls `load` with up to `most` keys at a time, one call at a time; it returns the value of each key that has one."""

    def __init__(self, load: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, most: int = 200) -> None:
        self._load, self._most = load, most
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def find(self, key: K) -> V | None:
        """Return the value of `key`, or None. Raises what the call of `load` that it was part of raised."""
        answer = self._waiting.get(key)
        if answer is None:
            loop = asyncio.get_running_loop()
            answer = self._waiting[key] = loop.create_future()
            if self._task is None or self._task.done():
                self._task = loop.create_task(self._run(), name="batched look-up")
        return await asyncio.shield(answer)  # others may wait for it, too

    async def _run(self) -> None:
        while self._waiting:
            keys = list(islice(self._waiting, self._most))
            answers = {key: self._waiting.pop(key) for key in keys}
            try:
                found = await self._load(keys)
            except Exception as error:  # noqa: BLE001 -- it is for those who wait
                for answer in answers.values():
                    answer.set_exception(error)
                    answer.exception()  # retrieved, even if nobody waits any more
            except BaseException:
                for answer in answers.values():
                    answer.cancel()
                raise
            else:
                for key, answer in answers.items():
                    answer.set_result(found.get(key))
