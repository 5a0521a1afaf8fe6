"""`system_info`: load, memory and disk of the worker's machine, for admins. Contains no host names, addresses or paths."""

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec

GIB = 1 << 30

SPEC = ToolSpec(
    name="system_info",
    description="Load, memory, disk and versions of the machine that headrace's worker runs on. For admins.",
    parameters={"type": "object", "properties": {}, "additionalProperties": False},
    rights=frozenset({"admin"}),
)


async def report_system(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Sizes are in bytes, the load is that of 1, 5 and 15 minutes."""
    found = measure_system()
    memory, disk = found["memory"], found["disk"]
    lines = [
        f"{found['system']}, Python {found['python']}, {found['cpus']} processors",
        f"load {', '.join(f'{load:.2f}' for load in found['load'])} (1, 5, 15 minutes)",
        f"disk {disk['free'] / GIB:.1f} of {disk['total'] / GIB:.1f} GiB free",
    ]
    if memory:
        lines.append(f"memory {memory['available'] / GIB:.1f} of {memory['total'] / GIB:.1f} GiB free")
    return ToolResult("\n".join(lines), found)


def measure_system() -> dict[str, Any]:
    """Measure the current values; `memory` is empty on systems without /proc."""
    disk = shutil.disk_usage(".")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
        "memory": _memory(),
        "disk": {"total": disk.total, "free": disk.free},
    }


def _memory() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return {"total": kilobytes["MemTotal"] * 1024, "available": kilobytes["MemAvailable"] * 1024}


def build() -> Tool:
    return FunctionTool(SPEC, report_system)
