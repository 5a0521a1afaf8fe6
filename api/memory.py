"""Answers that are good for a second: who is calling is asked of Postgres once a second and caller, not once a request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

KEEP_S = 1.0
KEPT = 10_000  # answers, then all are forgotten


class Memory:
    """Answers of look-ups, for a second each; callers that come together share one."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, key: Any, look_up: Callable[[], Awaitable[Any]]) -> Any:
        """Return what is known of `key`, or look it up. None and errors are not kept."""
        loop = asyncio.get_running_loop()
        until, known = self._known.get(key, (0.0, None))
        if known is None or until < loop.time():
            if len(self._known) >= KEPT:
                self._known.clear()
            known = asyncio.ensure_future(look_up())
            self._known[key] = (loop.time() + KEEP_S, known)
        try:
            # Shielded: the caller that began the look-up may leave while others still wait for it.
            found = await asyncio.shield(known)
        except BaseException:
            self._known.pop(key, None)
            raise
        if found is None:
            self._known.pop(key, None)
        return found
