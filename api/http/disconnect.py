"""Cancels work when the client disconnects."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar.types import Receive

from api.http.sse import wait_for_disconnect

Result = TypeVar("Result")


class ClientDisconnected(Exception):
    """The client has closed the connection."""


async def cancel_on_disconnect(
    receive: Receive, work: Coroutine[Any, Any, Result], timeout_s: float | None = None
) -> Result:
    """Return what `work` returns; cancel it if the client disconnects or time is up.

    The request's body must have been read. Raises ClientDisconnected or TimeoutError.
    """
    loop = asyncio.get_running_loop()
    task, disconnected = loop.create_task(work), loop.create_task(wait_for_disconnect(receive))
    try:
        await asyncio.wait((task, disconnected), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnected if disconnected.done() else TimeoutError
    finally:
        disconnected.cancel()
        task.cancel()
        await asyncio.wait((task, disconnected))
