"""`/api/performance/summary` and `/series`: who sees whose jobs, and what of them."""

from typing import Any

import httpx

from schema.metrics.figures import FIGURES
from schema.postgres.connections import pool_for, system_tx
from schema.queries.tenants.performance import count_samples
from schema.vault import PLATFORM
from tests.conftest import TestTenant
from tests.workers.retained_rows import add
from workers.figures import write_figures
from workers.queue.job_core import JobCore

USED = {"input_tokens": 1000, "output_tokens": 200, "cost_nanos": 500_000_000}
NONE = {"p50_s": None, "p95_s": None, "p99_s": None}


async def summary(client: httpx.AsyncClient, who: TestTenant | None = None) -> dict[str, Any]:
    answer = await client.get("/api/performance/summary", headers=who.headers if who else {})
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_owners_see_their_jobs_and_admins_all(
    application: httpx.AsyncClient, admin: httpx.AsyncClient, owner: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    for state in ("succeeded", "failed", "cancelled"):
        add(database_url, "job_samples", owner, kind="chat", state=state, run_s=2.0, wait_s=0.5, **USED)
    add(database_url, "job_samples", stranger, kind="pipeline", state="succeeded", **USED)
    async with pool_for(database_url, "headrace_system", max_size=1) as pool, system_tx(pool) as db:
        await count_samples(db)
    shown = await summary(application, owner)
    assert ("tenant", ["5m", "hour", "day", "week"]) == (shown["of"], [one["window"] for one in shown["windows"]])
    for window in shown["windows"]:
        (chat,) = window["kinds"]
        now = chat["now"]
        assert ("chat", 3, 1, 1) == (chat["kind"], now["jobs"], now["failed"], now["cancelled"])
        assert (3000, 600, 1.5) == (now["input_tokens"], now["output_tokens"], now["cost_usd"])
        assert 1.9 < now["run"]["p50_s"] < 2.1
        assert NONE == now["first_token"]
        assert 0 == chat["before"]["jobs"]
        assert window["since"] < shown["at"]
    per_minute = shown["windows"][0]["kinds"][0]["now"]["jobs_per_minute"]
    assert 3 / 6 <= per_minute <= 3 / 5
    everything = await summary(admin)
    kinds = {kind["kind"]: kind["now"]["jobs"] for kind in everything["windows"][2]["kinds"]}
    assert "installation" == everything["of"]
    assert kinds["chat"] >= 3
    assert kinds["pipeline"] >= 1
    for window, steps in (("hour", 61), ("week", 169)):
        path = f"/api/performance/series?window={window}"
        answer = (await application.get(path, headers=owner.headers)).json()
        assert steps == len(answer["points"])
        assert (3, 1, 1, 1.5) == tuple(
            sum(point[name] for point in answer["points"]) for name in ("jobs", "failed", "cancelled", "cost_usd")
        )
        (full,) = [point for point in answer["points"] if point["run"]["p50_s"]]
        assert 1.9 < full["run"]["p99_s"] < 2.1
        assert NONE == full["first_token"]
        other = (await application.get(f"{path}&kind=batch", headers=owner.headers)).json()
        assert 0 == sum(point["jobs"] for point in other["points"])
    told = await application.get("/api/performance/series", headers=owner.headers | {"Accept": "text/csv"})
    head, *lines = told.text.splitlines()
    assert ("at,jobs,failed", 61) == (head[:14], len(lines))
    assert 3 <= sum(point["jobs"] for point in (await admin.get("/api/performance/series")).json()["points"])


async def test_a_tenant_without_jobs_has_empty_windows(application: httpx.AsyncClient, owner: TestTenant) -> None:
    assert [[]] * 4 == [window["kinds"] for window in (await summary(application, owner))["windows"]]


async def test_members_may_not_see_it_and_unknown_windows_are_named(
    api: httpx.AsyncClient, application: httpx.AsyncClient, owner: TestTenant
) -> None:
    assert 403 == (await api.get("/api/performance/summary")).status_code
    assert 403 == (await api.get("/api/performance/series")).status_code
    for route in ("summary", "series"):
        wrong = await application.get(f"/api/performance/{route}?window=year", headers=owner.headers)
        assert (400, True) == (wrong.status_code, "window" in wrong.text)


async def test_tools_the_cache_and_routes_are_counted_as_they_are_used(
    application: httpx.AsyncClient, admin: httpx.AsyncClient, owner: TestTenant, stranger: TestTenant, core: JobCore
) -> None:
    await write_figures(core.pool)  # what other tests of this process counted
    before = (await summary(admin))["windows"][2]
    assert 404 == (await application.get(f"/api/jobs/{PLATFORM}", headers=owner.headers)).status_code
    for succeeded in (True, True, True, False):
        FIGURES.note_tool(str(owner.id), ok=succeeded)
    FIGURES.note_tool(str(stranger.id), ok=True)
    FIGURES.note_lookup(str(owner.id), hit=True)
    for seconds, failed in ((0.2, False), (0.2, True)):
        FIGURES.note_route("GET", "/api/of-this-test", seconds, failed=failed)
    await write_figures(core.pool)
    shown = await summary(application, owner)
    for window in shown["windows"]:
        assert {"count": 4, "share": 0.75, "count_before": 0, "share_before": None} == window["tools"]
        assert (1, 1.0) == (window["answer_cache"]["count"], window["answer_cache"]["share"])
        assert [] == window["routes"]
        assert [] == window["kinds"]
    everything = (await summary(admin))["windows"][2]
    assert 5 == everything["tools"]["count"] - before["tools"]["count"]
    routes = {route["route"]: route["now"] for route in everything["routes"]}
    mine = routes["GET /api/of-this-test"]
    assert (2, 1) == (mine["requests"], mine["failed"])
    assert 0.19 < mine["time"]["p50_s"] < 0.21
    assert routes["GET /api/jobs/{job_id}"]["requests"] >= 1
    assert not any("/health" in route for route in routes)


async def test_what_could_not_be_written_waits(core: JobCore, owner: TestTenant, database_url: str) -> None:
    await write_figures(core.pool)
    FIGURES.note_tool(str(owner.id), ok=True)
    async with pool_for(database_url.replace("127.0.0.1:", "127.0.0.1:1"), "headrace_app", max_size=1) as away:
        await write_figures(away)
    assert {(str(owner.id), "tools", "succeeded", 0): 1} == FIGURES.take()
