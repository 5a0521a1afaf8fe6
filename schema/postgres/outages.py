"""Waiting for Postgres: a job that runs outlasts an outage of up to a minute, because what it has done must not be lost.

    with waiting_for_postgres():            every connection that is asked for within is waited for
    await retry_while_down(operation)    and what broke half way is done again, if it may be

Requests don't wait: they are answered with 503, and their clients come again. Cancelling ends the waiting: a deadline, a
cancel and a lost lease count as ever.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from schema.errors import Unavailable

PATIENCE_S = 60.0
"""How long a job waits for Postgres before its attempt fails."""
FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0

Result = TypeVar("Result")

_patience_s: ContextVar[float] = ContextVar("headrace_patience", default=0.0)


@contextmanager
def waiting_for_postgres(seconds: float = PATIENCE_S) -> Generator[None]:
    """Wait so long for connections, in this task and those that it creates."""
    token = _patience_s.set(seconds)
    try:
        yield
    finally:
        _patience_s.reset(token)


def patience_s() -> float:
    """Return how long this task waits for a connection beyond the pool's own time-out."""
    return _patience_s.get()


async def retry_while_down(operation: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat an operation on Postgres while that is unavailable, up to the end of this task's patience; raise Unavailable
    after that.

    If the connection broke during a commit, the operation may have happened: only for what may be done twice.
    """
    loop, pause_s, until = asyncio.get_running_loop(), FIRST_PAUSE_S, 0.0
    while True:
        try:
            return await operation()
        except Unavailable:
            until = until or loop.time() + _patience_s.get()
            if loop.time() >= until:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)
