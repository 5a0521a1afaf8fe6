"""Health pages over HTTP; no worker runs."""

from dataclasses import replace

import httpx
import msgspec
import pytest

from api.app import create_app
from api.settings import ApiSettings
from graphs.providers.settings import OFFLINE, ProviderSettings
from schema.notices import NO_LANGUAGE_MODEL, notice_for_model
from tests.api.conftest import serving
from tests.secret import VAULT


async def test_a_process_with_its_stores_is_live_and_ready(api: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready"):
        answer = await api.get(path, headers={"Authorization": ""})
        assert (200, "up") == (answer.status_code, answer.json()["status"])


async def test_health_shows_every_part_and_that_no_worker_is_there(api: httpx.AsyncClient) -> None:
    answer = await api.get("/health")
    parts = answer.json()["parts"]
    assert ["postgres", "redis", "workers", "queues", "language_model"] == list(parts)
    assert {"chat"} <= set(parts["queues"]["detail"])
    assert all(part["latency_ms"] >= 0 for name, part in parts.items() if name != "language_model")


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ({}, NO_LANGUAGE_MODEL.message),
        ({"OLLAMA_HOST": "127.0.0.1:1"}, None),
        ({"HEADRACE_DEFAULT_MODEL": "gpt"}, None),
    ],
)
async def test_health_says_how_to_connect_a_language_model_where_none_is(
    settings: ApiSettings, env: dict[str, str], hint: str | None
) -> None:
    own = replace(settings, providers=ProviderSettings.from_env(env))
    async with serving(create_app(own)) as client:
        part = (await client.get("/health")).json()["parts"]["language_model"]
    assert ("up", hint) == (part["status"], part.get("hint"))


async def test_the_list_of_models_says_that_no_language_model_is_connected(api: httpx.AsyncClient) -> None:
    models = {model["id"]: model for model in (await api.get("/v1/models")).json()["data"]}
    assert msgspec.to_builtins(NO_LANGUAGE_MODEL) == models["offline/extractive"]["notice"]
    assert "notice" not in models["auto"]


def test_the_notice_is_about_the_embedded_model_and_names_the_settings() -> None:
    assert NO_LANGUAGE_MODEL == notice_for_model(str(OFFLINE))
    assert notice_for_model("ollama/llama3.2:3b") is None
    assert {"OLLAMA_HOST", "OPENAI_API_KEY", "HEADRACE_DEFAULT_MODEL"} <= set(NO_LANGUAGE_MODEL.message.split())


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
