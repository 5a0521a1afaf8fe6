"""How the processes of an installation are: each says so in Redis every two seconds, and the watchdog reads it.

A process that says nothing for SILENT_S is dead, cut off, or its event loop is blocked: a report is sent from the loop itself.
With its own report a process learns which vendors of models fail (`workers/health/providers.py`).
Fails open: without Redis nobody hears of a process, and no vendor is avoided.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from graphs.providers.calls.log import CALLS, RecentCalls
from schema import redis_names
from workers.health.loop_lag import LoopLag
from workers.redis.address import Command
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

log = structlog.get_logger()

REPORT_S = 2.0
SILENT_S = 8.0


class QueueReport(msgspec.Struct, frozen=True, array_like=True):
    """The queue that a worker serves: its slots, the jobs that run, and since when no doorbell has arrived."""

    queue: str
    slots: int
    running: int
    silent_s: float


class ProcessReport(msgspec.Struct, frozen=True, array_like=True):
    """How a process is: its role, its name in leases, when it said so (in Redis' time), by how much its clock is ahead of
    Redis', how late its event loop was at worst since the report before, its queue, and its recent calls of vendors."""

    role: str
    owner: str
    at: float
    ahead_s: float
    lag_s: float
    queue: QueueReport | None = None
    calls: dict[str, RecentCalls] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ProcessReport).decode
_decode_failing = msgspec.json.Decoder(dict[str, bool]).decode


class Reporter:
    """`async with Reporter(redis, role, owner, lag):` reports until the block is left, and then takes itself off the list.
    `on_back(provider)` is called when a vendor works again."""

    def __init__(
        self,
        redis: RedisClient,
        role: str,
        owner: str,
        lag: LoopLag,
        *,
        queue: Callable[[], QueueReport | None] = lambda: None,
        on_back: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._redis, self._role, self._owner, self._lag, self._queue, self._on_back = (
            redis,
            role,
            owner,
            lag,
            queue,
            on_back,
        )
        self._ahead_s: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._failing: dict[str, bool] = {}

    @property
    def avoided(self) -> frozenset[str]:
        """The vendors that fail, for whose models another is tried first."""
        return frozenset(name for name, avoid in self._failing.items() if avoid)

    async def __aenter__(self) -> "Reporter":
        self._task = asyncio.get_running_loop().create_task(self._run(), name="report")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            await self._redis.call("HDEL", redis_names.PROCESSES, self._owner)
        except (RedisUnavailable, ReplyError):
            log.debug("report_not_withdrawn")

    async def _run(self) -> None:
        while True:
            try:
                await self.report()
            except (RedisUnavailable, ReplyError):
                self._set_failing({})
            await asyncio.sleep(REPORT_S)

    async def report(self) -> None:
        """Report once, and learn which vendors are out. Raises RedisUnavailable."""
        if self._ahead_s is None:
            self._ahead_s = time.time() - await read_time(self._redis)
        report = ProcessReport(
            role=self._role,
            owner=self._owner,
            at=time.time() - self._ahead_s,
            ahead_s=self._ahead_s,
            lag_s=self._lag.take_worst(),
            queue=self._queue(),
            calls=CALLS.recent(),
        )
        began = time.time()
        commands: list[Command] = [
            ("HSET", redis_names.PROCESSES, self._owner, _encode(report)),
            ("TIME",),
            ("GET", redis_names.FAILING_PROVIDERS),
        ]
        replies = await self._redis.send(commands)
        if any(isinstance(reply, ReplyError) for reply in replies):
            return
        _, told, failing = replies
        self._ahead_s = (began + time.time()) / 2 - _seconds(told)
        self._set_failing(_decode_failing(failing) if failing else {})

    def _set_failing(self, failing: dict[str, bool]) -> None:
        for name in self._failing.keys() - failing.keys():
            self._on_back(name)
        self._failing = failing


async def read_time(redis: RedisClient) -> float:
    """Return Redis' time, in seconds since 1970. Raises RedisUnavailable."""
    return _seconds(await redis.call("TIME"))


async def read_reports(redis: RedisClient) -> tuple[float, dict[str, ProcessReport]]:
    """Return Redis' time, and the last report of each process by its name. Raises RedisUnavailable."""
    commands: list[Command] = [("TIME",), ("HGETALL", redis_names.PROCESSES)]
    told, found = await redis.send(commands)
    if isinstance(found, ReplyError):
        raise found
    reports: dict[str, ProcessReport] = {}
    for name, data in _pairs(found):
        try:
            reports[name.decode()] = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.debug("report_of_another_version")  # a rolling deploy
    return _seconds(told), reports


async def forget_processes(redis: RedisClient, names: list[str]) -> None:
    """Take processes off the list that are gone."""
    if names:
        await redis.call("HDEL", redis_names.PROCESSES, *names)


async def set_failing_providers(redis: RedisClient, failing: dict[str, bool], *, for_s: float) -> None:
    """Say which vendors fail, and whether new jobs are to avoid each; it is believed for so long."""
    if failing:
        await redis.call("SET", redis_names.FAILING_PROVIDERS, _encode(failing), "PX", int(for_s * 1000))
    else:
        await redis.call("DEL", redis_names.FAILING_PROVIDERS)


def living(now: float, reports: Mapping[str, ProcessReport]) -> list[ProcessReport]:
    """Return those that reported a moment ago."""
    return [report for report in reports.values() if now - report.at < SILENT_S]


def _seconds(told: list[bytes]) -> float:
    return int(told[0]) + int(told[1]) / 1_000_000


def _pairs(found: Any) -> list[tuple[bytes, bytes]]:
    if isinstance(found, dict):
        return list(found.items())
    return list(zip(found[::2], found[1::2], strict=True))
