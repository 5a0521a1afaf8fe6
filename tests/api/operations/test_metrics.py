"""`/metrics`: who may read it, in which format, and what it shows."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.settings import ApiSettings
from schema.errors import InputError
from schema.metrics.settings import MetricsSettings
from tests.api.conftest import serving
from tests.conftest import TestTenant, make_tenant

TOKEN = "a-token-of-the-scraper"
SCRAPER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = ("/metrics", "/metrics/prometheus")
PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture(scope="module")
async def scraped(settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that knows the scraper's token."""
    async with serving(replace(settings, metrics=MetricsSettings(token=TOKEN))) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_only_admins_and_the_scraper_read_metrics(
    scraped: httpx.AsyncClient, admin: httpx.AsyncClient, tenant: TestTenant, path: str
) -> None:
    wrong = {"Authorization": f"Bearer {TOKEN}x"}
    for headers, status in (({}, 401), (wrong, 401), (tenant.headers, 403), (dict(admin.headers), 200), (SCRAPER, 200)):
        answer = await scraped.get(path, headers=headers)
        assert (path, status) == (path, answer.status_code), headers


async def test_the_scrapers_token_opens_nothing_else(scraped: httpx.AsyncClient) -> None:
    for path in ("/api/jobs", "/api/admin/tenants", "/api/tenant"):
        assert 401 == (await scraped.get(path, headers=SCRAPER)).status_code


async def test_without_a_token_none_is_the_right_one(
    application: httpx.AsyncClient,
) -> None:
    for value in ("Bearer", "Bearer ", "", "Bearer x"):
        assert 401 == (await application.get("/metrics", headers={"Authorization": value})).status_code


async def test_people_get_json_and_scrapers_text(scraped: httpx.AsyncClient) -> None:
    for accept in ("*/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"):
        shown = (await scraped.get("/metrics", headers={**SCRAPER, "Accept": accept})).json()
        assert {"cpu_usage_percent", "memory_usage_percent", "disk_usage_percent", "gpus"} <= set(shown)
        assert 0 < shown["memory_usage_percent"] <= 100
        assert shown["processes"][0]["memory_bytes"] > 1_000_000
    text = await scraped.get("/metrics", headers={**SCRAPER, "Accept": PROMETHEUS_ACCEPTS})
    assert text.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(text.text)}
    assert {"process_resident_memory_bytes", "system_memory_utilization_ratio", "http_server_requests"} <= families


async def test_requests_are_counted_by_route_whatever_is_in_the_path(
    scraped: httpx.AsyncClient, tenant: TestTenant
) -> None:
    before = await series(scraped)
    for number in range(30):
        await scraped.get(f"/api/jobs/{number:08d}-0000-7000-8000-000000000000", headers=tenant.headers)
        await scraped.get(f"/no/such/{number}")
    await scraped.request("BREW", "/api/jobs")
    new = set(await series(scraped)) - set(before)
    routes = {re.search(r'http_route="([^"]+)"', name)[1] for name in new if "http_route" in name}  # type: ignore[index]
    assert {"/api/jobs/{job_id}", "unmatched"} >= routes - {"/metrics/prometheus", "/api/jobs"}
    assert not any("BREW" in name for name in new)


async def test_many_tenants_make_no_more_series_than_one(
    scraped: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    await scraped.get("/api/jobs", headers=tenant.headers)
    before = await series(scraped)
    for _ in range(5):
        await scraped.get("/api/jobs", headers=make_tenant(database_url).headers)
    assert set(before) == set(await series(scraped))


async def series(client: httpx.AsyncClient) -> list[str]:
    text = (await client.get("/metrics/prometheus", headers=SCRAPER)).text
    text = (await client.get("/metrics/prometheus", headers=SCRAPER)).text or text
    return [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]


def check_metrics(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
async def test_promtool_accepts_what_is_scraped(scraped: httpx.AsyncClient) -> None:
    text = (await scraped.get("/metrics/prometheus", headers=SCRAPER)).text
    done = await asyncio.to_thread(check_metrics, text)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("HEADRACE_METRICS_PORT", "http", "must be a port number from 1 to 65535"),
        ("HEADRACE_METRICS_PORT", "0", "must be a port number from 1 to 65535"),
        ("HEADRACE_METRICS_TOKEN", "short", "must have 16 or more characters"),
        ("HEADRACE_METRICS_TOKEN", "a token with spaces", "without spaces"),
    ],
)
def test_wrong_settings_are_named(name: str, value: str, right: str) -> None:
    with pytest.raises((ValueError, InputError)) as caught:
        MetricsSettings.from_env({name: value})
    assert name in str(caught.value)
    assert right in str(caught.value)
    assert value not in str(caught.value) or name != "HEADRACE_METRICS_TOKEN"
