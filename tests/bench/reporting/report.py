"""The table for people and the file for machines."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.system import ROOT

PACKAGES = ("litestar", "uvicorn", "uvloop", "celery", "kombu", "hiredis", "psycopg", "aiohttp", "langgraph", "msgspec")
HEAD = ("", "direct", "headrace", "ratio", "figure", "required", "")
WIDTHS = (47, 10, 10, 7, 18, 10, 8)


def table(found: Measurement) -> str:
    """Return one figure's lines, notes, processes and failures as text."""
    rows = [f"\n{found.title}", _row(HEAD), *(_row(_cells(line)) for line in found.lines)]
    rows += [f"  {note}" for note in found.notes]
    rows += [f"  CPU, % of a core, {name}: {_shares(use.cpu_percent)}" for name, use in found.usage.items()]
    rows += [f"  FAILED {failure}" for failure in found.failures]
    return "\n".join(rows)


def verdicts(found: Sequence[Measurement]) -> str:
    """Return how many requirements were reached, and which fell short."""
    needed = [(one, line) for one in found for line in one.lines if line.verdict]
    short = [f"  short: {one.title}, {line.what}" for one, line in needed if line.verdict == "short"]
    return "\n".join([f"{len(needed) - len(short)} of {len(needed)} requirements reached.", *short])


def as_json(plan: Plan, found: Sequence[Measurement], *, took_s: float, fsync_ms: float) -> dict[str, Any]:
    """Return everything that was measured, and on what."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(took_s, 1),
        "machine": machine(fsync_ms),
        "versions": versions(),
        "settings": asdict(plan),
        "figures": [_measurement(one) for one in found],
    }


def machine(fsync_ms: float) -> dict[str, Any]:
    """Return what the figures depend on. `load` is how busy the machine was with other things, before it began."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_name(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "fsync_ms": round(fsync_ms, 3),
        "load": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Return the versions of what lies on the path of a token."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "headrace": git.stdout.strip() or "unknown",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _measurement(found: Measurement) -> dict[str, Any]:
    lines = [{**asdict(line), "ratio": line.ratio, "verdict": line.verdict} for line in found.lines]
    return {**asdict(found), "lines": lines}


def _cells(line: Line) -> tuple[str, ...]:
    ratio = "" if line.ratio is None else f"{line.ratio:.3g}×"
    sign = "≤" if line.sense == "at most" else "≥"
    need = "" if line.need is None else f"{sign} {line.need:,g}"
    return (
        line.what,
        _number(line.direct),
        _number(line.through),
        ratio,
        f"{_number(line.figure)} {line.unit}",
        need,
        line.verdict,
    )


def _row(cells: Sequence[str]) -> str:
    first, *others = (
        f"{cell:{'<' if k == 0 else '>'}{width}}" for k, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )
    return f"  {first}{' '.join(others)}".rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 20 else f"{value:.2f}"


def _shares(cpu_percent: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0f}" for name, share in cpu_percent.items())


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
