"""`top` shows what an operator looks for, and says what it needs."""

import argparse
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.cli.client import top
from api.cli.client.top import Look, describe, metrics_key
from api.local.errors import LocalError

LABELS = {"kind": "chat", "direction": "output"}


def seen(tokens: float, *, figures: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `/metrics` says."""
    shown: dict[str, Any] = {
        "tokens_total": [{"labels": LABELS, "value": tokens}],
        "jobs_in_state": [
            {"labels": {"kind": "chat", "state": "queued"}, "value": 3},
            {"labels": {"kind": "chat", "state": "dispatched"}, "value": 1},
            {"labels": {"kind": "chat", "state": "running"}, "value": 5},
        ],
        "job_oldest_queued_seconds": [{"labels": {"kind": "chat"}, "value": 7.4}],
        "worker_slots": [{"labels": {"queue": "chat"}, "value": 64}],
        "service_up": [{"labels": {"part": "redis"}, "value": 0}, {"labels": {"part": "storage"}, "value": 1}],
    }
    process = {"name": "chat.0", "cpu_seconds": tokens / 100, "memory_bytes": 231e6, "open_files": 84}
    usage = {f"{what}_usage_percent": 12.0 for what in ("cpu", "memory", "disk")}
    return {**usage, "processes": [process], "figures": shown | (figures or {})}


def frame(now: Look, before: Look) -> list[list[str]]:
    return [line.split() for line in describe("http://x", now, before)]


def test_a_look_shows_what_changed_since_the_one_before() -> None:
    lines = frame(Look(12.0, seen(300), {"queued": "2", "running": "10000+"}), Look(10.0, seen(100)))
    assert ["tokens", "input", "-/s", "output", "100/s", "$-/h"] in lines
    assert ["your", "jobs", "2", "queued,", "10000+", "running"] in lines
    assert ["DOWN", "redis"] in lines
    assert ["chat", "4", "5", "-", "7", "s", "-", "-"] in lines
    assert ["chat", "-", "64"] in lines
    assert ["chat.0", "100", "%", "231", "MB", "84"] in lines


def test_what_is_not_known_is_no_number() -> None:
    """Postgres is away, so its figures have no value; and a process has begun to count anew."""
    away = {
        "jobs_in_state": [{"labels": {"kind": "chat", "state": "running"}}],
        "postgres_up": [{"labels": {}, "value": 0}],
    }
    lines = frame(Look(12.0, seen(5, figures=away)), Look(10.0, seen(100)))
    assert ["tokens", "input", "-/s", "output", "-/s", "$-/h"] in lines
    assert ["chat", "-", "-", "-", "7", "s", "-", "-"] in lines
    assert ["DOWN", "redis,", "the", "figures", "from", "Postgres"] in lines


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """A server whose metrics are for the token `right`."""
    looks = iter(range(100, 100_000, 100))

    async def metrics(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Bearer right":
            return web.json_response({"detail": "This requires the right 'operations.read'."}, status=403)
        return web.json_response(seen(next(looks)))

    async def count(request: web.Request) -> web.Response:
        return web.json_response({"count": 2, "more": request.query["state"] == "running"})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/api/jobs/count", count)
    running = TestServer(app)
    await running.start_server()
    yield running
    await running.close()


async def test_it_is_printed_for_scripts(server: TestServer) -> None:
    out = io.StringIO()
    assert 0 == await top.top(str(server.make_url("")), "key", "right", every_s=0.01, once=True, out=out)
    assert "your jobs 2 queued, 2+ running" in out.getvalue()
    assert "\033" not in out.getvalue()


async def test_who_may_not_read_metrics_hears_what_is_needed(server: TestServer) -> None:
    with pytest.raises(LocalError, match=r"operations\.read.*HEADRACE_METRICS_TOKEN"):
        await top.top(str(server.make_url("")), "key", "wrong", every_s=0.01, once=True)


def test_the_token_is_that_of_the_environment_or_of_the_stack_here(tmp_path: Path) -> None:
    (tmp_path / "metrics.key").write_text("of-the-stack")
    here = {"HEADRACE_HOME": str(tmp_path)}
    assert "of-the-stack" == metrics_key(here)
    assert "given" == metrics_key(here | {"HEADRACE_METRICS_TOKEN": "given"})
    assert metrics_key(here | {"HEADRACE_URL": "http://other"}) is None
    assert "admins" == metrics_key(here | {"HEADRACE_URL": "http://other", "HEADRACE_ADMIN_KEY": "admins"})


@pytest.mark.parametrize("every", ["0.1", "soon", "nan", "1e9"])
def test_a_wrong_interval_is_refused_with_what_is_right(every: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    top.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--every", every])
    assert "must be a number of seconds from 0.5 to 3600" in capsys.readouterr().err
