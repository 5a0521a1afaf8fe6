"""Starts an embedded store again when it ends, as the supervisor does with the processes that use it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from api.local.errors import LocalError
from api.local.restarts import Restarts
from api.local.stores.local_stores import Stores
from api.local.stores.store import START_LIMIT_S, EmbeddedStore
from api.local.supervisor import Output

CHECK_INTERVAL_S = 0.1


@contextlib.asynccontextmanager
async def supervised_stores(stores: Stores, output: Output) -> AsyncIterator[None]:
    """Restart the embedded stores whenever they end, until the context ends. Use it in the main thread's event loop."""
    embedded: Iterable[EmbeddedStore | None] = (stores.postgres, stores.valkey)
    tasks = [asyncio.create_task(_keep_running(store, output)) for store in embedded if store is not None]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(store: EmbeddedStore, output: Output) -> None:
    restarts = Restarts(store.name)
    restarts.note_start()
    while True:
        while (code := store.exit_code) is None:
            await asyncio.sleep(CHECK_INTERVAL_S)
        delay = restarts.note_exit()
        _say(output, restarts.message(code, delay, store.last_output()))
        if mended := store.mend():
            _say(output, mended)
        await asyncio.sleep(delay)
        restarts.note_start()
        await _start(store, output)


async def _start(store: EmbeddedStore, output: Output) -> None:
    """Start the store, and say when it answers; if it doesn't, it is ended, and so restarted."""
    try:
        store.launch()
        async with asyncio.timeout(START_LIMIT_S):
            while store.exit_code is None:
                if await asyncio.to_thread(store.is_ready):
                    _say(output, f"{store.name} answers again.")
                    return
                await asyncio.sleep(CHECK_INTERVAL_S)
    except TimeoutError:
        store.signal_kill()
    except (LocalError, OSError) as error:
        _say(output, f"{store.name} can't be started: {error}")


def _say(output: Output, text: str) -> None:
    for line in text.splitlines():
        output.write("headrace", line)
