"""`top`: jobs, queues, workers and tokens per second of the running stack, or of the server at HEADRACE_URL, as they change."""

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from api.cli.client.chat import own_authority, server_and_key
from api.local.errors import LocalError
from api.local.home import read_text
from api.local.http_client import Client
from api.local.stack_settings import home_from
from schema.job_kinds import KINDS, QUEUES

CLEAR = "\033[H\033[J"
COUNTED = ("queued", "running")
NEEDED = (
    "Metrics are for platform admins: set HEADRACE_ADMIN_KEY to a key of one with the right operations.read, or "
    "HEADRACE_METRICS_TOKEN to the server's."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every", type=_seconds, default=2.0, metavar="S", help="seconds between two looks (default: 2, at least 0.5)"
    )
    parser.add_argument("--once", action="store_true", help="look twice, print what was seen, and leave")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.5 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("must be a number of seconds from 0.5 to 3600, such as 2")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    url, key = server_and_key()
    return asyncio.run(top(url, key, metrics_key(os.environ) or key, every_s=arguments.every, once=arguments.once))


def metrics_key(environ: Mapping[str, str]) -> str | None:
    """Return what `/metrics` is read with: HEADRACE_METRICS_TOKEN, HEADRACE_ADMIN_KEY, which `./headrace env` exports, or the
    token of the stack that runs here."""
    if given := environ.get("HEADRACE_METRICS_TOKEN") or environ.get("HEADRACE_ADMIN_KEY"):
        return given
    return None if environ.get("HEADRACE_URL") else read_text(_key_file(home_from(environ))) or None


def _key_file(home: Path) -> Path:
    return home / "metrics.key"


@dataclass(frozen=True)
class Look:
    """What was seen at a time: the metrics, and how many jobs of the caller's tenant are in each state."""

    at: float
    metrics: Mapping[str, Any]
    own: Mapping[str, str] = field(default_factory=dict[str, str])

    def value(self, name: str, **labels: str) -> float | None:
        """Return the sum of a figure's values with these labels; None if there is none."""
        found = [
            one["value"]
            for one in self.metrics["figures"].get(name, ())
            if labels.items() <= one["labels"].items() and one.get("value") is not None
        ]
        return sum(found) if found else None

    def rate(self, before: "Look", name: str, **labels: str) -> float | None:
        """Return by how much a counter has grown in a second. It begins anew when processes do: then that is not known."""
        now, then = self.value(name, **labels), before.value(name, **labels)
        if now is None or now < (then or 0.0) or self.at <= before.at:
            return None
        return (now - (then or 0.0)) / (self.at - before.at)


async def top(url: str, key: str, token: str, *, every_s: float, once: bool, out: TextIO | None = None) -> int:
    """Show what is seen until Ctrl-C. Raises LocalError if the first look fails; later ones are tried again."""
    async with (
        Client(url, key, ca_file=own_authority()) as jobs,
        Client(url, token, ca_file=own_authority()) as metrics,
    ):
        before = await _look(jobs, metrics)
        while True:
            await asyncio.sleep(every_s)
            try:
                now = await _look(jobs, metrics)
                frame, before = describe(url, now, before), now
            except LocalError as error:
                if once:
                    raise
                frame = [f"{error.message} Trying again."]
            _draw(frame, out or sys.stdout)
            if once:
                return 0


async def _look(jobs: Client, metrics: Client) -> Look:
    try:
        seen = await metrics.get("/metrics")
    except LocalError as error:
        refused = "answered 401" in error.message or "answered 403" in error.message
        raise LocalError(f"{error.message} {NEEDED}") if refused else error from None
    counts = {state: await jobs.get(f"/api/jobs/count?state={state}") for state in COUNTED}
    own = {state: f"{found['count']}{'+' if found['more'] else ''}" for state, found in counts.items()}
    return Look(time.monotonic(), seen, own)


def _draw(frame: list[str], out: TextIO) -> None:
    if out.isatty():
        size = shutil.get_terminal_size()
        frame = [line[: size.columns] for line in frame[: size.lines - 1]]
        print(CLEAR, end="", file=out)
    print("\n".join(frame), file=out, flush=True)


