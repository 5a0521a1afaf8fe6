"""How busy this machine is: CPU, memory, disk, and the GPUs where there are any."""

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.core import GaugeMetricFamily, Metric

from api.local.disk_space import existing


@dataclass(frozen=True)
class Gpu:
    """Percents of one GPU that are in use."""

    name: str
    usage_percent: float
    memory_usage_percent: float


@dataclass(frozen=True)
class Machine:
    """Percents that are in use, of all CPUs, of memory, and of the disk of the storage."""

    cpu_usage_percent: float
    memory_usage_percent: float
    disk_usage_percent: float
    gpus: tuple[Gpu, ...]


_last = (0.0, 0.0)
_lock = threading.Lock()


def read_machine(folder: Path) -> Machine:
    """Return how busy it is; the CPU since the last call. Takes a few milliseconds: to be called in a thread."""
    return Machine(
        cpu_usage_percent=_cpu_percent(),
        memory_usage_percent=psutil.virtual_memory().percent,
        disk_usage_percent=psutil.disk_usage(str(existing(folder))).percent,
        gpus=_read_gpus(),
    )


def machine_families(machine: Machine) -> list[Metric]:
    """Return the same for Prometheus, by OpenTelemetry's names."""
    families: list[Metric] = []
    ratios = (
        ("system_cpu_utilization_ratio", "CPUs of this machine in use.", machine.cpu_usage_percent),
        ("system_memory_utilization_ratio", "Memory of this machine in use.", machine.memory_usage_percent),
        ("system_filesystem_utilization_ratio", "Disk of the storage in use.", machine.disk_usage_percent),
    )
    for name, text, percent in ratios:
        families.append(GaugeMetricFamily(name, text, value=percent / 100))
    usage = GaugeMetricFamily("hw_gpu_utilization_ratio", "GPU in use.", labels=["hw_name", "hw_id"])
    memory = GaugeMetricFamily("hw_gpu_memory_utilization_ratio", "Its memory in use.", labels=["hw_name", "hw_id"])
    for number, gpu in enumerate(machine.gpus):
        usage.add_metric([gpu.name, str(number)], gpu.usage_percent / 100)
        memory.add_metric([gpu.name, str(number)], gpu.memory_usage_percent / 100)
    return [*families, usage, memory] if machine.gpus else families


def _cpu_percent() -> float:
    """Return what was used of all CPUs since the last call, or since the machine started."""
    global _last
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    with _lock:
        before, _last = _last, (idle, total)
    passed = total - before[1]
    return round(100 * (1 - (idle - before[0]) / passed), 1) if passed > 0 else 0.0


def _read_gpus() -> tuple[Gpu, ...]:
    nvml = _open_nvml()
    if nvml is None:
        return ()
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        return tuple(_read_gpu(nvml, handle) for handle in handles)
    except nvml.NVMLError:
        return ()


def _read_gpu(nvml: Any, handle: Any) -> Gpu:
    memory, name = nvml.nvmlDeviceGetMemoryInfo(handle), nvml.nvmlDeviceGetName(handle)
    usage = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
    return Gpu(str(name), float(usage), round(100 * memory.used / memory.total, 1))


@cache
def _open_nvml() -> Any:
    """Return NVIDIA's library, if `nvidia-ml-py` is installed and there is a GPU."""
    try:
        import pynvml  # type: ignore[import-not-found]

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 -- whatever is missing: there is no GPU to show
        return None
    return pynvml
