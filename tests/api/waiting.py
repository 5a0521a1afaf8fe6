"""Waiting for an outcome, with a cap, for tests of real processes."""

import asyncio
import time
from collections.abc import Callable

LIMIT_S = 20.0


def wait_until(happened: Callable[[], object], what: str) -> None:
    """Return when `happened()` is true; fails the test when it isn't within the cap."""
    give_up = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < give_up, f"waited {LIMIT_S:.0f} s in vain until {what}"
        time.sleep(0.01)


async def until(happened: Callable[[], object], what: str) -> None:
    """`wait_until` for tests with an event loop."""
    give_up = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < give_up, f"waited {LIMIT_S:.0f} s in vain until {what}"
        await asyncio.sleep(0.01)
