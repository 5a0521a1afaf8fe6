"""Health pages over HTTP; no worker runs."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
import redis
from litestar import Litestar
from psycopg_pool import PoolTimeout

from api.app import create_app
from api.settings import ApiSettings
from graphs.providers.langchain.described import describe_listed_models
from graphs.providers.langchain.listing import LangChainModel
from graphs.providers.settings import OFFLINE, ProviderAccess, ProviderSettings
from schema.events.notices import NO_LANGUAGE_MODEL, notice_for_model
from schema.metrics.settings import MetricsSettings
from tests.api.conftest import serving
from tests.conftest import TestTenant
from tests.schema.postgres.read_only import read_only
from tests.secret import VAULT
from tests.waiting import wait_for
from tools.langchain.child import ClassCall
from workers.health.checks import NoWorkers, describe_failure
from workers.redis.client import RedisUnavailable
from workers.redis.connection import ReplyError
from workers.storage import disk


def because(error: BaseException, cause: BaseException) -> BaseException:
    """The error with its cause."""
    error.__cause__ = cause
    return error


async def test_a_process_with_its_stores_is_live_and_ready(api: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready"):
        answer = await api.get(path, headers={"Authorization": ""})
        assert (200, "up") == (answer.status_code, answer.json()["status"])


PARTS = ["postgres", "redis", "storage", "workers", "queues", "routing", "watchdog", "language_model"]


@pytest.fixture
async def admin(admin: httpx.AsyncClient) -> httpx.AsyncClient:
    """The platform's admin, once the database that other tests here take away answers again."""

    async def is_let_in() -> bool:
        return 200 == (await admin.get("/api/auth/me")).status_code

    await wait_for(is_let_in, "the admin is let in")
    return admin


async def test_operators_see_the_details_of_every_part(admin: httpx.AsyncClient) -> None:
    parts = (await admin.get("/health")).json()["parts"]
    assert PARTS == list(parts)
    assert {"chat"} <= set(parts["queues"]["detail"])
    assert all(part["latency_ms"] >= 0 for name, part in parts.items() if name not in ("watchdog", "language_model"))
    assert all(datetime.fromisoformat(part["since"]) <= datetime.now(UTC) for part in parts.values())


async def test_others_see_of_a_part_whether_it_is_up(
    admin: httpx.AsyncClient, owner: TestTenant, application: httpx.AsyncClient
) -> None:
    whole = (await admin.get("/health")).json()
    assert "No worker is running." == whole["parts"]["workers"]["error"]
    wrong = {"Authorization": "Bearer hr_wrong"}
    for path in ("/health", "/health/ready"):
        for headers in ({}, wrong, owner.headers):
            shown = (await application.get(path, headers=headers)).json()
            assert {"status", "hint"} >= {name for part in shown["parts"].values() for name in part}
    assert PARTS == list((await application.get("/health")).json()["parts"])


async def test_a_key_of_an_admin_that_is_narrowed_sees_details_with_the_right_scope_alone(
    admin: httpx.AsyncClient, application: httpx.AsyncClient
) -> None:
    for scope, details in (("operations.read", True), ("tenants.manage", False)):
        made = await admin.post("/api/auth/keys", json={"name": scope, "scopes": [scope]})
        assert 201 == made.status_code, made.text
        headers = {"Authorization": f"Bearer {made.json()['key']}"}
        parts = (await application.get("/health", headers=headers)).json()["parts"]
        assert details == ("latency_ms" in parts["postgres"]), scope


