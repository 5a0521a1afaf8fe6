"""Work that is only worth doing while the client is there."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar.types import Receive

from api.http.sse import client_left

Result = TypeVar("Result")


class ClientDisconnected(Exception):
    """Nobody is there to be answered."""


async def cancel_on_disconnect(
    receive: Receive, work: Coroutine[Any, Any, Result], timeout_s: float | None = None
) -> Result:
    """Return what `work` returns; it is cancelled when the client closes the connection, or time is up.

    The request's body must have been read. Raises ClientLeft or TimeoutError.
    """
    loop = asyncio.get_running_loop()
    task, gone = loop.create_task(work), loop.create_task(client_left(receive))
    try:
        await asyncio.wait((task, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnected if gone.done() else TimeoutError
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.wait((task, gone))
