"""Health pages over HTTP; no worker runs."""

import httpx

from api.app import create_app
from api.settings import ApiSettings
from tests.api.conftest import serving
from tests.secret import VAULT


async def test_a_process_with_its_stores_is_live_and_ready(api: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready"):
        answer = await api.get(path, headers={"Authorization": ""})
        assert (200, "up") == (answer.status_code, answer.json()["status"])


async def test_health_shows_every_part_and_that_no_worker_is_there(api: httpx.AsyncClient) -> None:
    answer = await api.get("/health")
    parts = answer.json()["parts"]
    assert ["postgres", "redis", "workers", "queues"] == list(parts)
    assert {"chat"} <= set(parts["queues"]["detail"])
    assert all(part["latency_ms"] >= 0 for part in parts.values())


async def test_without_redis_it_is_ready_because_jobs_are_accepted(settings: ApiSettings) -> None:
    away = ApiSettings(database_url=settings.database_url, redis_url="redis://127.0.0.1:1/0", vault=VAULT)
    async with serving(create_app(away)) as client:
        assert 200 == (await client.get("/health/live")).status_code
        ready = await client.get("/health/ready")
        assert (200, "up") == (ready.status_code, ready.json()["status"])
        health = await client.get("/health")
        assert (200, "degraded") == (health.status_code, health.json()["status"])


async def test_a_process_that_is_about_to_stop_is_not_ready(settings: ApiSettings) -> None:
    app = create_app(settings)
    async with serving(app) as client:
        app.state.streams.close()
        assert 503 == (await client.get("/health/ready")).status_code
