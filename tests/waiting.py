"""Waiting for an outcome. The cap is there for what hangs, never to measure: a slow machine must not fail a test."""

import asyncio
import contextlib
import functools
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

PATIENCE_S = 300.0
"""How long any test waits for anything; many times what a busy, slow machine takes."""

LONGEST_TEST_S = 2 * PATIENCE_S
"""How long any test lasts: one that waits for something without a cap fails where it waits, and the run goes on."""

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25


def pauses(within_s: float = PATIENCE_S) -> Iterator[float]:
    """The pauses between looks, a tenth of what was waited so far: whoever waits longer looks less often, since each look may
    cost a connection, and takes its processor time from what is waited for. Ends when patience does."""
    start = time.monotonic()
    while (waited := time.monotonic() - start) < within_s:
        yield min(max(FIRST_PAUSE_S, waited / 10), LONGEST_PAUSE_S)


def bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return `test`, which ends with a TimeoutError where it hangs."""

    @functools.wraps(test)
    async def within_bound(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(LONGEST_TEST_S):
            await test(*args, **kwargs)

    return within_bound


async def wait_for(happened: Callable[[], Any], what: str) -> Any:
    """Return the first true answer of `happened()`, which may be a coroutine function; fail when none comes."""
    for pause_s in pauses():
        answer = happened()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        await asyncio.sleep(pause_s)
    raise AssertionError(f"waited {PATIENCE_S:g} s in vain until {what}")


def wait_until(happened: Callable[[], object], what: str) -> None:
    """`wait_for` for tests without an event loop."""
    for pause_s in pauses():
        if happened():
            return
        time.sleep(pause_s)
    raise AssertionError(f"waited {PATIENCE_S:g} s in vain until {what}")


async def eventually(asked: Callable[[], Any], wanted: Any) -> None:
    """Return when `await asked()` gives `wanted`; the failure says what it gave instead."""
    found = None
    for pause_s in pauses():
        if (found := await asked()) == wanted:
            return
        await asyncio.sleep(pause_s)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {wanted!r}, it is {found!r}")


@contextlib.contextmanager
def not_for_ever(cpu_s: float = 30.0) -> Iterator[None]:
    """Fail the test when what is inside takes that much processor time, as a search does that explodes; others' work
    doesn't count, and neither does waiting."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still at work after {cpu_s:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
