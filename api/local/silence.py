"""Replaces processes of a stack that live and do nothing: stopped by a signal, or stuck where their event loop can't go on.

Each process says every two seconds in Redis how it is (`workers/health/reports.py`). One that ends is started again by the
supervisor; one that hangs is seen by the watchdog, which can't end it, and in production by whoever runs the processes.
"""

import asyncio
from collections.abc import Callable, Mapping

from api.local.processes import is_stopped
from workers.health.reports import REPORT_S, SILENT_S, read_reports
from workers.queue.leases import pid_here
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RedisAddress, ReplyError

LATE_S = 3 * REPORT_S
"""A look that comes so late was kept from it by the same as all processes: a machine that slept, or was too busy."""


BUSY_TIMES = 4
"""One that isn't stopped is silent so many times as long before it is replaced: a busy machine may only keep it from its
turn, at its start above all."""


class Silences:
    """Since when processes have said nothing, in time in which this process itself could look."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._said: dict[int, tuple[float, float]] = {}

    def look(self, now: float, said_at: Mapping[int, float]) -> dict[int, float]:
        """Take when each process last said something, by its id; return how long each has been silent."""
        if now - self._looked_at > LATE_S:
            self._said.clear()
        self._looked_at = now
        before = self._said
        self._said = {
            pid: before[pid] if pid in before and before[pid][0] == at else (at, now) for pid, at in said_at.items()
        }
        return {pid: now - since for pid, (_, since) in self._said.items()}

    def forget(self) -> None:
        """Begin anew: nothing could be heard."""
        self._said.clear()


async def replace_silent(redis_url: str, lease_s: float, replace: Callable[[int, float], None]) -> None:
    """Call `replace` with the id of each process of this machine that is stopped and has been silent for as long as it takes to
    lose its jobs, or for several times as long without being stopped, and with how long. Redis may be away; then nobody is
    judged."""
    loop, silences, limit_s = asyncio.get_running_loop(), Silences(), max(SILENT_S, lease_s)
    redis = RedisClient(RedisAddress.from_url(redis_url))
    try:
        while True:
            await asyncio.sleep(REPORT_S)
            try:
                _, reports = await read_reports(redis)
            except (RedisUnavailable, ReplyError):
                silences.forget()
                continue
            said_at = {pid: report.at for name, report in reports.items() if (pid := pid_here(name)) is not None}
            for pid, silent_s in silences.look(loop.time(), said_at).items():
                if silent_s >= limit_s * (1 if is_stopped(pid) else BUSY_TIMES):
                    replace(pid, silent_s)
    finally:
        await redis.close()
