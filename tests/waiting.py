"""Waiting for an outcome. The cap is there for what hangs, never to measure: a slow machine must not fail a test."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

PATIENCE_S = 120.0
"""How long any test waits for anything; many times what a busy, slow machine takes."""


async def wait_for(happened: Callable[[], Any], what: str, *, within_s: float = PATIENCE_S) -> Any:
    """Return the first true answer of `happened()`, which may be a coroutine function; fail when none comes."""
    give_up = time.monotonic() + within_s
    while True:
        answer = happened()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < give_up, f"waited {within_s:g} s in vain until {what}"
        await asyncio.sleep(0.02)


def wait_until(happened: Callable[[], object], what: str) -> None:
    """`wait_for` for tests without an event loop."""
    give_up = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < give_up, f"waited {PATIENCE_S:g} s in vain until {what}"
        time.sleep(0.02)


async def eventually(asked: Callable[[], Any], wanted: Any) -> None:
    """Return when `await asked()` gives `wanted`; the failure says what it gave instead."""
    give_up = time.monotonic() + PATIENCE_S
    while (found := await asked()) != wanted:
        assert time.monotonic() < give_up, f"waited {PATIENCE_S:g} s for {wanted!r}, it is {found!r}"
        await asyncio.sleep(0.02)


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
