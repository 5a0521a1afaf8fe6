"""Reads what has been counted: by all processes of the installation on this machine, or by this one alone."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from schema.metrics.family import REGISTRY
from schema.metrics.shared_values import Slot, SlotState, list_slots

CONTENT_TYPE = CONTENT_TYPE_LATEST


def read_families(slot: Slot | None, role: str) -> list[Metric]:
    """Return all metrics with their values: those of each process that shares them with `slot`, or of this process, whose
    role it is. Reads files: to be called in a thread."""
    if slot is None:
        living = [SlotState(role, os.getpid())]
        return [*REGISTRY.collect(), *process_families(living)]
    slots = list_slots(slot.folder)
    files = list(_files_to_read(slot.folder, slots))
    collector: Any = MultiProcessCollector
    return [*collector.merge(files), *process_families(slots)]


def render(families: Iterable[Metric]) -> bytes:
    """Return metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(families)))
    return generate_latest(registry)


def _files_to_read(folder: Path, slots: list[SlotState]) -> Iterator[str]:
    """Counters of all slots, and gauges of those that a process holds: others are stale."""
    for slot in slots:
        kinds = ("counter", "histogram", *(("gauge_livesum", "gauge_livemax") if slot.pid is not None else ()))
        yield from (str(path) for kind in kinds if (path := folder / f"{kind}_{slot.name}.db").exists())


PROCESS_FIGURES: tuple[
    tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str, Callable[[psutil.Process], float]], ...
] = (
    (
        CounterMetricFamily,
        "process_cpu_seconds",
        "CPU time of a process.",
        lambda process: sum(process.cpu_times()[:2]),
    ),
    (
        GaugeMetricFamily,
        "process_resident_memory_bytes",
        "Resident memory of a process.",
        lambda process: float(process.memory_info().rss),
    ),
    (GaugeMetricFamily, "process_open_fds", "Open files of a process.", lambda process: float(process.num_fds())),
    (
        GaugeMetricFamily,
        "process_start_time_seconds",
        "When a process started, in seconds since 1970.",
        lambda process: process.create_time(),
    ),
)


def process_families(slots: Iterable[SlotState]) -> list[Metric]:
    """Return what the operating system knows of the processes in these slots."""
    families: list[Any] = [kind(name, text, labels=["process"]) for kind, name, text, _ in PROCESS_FIGURES]
    for slot in slots:
        if not slot.pid:
            continue
        try:
            process = psutil.Process(slot.pid)
            with process.oneshot():
                values = [measure(process) for *_, measure in PROCESS_FIGURES]
        except psutil.Error:
            continue  # it has just ended
        for family, value in zip(families, values, strict=True):
            family.add_metric([slot.name], value)
    return families


class _Collected:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