def describe(url: str, now: Look, before: Look) -> list[str]:
    """Return what was seen as lines: the machine, tokens, kinds of job, queues, processes."""
    machine = now.metrics
    used = "  ".join(f"{what} {machine[f'{what}_usage_percent']:.0f} %" for what in ("cpu", "memory", "disk"))
    own = ", ".join(f"{count} {state}" for state, count in now.own.items())
    tokens = "  ".join(
        f"{direction} {_number(now.rate(before, 'tokens_total', direction=direction))}/s"
        for direction in ("input", "output")
    )
    cost = now.rate(before, "cost_usd_total")
    lines = [f"{url}  {time.strftime('%H:%M:%S')}  {used}", f"tokens    {tokens}  ${_number(cost and cost * 3600)}/h"]
    lines += [
        f"your jobs {own}",
        *_down(now),
        "",
        *_kinds(now, before),
        "",
        *_queues(now),
        "",
        *_processes(now, before),
    ]
    return lines


def _down(now: Look) -> list[str]:
    seen = {one["labels"]["part"]: one.get("value") for one in now.metrics["figures"].get("service_up", ())}
    parts = [part for part, value in seen.items() if value == 0]
    parts += ["the figures from Postgres"] if now.value("postgres_up") == 0 else []
    degraded = [part for part, value in seen.items() if value == 0.5]
    lines = [f"DOWN      {', '.join(parts)}"] if parts else []
    return lines + ([f"DEGRADED  {', '.join(degraded)}"] if degraded else [])


def _kinds(now: Look, before: Look) -> list[str]:
    lines = [f"{'KIND':<10}{'WAITING':>9}{'RUNNING':>9}{'DEAD':>9}{'OLDEST':>9}{'ENDED/S':>9}{'FAILED/S':>9}"]
    for kind in KINDS:
        waiting = [now.value("jobs_in_state", kind=kind, state=state) for state in ("queued", "dispatched")]
        known = [number for number in waiting if number is not None]
        figures = (
            sum(known) if known else None,
            now.value("jobs_in_state", kind=kind, state="running"),
            now.value("jobs_in_state", kind=kind, state="dead"),
        )
        ended = now.rate(before, "jobs_finished_total", kind=kind)
        failed = now.rate(before, "jobs_finished_total", kind=kind, outcome="failed")
        oldest = now.value("job_oldest_queued_seconds", kind=kind)
        cells = (*map(_number, figures), "-" if oldest is None else f"{oldest:.0f} s", _number(ended), _number(failed))
        lines.append(f"{kind:<10}" + "".join(f"{cell:>9}" for cell in cells))
    return lines


def _queues(now: Look) -> list[str]:
    lines = [f"{'QUEUE':<10}{'RUNNING':>9}{'SLOTS':>9}"]
    for queue in QUEUES:
        cells = (now.value("jobs_running", queue=queue), now.value("worker_slots", queue=queue))
        lines.append(f"{queue:<10}" + "".join(f"{_number(cell):>9}" for cell in cells))
    return lines


def _processes(now: Look, before: Look) -> list[str]:
    cpu_before = {one["name"]: one["cpu_seconds"] for one in before.metrics["processes"]}
    lines = [f"{'PROCESS':<15}{'CPU':>6}{'MEMORY':>9}{'FILES':>7}"]
    for one in now.metrics["processes"]:
        spent = one["cpu_seconds"] - cpu_before.get(one["name"], one["cpu_seconds"])
        percent = max(0.0, 100 * spent / (now.at - before.at)) if now.at > before.at else 0.0
        memory = f"{one['memory_bytes'] / 1e6:.0f} MB"
        lines.append(f"{one['name']:<15}{percent:>4.0f} %{memory:>9}{one['open_files']:>7}")
    return lines


def _number(value: float | None) -> str:
    """Return a figure in a few digits; `-` for one that is not known."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
