"""Where the time of a single chat goes: one clock over the client, Postgres' rows, and the model stand-in's records.

Nothing in headrace is touched for it. Times of the rows are when their transaction began (`now()`), on the wall clock of
the same machine; the client's and the stand-in's are monotonic and moved onto it.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from tests.bench.load.client import Exchange, HttpConnection, send_concurrently, send_sequentially
from tests.bench.load.stream_reading import STAMP, moment_ns
from tests.bench.load.targets import Target
from tests.bench.reporting.percentiles import median, percentile
from tests.bench.testbed import Testbed

MODEL = "stamped-5"
JOB_ID = re.compile(rb'"job_id":"([0-9a-f-]{36})"')
TIMES = """SELECT j.id, extract(epoch FROM j.created_at) * 1e6, extract(epoch FROM a.started_at) * 1e6,
  extract(epoch FROM j.finished_at) * 1e6
FROM jobs j JOIN attempts a ON a.tenant_id = j.tenant_id AND a.job_id = j.id AND a.attempt = 1 WHERE j.id = ANY(%s)"""
STEPS = (
    "api: begins the transaction of the submit",
    "client: has job.queued (row committed, doorbell rung)",
    "worker: begins the transaction of the claim",
    "client: has job.started (claim committed, relayed)",
    "model: has the request (graph and HTTP done)",
    "model: sends the first token",
    "client: has the first token",
    "worker: begins the transaction of the end",
    "client: has job.succeeded (end committed, relayed)",
)


@dataclass(frozen=True)
class Step:
    """When, in milliseconds after the request was sent: median and 99th percentile; `gap` since the step before."""

    what: str
    p50: float
    p99: float
    gap: float


async def draw_busy_lanes(bed: Testbed, clients: int = 100) -> list[Step]:
    """The same while so many clients ask for 100 tokens at 50 a second, again and again."""
    others = bed.native(bed.tenant("busy", max_running=5000))
    request = others.request("text-100-at-50")
    busy = asyncio.create_task(send_concurrently(others.port, request, clients=clients, over_s=2.0, for_s=8.0))
    await asyncio.sleep(3.0)
    steps = await draw_lanes(bed, 60)
    await busy
    return steps


async def draw_lanes(bed: Testbed, count: int = 150) -> list[Step]:
    """Ask `count` chats one after another and return the steps of one, as medians. Some lie in parallel."""
    target = bed.native(bed.tenant("lanes", max_running=5000))
    await send_sequentially(target.port, lambda _: target.request(MODEL), count // 5)
    shift_us = (time.time_ns() - time.monotonic_ns()) / 1e3
    asked = await send_sequentially(target.port, lambda k: target.request(MODEL, f"lane {k}"), count)
    began_us = await _model_began_us(bed.direct)
    rows = _rows(bed.database_url, [UUID(_job_id(one)) for one in asked])
    chats = [
        _steps_ms(one, began_us[f"lane {k}"], rows[_job_id(one)], shift_us)
        for k, one in enumerate(asked)
        if f"lane {k}" in began_us and _job_id(one) in rows
    ]
    middles = [median(times) for times in zip(*chats, strict=True)]
    gaps = [now - before for before, now in zip([0.0, *middles], middles, strict=False)]
    worst = [percentile(times, 0.99) for times in zip(*chats, strict=True)]
    return [Step(*step) for step in zip(STEPS, middles, worst, gaps, strict=True)]


def format_lanes(steps: list[Step], title: str) -> str:
    """Return the steps as text."""
    rows = [f"  {step.p50:8.2f} {step.gap:+8.2f} {step.p99:8.2f}   {step.what}" for step in steps]
    return "\n".join([f"\n{title}, ms after the request was sent", "       p50     step      p99", *rows])


def _steps_ms(one: Exchange, began_us: float, row: tuple[float, ...], shift_us: float) -> list[float]:
    created_us, claimed_us, finished_us = row
    sent_us = one.sent_ns / 1e3 + shift_us
    stamp = STAMP.search(one.answer)
    stamp_us = int(stamp[1]) / 1e3 + shift_us if stamp else float("nan")

    def heard_us(mark: bytes) -> float:
        at = moment_ns(one, mark)
        return float("nan") if at is None else at / 1e3 + shift_us

    moments = (
        created_us,
        heard_us(b"event: job.queued"),
        claimed_us,
        heard_us(b"event: job.started"),
        began_us + shift_us,
        stamp_us,
        heard_us(b"event: message.delta"),
        finished_us,
        heard_us(b"event: job.succeeded"),
    )
    return [(moment - sent_us) / 1e3 for moment in moments]


async def _model_began_us(model: Target) -> dict[str, float]:
    """Return when the stand-in had each request, by what the user said in it."""
    link = HttpConnection(model.port)
    exchange = await link.ask(b"GET /_records HTTP/1.1\r\nHost: bench\r\n\r\n")
    link.close()
    records: list[dict[str, Any]] = json.loads(exchange.answer.partition(b"\r\n\r\n")[2])
    return {r["body"]["messages"][-1]["content"]: r["began_ns"] / 1e3 for r in records if r["body"]}


def _rows(database_url: str, jobs: list[UUID]) -> dict[str, tuple[float, ...]]:
    with psycopg.connect(database_url) as db:
        rows = db.execute(TIMES, (jobs,)).fetchall()
    return {str(row[0]): tuple(map(float, row[1:])) for row in rows}


def _job_id(one: Exchange) -> str:
    found = JOB_ID.search(one.answer)
    return found[1].decode() if found else ""
