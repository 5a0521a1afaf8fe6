"""What processes cost: the share of one core while something ran, and memory."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import psutil

MB = 1 << 20


@dataclass(frozen=True)
class Usage:
    """Per process name: CPU as percent of one core, and memory in MB after the run."""

    cpu_percent: dict[str, float]
    memory_mb: dict[str, float]


class Meter:
    """Measures between its making and `read()`. `trees` count with their children, `loners` without."""

    def __init__(self, loners: Mapping[str, int], trees: Mapping[str, int]) -> None:
        self._pids = {**loners, **trees}
        self._trees = frozenset(trees)
        self._before = {name: self._cpu_s(name) for name in self._pids}
        self._began = time.monotonic()

    def read(self) -> Usage:
        """Return what was used since the making."""
        took_s = time.monotonic() - self._began
        cpu = {n: round(100 * (self._cpu_s(n) - self._before[n]) / took_s, 1) for n in self._pids}
        return Usage(cpu, {name: round(self._memory(name) / MB, 1) for name in self._pids})

    def cpu_s(self, *, without: Collection[str] = ()) -> dict[str, float]:
        """Return the seconds of CPU that each process has used since the making."""
        return {n: self._cpu_s(n) - before for n, before in self._before.items() if n not in without}

    def _processes(self, name: str) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._pids[name])
            return [first, *first.children(recursive=True)] if name in self._trees else [first]
        except psutil.NoSuchProcess:  # it died, which the figure's failures tell
            return []

    def _cpu_s(self, name: str) -> float:
        total = 0.0
        for process in self._processes(name):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            ended = times.children_user + times.children_system if name in self._trees else 0.0
            total += times.user + times.system + ended
        return total

    def _memory(self, name: str) -> float:
        """Resident memory; of a tree the proportional share, since its processes hold the same pages."""
        total = 0.0
        for process in self._processes(name):
            try:
                total += process.memory_full_info().pss if name in self._trees else process.memory_info().rss
            except psutil.Error:
                continue
        return total
