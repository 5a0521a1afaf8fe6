"""Metrics of running processes: what a scrape of the API shows of all of them, and that kills lose nothing."""

import asyncio
import shutil
from pathlib import Path

import psycopg
import pytest
import yaml

from schema.monitoring import dashboard
from tests.conftest import TestTenant
from tests.journeys.client import Client
from tests.journeys.operations.scraping import Prometheus, Samples, admin_headers, grown, scrape
from tests.system import System

KILLS = 5
COUNTERS = ("_total", "_bucket", "_count", "_sum")
MONITORING = Path(dashboard.__file__).parent


def counters(samples: Samples) -> Samples:
    """Return what only ever grows, except for the CPU time of processes, which begins anew with each."""
    names = {key: key.partition("{")[0] for key in samples}
    return {
        key: samples[key] for key, name in names.items() if name.endswith(COUNTERS) and not name.startswith("process_")
    }


async def test_counters_agree_with_postgres_over_kills_of_workers(
    system: System, client: Client, tenant: TestTenant, shared_url: str
) -> None:
    headers = admin_headers(shared_url)
    before = shown = await scrape(system, headers)
    for _ in range(KILLS):
        streams = [await client.ask("text-60-at-60") for _ in range(4)]
        for stream in streams:
            await stream.until("message.delta", 3)
        system.kill("chat")
        system.start("chat")
        await asyncio.gather(*(stream.rest() for stream in streams))
        latest = await scrape(system, headers)
        assert {} == {key: value for key, value in counters(shown).items() if latest.get(key, 0) < value}
        shown = latest
    with psycopg.connect(shared_url) as db:
        jobs = db.execute(
            "SELECT count(*) FROM jobs WHERE tenant_id = %s AND state = 'succeeded'", (tenant.id,)
        ).fetchone()
        used = db.execute(
            "SELECT sum(input_tokens), sum(output_tokens) FROM usage_records WHERE tenant_id = %s", (tenant.id,)
        ).fetchone()
    assert (
        jobs
        == (4 * KILLS,)
        == (grown(before, shown, "jobs_finished_total"),)
        == (grown(before, shown, "jobs_accepted_total"),)
    )
    tokens = [grown(before, shown, f"tokens_total{{'direction': '{way}'") for way in ("input", "output")]
    assert used is not None
    assert [float(one) for one in used] == tokens
    assert grown(before, shown, "jobs_redispatched_total") >= 4 * KILLS
    assert 4 * KILLS == grown(before, shown, "job_queue_wait_seconds_count")


async def test_one_scrape_shows_every_process_and_no_gauge_of_one_that_is_gone(
    system: System, client: Client, shared_url: str
) -> None:
    headers = admin_headers(shared_url)
    system.start("chat2")
    await system.ready("chat2")
    slots, process = "worker_slots{'queue': 'chat'}", "process_resident_memory_bytes{{'process': '{}'}}"
    both = await scrape(system, headers)
    assert {process.format(name) for name in ("api.0", "chat.0", "chat.1", "scheduler.0")} <= set(both)
    system.kill("chat2")
    one = await scrape(system, headers)
    assert 2 * one[slots] == both[slots]
    assert process.format("chat.1") not in one or process.format("chat.0") not in one


@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: apt-get install prometheus)"
)
async def test_a_real_prometheus_answers_the_queries_of_the_dashboard(
    system: System, client: Client, shared_url: str, tmp_path: Path
) -> None:
    key = admin_headers(shared_url)["Authorization"].partition(" ")[2]
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(MONITORING / "alerts.yaml")]
    (job,) = config["scrape_configs"]
    job["authorization"] = {"credentials": key}
    job["static_configs"] = [{"targets": [system.url.partition("//")[2]]}]
    async with Prometheus(tmp_path, yaml.safe_dump(config)) as prometheus:
        await prometheus.wait_for("up == 1")
        for _ in range(3):
            async with await client.ask("text-10-at-60") as stream:
                await stream.rest()
        await prometheus.wait_for("sum(rate(jobs_finished_total[30s])) > 0")
        await prometheus.wait_for("sum(rate(job_run_seconds_count[30s]))")
        answers = {
            query: await prometheus.query(query.replace("$__rate_interval", "30s")) for query in dashboard.queries()
        }
        answered = {query for query, answer in answers.items() if answer}
        for name in (
            "jobs_in_state",
            "job_run_seconds",
            "http_server_requests",
            "tokens_total",
            "service_up",
            "process_",
        ):
            assert any(name in query for query in answered), name
        await prometheus.wait_for("headrace:http_server_request_duration_seconds:p95")
        assert [] == await prometheus.query(
            'ALERTS{alertname=~"HeadraceNotScraped|HeadraceNoScheduler|HeadracePostgresDown"}'
        )