async def test_a_part_that_is_slow_is_degraded(settings: ApiSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.health.SLOW_S", -1.0)
    async with operating(create_app(settings_of_operator(settings))) as client:
        health = (await client.get("/health")).json()
        assert ("degraded", "degraded") == (health["status"], health["parts"]["postgres"]["status"])
        assert 200 == (await client.get("/health/ready")).status_code


async def test_health_says_since_when_and_what_was_wrong_last(
    checked: tuple[Litestar, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, client = checked
    before = await part_of(app, client, "storage")
    with monkeypatch.context() as broken:
        broken.setattr(disk, "_move_durably", refuse)
        down = await part_of(app, client, "storage")
        again = await part_of(app, client, "storage")
    up = await part_of(app, client, "storage")
    assert ["up", "down", "down", "up"] == [part["status"] for part in (before, down, again, up)]
    assert before["since"] < down["since"] == again["since"] < up["since"]
    assert "last_error" not in before
    assert ["It failed: Read-only file system."] * 3 == [down["error"], down["last_error"], up["last_error"]]
    assert "error" not in up
    assert down["since"] <= down["last_error_at"] < again["last_error_at"] == up["last_error_at"] < up["since"]


async def test_health_knows_what_the_scheduler_saw_before_this_process_was_there(
    settings: ApiSettings, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("DELETE FROM service_parts")
        db.execute(
            "INSERT INTO service_parts (part, status, since, error, error_at, works_since, watcher, watched_until) VALUES "
            "('redis', 'up', '2026-01-02T03:04:05Z', 'It can''t be reached.', '2026-01-02T03:03:59Z', NULL, 'a', now()),"
            "('storage', 'down', '2026-01-02T03:04:05Z', 'It failed.', NULL, NULL, 'a', now()),"
            "('disk', 'down', '2026-01-02T03:04:05Z', 'It is full.', '2026-01-02T03:07:00Z', NULL, 'a', now()),"
            "('memory', 'down', '2026-01-02T03:04:05Z', 'It is full.', '2026-01-02T03:07:00Z', now(), 'a', now())"
        )
        async with operating(create_app(settings_of_operator(settings))) as client:
            parts = (await client.get("/health")).json()["parts"]
        db.execute("DELETE FROM service_parts")
    redis_, storage = parts["redis"], parts["storage"]
    assert ("2026-01-02T03:04:05Z", "It can't be reached.") == (redis_["since"], redis_["last_error"])
    assert "2026-01-02T03:03:59Z" == redis_["last_error_at"]
    assert ("up", "It failed.") == (storage["status"], storage["last_error"])
    assert "2026-01-02T03:04:05Z" < storage["since"], "it works now, whatever was stored"
    assert ("down", "It is full.", "2026-01-02T03:07:00Z") == tuple(
        parts["disk"][name] for name in ("status", "error", "last_error_at")
    )
    assert ("down", "It is full.") == (parts["memory"]["status"], parts["memory"]["last_error"])
    assert (True, False) == ("works_since" in parts["memory"], "error" in parts["memory"]), (
        "it is over, and not told yet"
    )


TOKEN = "a-token-of-the-scraper"


def settings_of_operator(settings: ApiSettings) -> ApiSettings:
    """The settings, with a token that operators are known by."""
    return replace(settings, metrics=MetricsSettings(token=TOKEN))


@asynccontextmanager
async def operating(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application whom it knows without Postgres."""
    async with serving(app) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client


async def part_of(app: Litestar, client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """A part, as a fresh check finds it."""
    app.state.resources.health.clear()
    return (await client.get("/health")).json()["parts"][name]


def refuse(*_: object) -> None:
    """What a read-only disk does."""
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ({}, NO_LANGUAGE_MODEL.message),
        ({"OLLAMA_HOST": "127.0.0.1:1"}, None),
        ({"HEADRACE_DEFAULT_MODEL": "openai/gpt-4o", "OPENAI_API_KEY": "sk-1"}, None),
        ({"HEADRACE_DEFAULT_MODEL": "openai/gpt-4o"}, "The model openai/gpt-4o needs OPENAI_API_KEY"),
        ({"HEADRACE_DEFAULT_MODEL": "gpt"}, "There is no model 'gpt'"),
    ],
)
async def test_health_says_how_to_connect_a_language_model_where_none_is(
    settings: ApiSettings, env: dict[str, str], hint: str | None
) -> None:
    own = replace(settings, providers=ProviderSettings.from_env(env))
    async with serving(own) as client:
        part = (await client.get("/health")).json()["parts"]["language_model"]
    said = part.get("hint")
    assert ("up", hint) == (part["status"], said and hint and said[: len(hint)])


async def test_a_default_model_of_langchain_that_cannot_be_made_is_down(settings: ApiSettings) -> None:
    broken = LangChainModel("absent", ClassCall("acme_models:Model"))
    access = ProviderAccess("langchain", "")
    providers = ProviderSettings(configured=(access,), langchain_models=(broken,), default_model="langchain/absent")
    await asyncio.to_thread(describe_listed_models, (broken,), {})
    try:
        async with serving(replace(settings, providers=providers)) as client:
            health = (await client.get("/health")).json()
    finally:
        describe_listed_models((), {})
    assert "down" == health["parts"]["language_model"]["status"]
    assert "up" != health["status"]


async def test_the_list_of_models_says_that_no_language_model_is_connected(api: httpx.AsyncClient) -> None:
    models = {model["id"]: model for model in (await api.get("/v1/models")).json()["data"]}
    assert msgspec.to_builtins(NO_LANGUAGE_MODEL) == models["offline/extractive"]["notice"]
    assert "notice" not in models["auto"]


def test_the_notice_is_about_the_embedded_model_and_names_the_settings() -> None:
    assert NO_LANGUAGE_MODEL == notice_for_model(str(OFFLINE))
    assert notice_for_model("ollama/llama3.2:3b") is None
    assert {"OLLAMA_HOST", "OPENAI_API_KEY", "HEADRACE_DEFAULT_MODEL"} <= set(NO_LANGUAGE_MODEL.message.split())


async def test_a_part_that_does_not_answer_in_time_is_told_of_in_a_sentence(
    settings: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object) -> None:
        await asyncio.Event().wait()

    for place in ("api.health", "workers.health.checks"):
        monkeypatch.setattr(f"{place}.CHECK_TIMEOUT_S", 0.01)
    monkeypatch.setattr("api.health._storage", never)
    async with operating(create_app(settings_of_operator(settings))) as client:
        _, wrong = await health_of(client)
    assert "It did not answer within 0.01 seconds." == wrong["storage"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (psycopg.errors.ReadOnlySqlTransaction("x"), "Postgres refused a write: it is read-only."),
        (psycopg.errors.DiskFull("x"), "Postgres refused a write: its disk is full."),
        (psycopg.errors.DeadlockDetected("x"), "Postgres refused a write: DeadlockDetected."),
        (psycopg.OperationalError("to 10.0.0.7"), "It can't be reached."),
        (PoolTimeout("x"), "It can't be reached."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "It can't be reached."),
        (RedisUnavailable("x"), "It can't be reached."),
        (because(RedisUnavailable("x"), ReplyError("OOM command not allowed")), "Redis refused a write (OOM)."),
        (because(RedisUnavailable("x"), TimeoutError()), "It did not answer within 2 seconds."),
        (because(TimeoutError(), asyncio.CancelledError()), "It did not answer within 2 seconds."),
        (OSError(errno.ENOSPC, "/secret/path"), "It failed: No space left on device."),
        (NoWorkers(), "No worker is running."),
        (RuntimeError("secret"), "It failed (RuntimeError)."),
    ],
)
def test_what_is_wrong_is_said_to_people_without_addresses(error: BaseException, sentence: str) -> None:
    assert sentence == describe_failure(error)


async def test_without_redis_it_is_ready_because_jobs_are_accepted(settings: ApiSettings) -> None:
    away = ApiSettings(database_url=settings.database_url, redis_url="redis://127.0.0.1:1/0", vault=VAULT)
    async with serving(away) as client:
        assert 200 == (await client.get("/health/live")).status_code
        ready = await client.get("/health/ready")
        assert (200, "up") == (ready.status_code, ready.json()["status"])
        health = await client.get("/health")
        assert (200, "degraded") == (health.status_code, health.json()["status"])


async def test_a_process_that_is_about_to_stop_is_not_ready(settings: ApiSettings) -> None:
    app = create_app(settings)
    async with serving(app) as client:
        app.state.shutdown.begin()
        assert 503 == (await client.get("/health/ready")).status_code


async def health_of(client: httpx.AsyncClient) -> tuple[str, dict[str, str | None]]:
    """The overall status, and what is wrong with each part; of fresh checks."""
    health = (await client.get("/health")).json()
    wrong = {name: part.get("error") for name, part in health["parts"].items() if part["status"] == "down"}
    wrong.pop("workers", None)  # those of other tests may run: channels are shared by all databases of a Redis
    return health["status"], wrong


@pytest.fixture
async def checked(settings: ApiSettings) -> AsyncIterator[tuple[Litestar, httpx.AsyncClient]]:
    """An application of the test's own, as checks are remembered, and a client of it."""
    app = create_app(settings_of_operator(settings))
    async with operating(app) as client:
        assert {} == (await health_of(client))[1]
        app.state.resources.health.clear()
        yield app, client


async def test_a_postgres_that_is_read_only_is_down(
    checked: tuple[Litestar, httpx.AsyncClient], database_url: str
) -> None:
    app, client = checked
    with read_only(database_url):
        await wait_for(lambda: is_ready(app, client, 503), "the write is refused")
        status, wrong = await health_of(client)
        assert ("down", True) == (status, "postgres" in wrong)
    await wait_for(lambda: is_ready(app, client, 200), "the write succeeds again")


async def is_ready(app: Litestar, client: httpx.AsyncClient, status: int) -> bool:
    app.state.resources.health.clear()
    return status == (await client.get("/health/ready")).status_code


async def test_a_postgres_that_has_refused_a_request_is_not_ready_even_if_a_small_write_succeeds(
    checked: tuple[Litestar, httpx.AsyncClient], database_url: str, tenant: TestTenant
) -> None:
    """As when its disk is full, but for a few pages."""
    app, client = checked
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;"
            "CREATE TRIGGER full_disk BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
        try:
            answer = await client.post("/api/chat", json={"message": "Hi"}, headers=tenant.headers)
            assert 503 == answer.status_code, answer.text
            assert await is_ready(app, client, 503)
            assert ("down", {"postgres": "Postgres refused a write a moment ago."}) == await health_of(client)
        finally:
            db.execute("DROP FUNCTION full_disk CASCADE")
    await wait_for(lambda: is_ready(app, client, 200), "nothing was refused of late")


@pytest.mark.parametrize(
    ("breaks", "mends"),
    [
        (("maxmemory", "1"), ("maxmemory", "0")),
        (("min-replicas-to-write", "1"), ("min-replicas-to-write", "0")),
    ],
)
async def test_a_redis_that_refuses_writes_is_down_and_jobs_are_accepted(
    checked: tuple[Litestar, httpx.AsyncClient], redis_url: str, breaks: tuple[str, str], mends: tuple[str, str]
) -> None:
    _, client = checked
    with redis.Redis.from_url(redis_url) as valkey:
        policy = str(valkey.config_get("maxmemory-policy")["maxmemory-policy"])
        valkey.config_set("maxmemory-policy", "noeviction")
        valkey.config_set(*breaks)
        try:
            status, wrong = await health_of(client)
            assert 200 == (await client.get("/health/ready")).status_code
        finally:
            valkey.config_set(*mends)
            valkey.config_set("maxmemory-policy", policy)
    assert ("degraded", True) == (status, "redis" in wrong)


async def test_a_storage_that_takes_no_file_is_down(
    checked: tuple[Litestar, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = checked
    monkeypatch.setattr(disk, "_move_durably", refuse)
    assert ("degraded", {"storage": "It failed: Read-only file system."}) == await health_of(client)


async def test_checks_leave_nothing_behind_and_many_callers_cost_as_much_as_one(
    checked: tuple[Litestar, httpx.AsyncClient], database_url: str
) -> None:
    app, client = checked
    await asyncio.gather(*(client.get("/health") for _ in range(50)))
    with psycopg.connect(database_url) as db:
        assert [] == db.execute("SELECT id FROM sessions WHERE title = 'health'").fetchall()
    assert [] == [name async for name in app.state.resources.storage.list_names()]
    assert 1 == app.state.resources.health_pool.get_stats()["connections_num"]
    requests = app.state.resources.health_pool.get_stats()["requests_num"]
    assert requests <= 6, "each of the checks wrote"
