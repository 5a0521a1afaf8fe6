"""An asyncio pool for Celery: hundreds of coroutine tasks on one event loop, in one process.

Celery 5.7 has no asyncio pool. This one runs Celery's unmodified tracer in a greenlet on the thread of the event loop.
When a task returns a coroutine, the greenlet passes it to the loop and is suspended. So names, states and events in
Flower are the usual ones, a job needs no thread, and `Task.cancel()` stops it. `BasePool` is a documented extension
point; no private API of Celery is used. Compared to `-P threads` it is as fast, with a third of the memory
(`DECISIONS.md`).

Not here: leases, cancels and deadlines, which don't depend on the pool (`workers/queue/`).
"""

import asyncio
import contextvars
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import greenlet
import structlog
import uvloop
from billiard.einfo import ExceptionInfo
from celery import Task
from celery.concurrency.base import BasePool

from workers.context import WorkerContext
from workers.queue.heartbeat import Heartbeat

log = structlog.get_logger()

START_S = 30.0
HAND_BACK_S = 10.0  # after the grace period, to commit hand-backs


class _Tracer(greenlet.greenlet):
    """A greenlet in which Celery's tracer runs. Its parent is the coroutine that runs it."""


def _await(awaitable: Awaitable[Any]) -> Any:
    tracer = greenlet.getcurrent()
    if not isinstance(tracer, _Tracer) or tracer.parent is None:
        raise RuntimeError("a coroutine task needs the asyncio pool: start workers with `python -m workers`")
    return tracer.parent.switch(awaitable)


class _RequestStack:
    """Celery's stack of current requests, in a context variable that the tracer and its coroutine share."""

    def __init__(self) -> None:
        self._stack: contextvars.ContextVar[tuple[Any, ...]] = contextvars.ContextVar("celery_requests", default=())

    def push(self, request: Any) -> list[Any]:
        self._stack.set((*self._stack.get(), request))
        return self.stack

    def pop(self) -> Any:
        stack = self._stack.get()
        if not stack:
            return None
        self._stack.set(stack[:-1])
        return stack[-1]

    @property
    def top(self) -> Any:
        stack = self._stack.get()
        return stack[-1] if stack else None

    @property
    def stack(self) -> list[Any]:
        return list(self._stack.get())

    def __len__(self) -> int:
        return len(self._stack.get())


class CoroutineTask(Task):
    """Base of tasks whose `run` is `async def`."""

    abstract = True

    @classmethod
    def on_bound(cls, app: Any) -> None:
        cls.request_stack = _RequestStack()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _await(self.run(*args, **kwargs))


class _Slot:
    """A message that the pool has received. Celery calls `terminate` to revoke it."""

    def __init__(self, pool: "AsyncPool", target: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]):
        self.pool, self.target, self.args, self.options = pool, target, args, options
        self.task: asyncio.Task[None] | None = None

    def terminate(self, signal: Any = None) -> None:
        if self.task is not None:
            self.pool.loop.call_soon_threadsafe(self.task.cancel)


class AsyncPool(BasePool):
    """The pool. On its event loop it opens `app.open_worker_context()`, which tasks find as `app.worker_context`."""

    body_can_be_buffer = True
    signal_safe = False

    def on_start(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._slots: set[_Slot] = set()
        self._waiting: deque[_Slot] = deque()
        self._running = 0
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run_loop, name="jobs", daemon=True)
        self._thread.start()
        app: Any = self.app  # Celery has no other place for the resources of a worker
        self._stack = AsyncExitStack()
        opening = self._stack.enter_async_context(app.open_worker_context())
        context: WorkerContext = asyncio.run_coroutine_threadsafe(opening, self.loop).result(START_S)
        app.worker_context = context
        self._attempts, self._grace_s = context.queue.running, context.settings.grace_s
        self._heartbeat = Heartbeat(
            context.queue,
            database_url=context.settings.role_database_url("headrace_system"),
            grace_s=context.settings.grace_s,
        )
        self._heartbeat.start()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    # -- on the consumer's thread

    def on_apply(self, target: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Receive a message. `kwargs` is for the tracer, and always empty here."""
        slot = _Slot(self, target, args or (), options)
        self._idle.clear()
        self.loop.call_soon_threadsafe(self._add, slot)
        return slot

    def on_stop(self) -> None:
        """Let running jobs finish within the grace period, then return them to the queue."""
        if not self._idle.wait(self._grace_s):
            log.info("jobs_handed_back", jobs=len(self._attempts))
            self.loop.call_soon_threadsafe(self._attempts.hand_back)
            self._idle.wait(HAND_BACK_S)
        self._close()

    def on_terminate(self) -> None:
        """Return running jobs to the queue at once."""
        self.loop.call_soon_threadsafe(self._attempts.hand_back)
        self._idle.wait(HAND_BACK_S)
        self._close()

    def _close(self) -> None:
        if not self._thread.is_alive():
            return
        self._heartbeat.stop()
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self.loop).result(HAND_BACK_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(HAND_BACK_S)

    def terminate_job(self, pid: Any, signal: Any = None) -> None:
        """Do nothing: there is no process to kill, and Celery also calls `_Slot.terminate`."""

    # -- on the loop

    def _add(self, slot: _Slot) -> None:
        self._slots.add(slot)
        if self._running < self.num_processes:
            self._start(slot)
        else:
            self._waiting.append(slot)

    def _start(self, slot: _Slot) -> None:
        self._running += 1
        slot.task = self.loop.create_task(self._run(slot))

    async def _run(self, slot: _Slot) -> None:
        options = slot.options
        try:
            if accept := options.get("accept_callback"):
                accept(os.getpid(), time.monotonic())
            result = await _trace(slot)
            if callback := options.get("callback"):
                callback(result)
        except asyncio.CancelledError:
            log.info("message_revoked")
        except Exception:  # noqa: BLE001 -- an edge: Celery reports what the task raised
            if error_callback := options.get("error_callback"):
                error_callback(ExceptionInfo())
        finally:
            self._release(slot)

    def _release(self, slot: _Slot) -> None:
        self._slots.discard(slot)
        self._running -= 1
        if self._waiting:
            self._start(self._waiting.popleft())
        if not self._slots:
            self._idle.set()

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "running": self._running, "waiting": len(self._waiting)}

    @property
    def num_processes(self) -> int:
        return self.limit or 1

    @property
    def has_few_slots(self) -> bool:
        """Whether the consumer may be waiting for a free slot, or soon will."""
        return 2 * len(self._slots) >= self.num_processes


async def _trace(slot: _Slot) -> Any:
    """Run the tracer, and await on its behalf whatever it passes on."""
    tracer = _Tracer(slot.target)
    tracer.gr_context = greenlet.getcurrent().gr_context  # the tracer and its coroutine share one context
    passed = tracer.switch(*slot.args)
    while not tracer.dead:
        try:
            value = await passed
        except BaseException as error:  # noqa: BLE001 -- it is for the tracer, whatever it is
            passed = tracer.throw(error)
        else:
            passed = tracer.switch(value)
    return passed
