"""The routes of benchmarks: what is refused and why, lists and their filters, the three formats, comparisons."""

import csv
import io
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.conftest import TestTenant

MODEL, OTHER = "offline/extractive", "openai/other"


def add(
    database_url: str, tenant: TestTenant, *, models: list[str], times: dict[str, list[float]], state: str = "succeeded"
) -> str:
    """Store a benchmark with calls that took so many milliseconds."""
    job_id, settings = new_id(), {"models": models, "prompts": ["hi"], "iterations": 9}
    with psycopg.connect(database_url) as db:
        db.execute(
            """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, max_tries, deadline_at, model)
              VALUES (%s, %s, 'benchmark', 'default', %s, 5, '{}', 4, now(), %s)""",
            (tenant.id, job_id, state, models[0]),
        )
        sql = "INSERT INTO benchmarks (tenant_id, id, models, settings, total) VALUES (%s, %s, %s, %s, 18)"
        db.execute(sql, (tenant.id, job_id, Jsonb(models), Jsonb(settings)))
        place = 0
        for model, values in times.items():
            for number, total_ms in enumerate(values, 1):
                error = Jsonb({"code": "provider_timeout", "message": "=slow"}) if total_ms < 0 else None
                db.execute(
                    """INSERT INTO benchmark_iterations (tenant_id, benchmark_id, place, model, number, prompt, attempt,
                        started_at, first_token_ms, total_ms, output_tokens, error)
                      VALUES (%s, %s, %s, %s, %s, 0, 1, now(), %s, %s, 5, %s)""",
                    (tenant.id, job_id, place, model, number, None if error else total_ms / 10, abs(total_ms), error),
                )
                place += 1
    return str(job_id)


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"iterations": 0}, "iterations", "iterations must be at least 1."),
    ({"iterations": 1_000_000}, "iterations", "iterations must be at most 1000."),
    ({"iterations": "many"}, "iterations", "iterations must be an integer or null, not a string."),
    ({"concurrency": 0}, "concurrency", "concurrency must be at least 1."),
    ({"warmup": 11}, "warmup", "warmup must be at most 10."),
    ({"max_tokens": 0}, "max_tokens", "max_tokens must be at least 1."),
    ({"temperature": 3}, "temperature", "temperature must be at most 2."),
    ({"prompt": " "}, "prompt", "prompt must not be empty."),
    ({"prompts": ["a", "  "]}, "prompts[1]", "prompts[1] must not be empty."),
    ({"prompts": []}, "prompts", "prompts must not be empty."),
    ({"prompt": "a", "prompts": ["b"]}, "prompts", "prompt and prompts say the same twice. Send one of them."),
    ({"model_name": MODEL, "models": [MODEL]}, "models", "model_name and models say the same twice."),
    ({"models": [MODEL, MODEL]}, "models[1]", "models[1] names offline/extractive a second time."),
    ({"model_name": "no/such"}, "model_name", "There is no provider 'no'."),
    ({"models": [MODEL, "no/such"]}, "models[1]", "There is no provider 'no'."),
    ({"iteration": 3}, "iteration", "Unknown field iteration."),
]


@pytest.mark.parametrize(("body", "field", "message"), BAD, ids=[str(body) for body, _, _ in BAD])
async def test_what_cant_be_measured_is_refused_by_name(
    api: httpx.AsyncClient, body: dict[str, Any], field: str, message: str
) -> None:
    answer = await api.post("/api/benchmark/llm", json=body)
    assert 400 == answer.status_code, answer.text
    assert [field] == [error["field"] for error in answer.json()["errors"]]
    assert message in answer.json()["detail"]


async def test_more_calls_than_a_benchmark_may_make_are_refused(api: httpx.AsyncClient, database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE grants SET name = '*' WHERE kind = 'model'")
    query = {"iterations": 0, "model_name": MODEL}
    answer = await api.post("/api/benchmark/llm", params=query)
    assert (400, "iterations") == (answer.status_code, answer.json()["errors"][0]["field"])
    answer = await api.post("/api/benchmark/llm?iterations=3", json={"iterations": 4, "model_name": MODEL})
    assert (400, "iterations is another one in the body. Send it once.") == (
        answer.status_code,
        answer.json()["detail"],
    )


async def test_a_model_that_is_not_granted_is_one_that_isnt_there(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM grants WHERE tenant_id = %s AND kind = 'model'", (tenant.id,))
    answer = await api.post("/api/benchmark/llm", json={"model_name": MODEL})
    assert (400, "model_unknown") == (answer.status_code, answer.json()["code"])


async def test_a_benchmark_is_a_job_and_the_same_key_gives_the_same_one(api: httpx.AsyncClient) -> None:
    body = {"model_name": MODEL, "iterations": 3, "seed": 7}
    first = await api.post("/api/benchmark/llm", json=body, headers={"Idempotency-Key": "k"})
    again = await api.post("/api/benchmark/llm", json=body, headers={"Idempotency-Key": "k"})
    assert (202, 202, first.json()["job_id"]) == (first.status_code, again.status_code, again.json()["job_id"])
    assert ("benchmark", "queued") == (first.json()["kind"], first.json()["state"])
    found = (await api.get(f"/api/benchmarks/{first.json()['job_id']}")).json()
    assert {"prompts": ["Explain in one paragraph what a headrace is."], "warmup": 1, "seed": 7, "concurrency": 1} == {
        name: found["settings"][name] for name in ("prompts", "warmup", "seed", "concurrency")
    }
    assert ([], [], 3, 0) == tuple(found[name] for name in ("results", "comparison", "total", "done"))
    other = await api.post("/api/benchmark/llm", json=body | {"seed": 8}, headers={"Idempotency-Key": "k"})
    assert (422, "idempotency_key_reused") == (other.status_code, other.json()["code"])
    waited = await api.post("/api/benchmark/llm?wait=true", json=body)
    assert 202 == waited.status_code, "nobody works here"


async def test_lists_are_pages_and_filters_choose(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    ids = [add(database_url, tenant, models=[MODEL], times={}) for _ in range(3)]
    failed = add(database_url, tenant, models=[MODEL, OTHER], times={}, state="failed")
    first = (await api.get("/api/benchmarks?limit=2")).json()
    rest = (await api.get("/api/benchmarks", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [failed, *ids[::-1]] == [one["id"] for one in first["items"] + rest["items"]]
    assert rest["next_cursor"] is None
    for query, wanted in (
        ({"state": "failed"}, [failed]),
        ({"state": "running"}, []),
        ({"model": OTHER}, [failed]),
        ({"model": MODEL, "state": "succeeded"}, ids[::-1]),
    ):
        found = (await api.get("/api/benchmarks", params=query)).json()["items"]
        assert wanted == [one["id"] for one in found]


async def test_a_wrong_query_parameter_is_refused_alone_where_no_body_is_needed(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/benchmark/llm", params={"iterations": "abc", "prompt": "x"})
    problem = answer.json()
    assert (400, ["iterations"]) == (answer.status_code, [one["field"] for one in problem["errors"]])
    assert "iterations must be an integer in plain digits, such as 20." == problem["detail"]


async def test_the_figures_come_as_json_csv_and_markdown(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    times = {MODEL: [100.0, 200.0, 300.0], OTHER: [50.0, -1.0]}
    asked = add(database_url, tenant, models=[MODEL, OTHER], times=times)
    found = (await api.get(f"/api/benchmarks/{asked}")).json()
    assert [(MODEL, 3, 200.0), (OTHER, 1, 50.0)] == [
        (one["model"], one["succeeded"], one["total_ms"]["mean"]) for one in found["results"]
    ]
    assert {"provider_timeout": 1} == found["results"][1]["errors"]

    answer = await api.get(f"/api/benchmarks/{asked}", headers={"Accept": "text/csv"})
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert "text/csv; header=present; charset=utf-8" == answer.headers["content-type"]
    assert [("0", MODEL, "100.0"), ("4", OTHER, "1.0")] == [
        (lines[place]["place"], lines[place]["model"], lines[place]["total_ms"]) for place in (0, 4)
    ]
    assert "no price" == lines[0]["cost_usd"]
    assert ("provider_timeout", "'=slow") == (lines[4]["error_code"], lines[4]["error_message"]), "no formula"

    answer = await api.get(f"/api/benchmarks/{asked}", headers={"Accept": "text/markdown"})
    assert answer.headers["content-type"].startswith("text/markdown")
    assert "| offline/extractive | total, ms | 3 | 200.0 | 290.0 | 298.0 | 200.0 |" in answer.text
    assert "| openai/other | 1 of 2 | 0 | 10 | no price | provider_timeout 1× |" in answer.text

    page = (await api.get(f"/api/benchmarks/{asked}/iterations?limit=3")).json()
    rest = await api.get(f"/api/benchmarks/{asked}/iterations", params={"cursor": page["next_cursor"]})
    assert [0, 1, 2, 3, 4] == [one["place"] for one in page["items"] + rest.json()["items"]]


async def test_benchmarks_are_compared_with_the_first(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    base = [100.0, 101.0, 99.0, 100.0, 102.0, 98.0]
    first = add(database_url, tenant, models=[MODEL], times={MODEL: base})
    second = add(database_url, tenant, models=[OTHER, MODEL], times={MODEL: [2 * ms for ms in base], OTHER: base})
    found = (await api.get("/api/benchmarks/compare", params={"ids": f"{first},{second}"})).json()
    assert [(first, MODEL), (second, OTHER), (second, MODEL)] == [
        (one["benchmark_id"], one["model"]) for one in found["results"]
    ]
    totals = {one["model"]: one for one in found["comparison"] if one["metric"] == "total_ms"}
    assert (2.0, True, first, second) == tuple(
        totals[MODEL][name] for name in ("ratio", "differs", "baseline_id", "benchmark_id")
    )
    assert (1.0, False, MODEL) == tuple(totals[OTHER][name] for name in ("ratio", "differs", "baseline"))


@pytest.mark.parametrize("ids", ["", "x", "{first}", "{first},{first}", ",".join(str(new_id()) for _ in range(9))])
async def test_what_cant_be_compared_is_refused(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, ids: str
) -> None:
    first = add(database_url, tenant, models=[MODEL], times={})
    answer = await api.get("/api/benchmarks/compare", params={"ids": ids.format(first=first)})
    assert (400, "ids") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_nothing_of_a_stranger_is_seen(
    api: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    theirs = add(database_url, stranger, models=[MODEL], times={MODEL: [1.0]})
    mine = add(database_url, tenant, models=[MODEL], times={MODEL: [1.0]})
    for path in (f"/{theirs}", f"/{theirs}/iterations", f"/compare?ids={mine},{theirs}"):
        assert 404 == (await api.get(f"/api/benchmarks{path}")).status_code
    assert [mine] == [one["id"] for one in (await api.get("/api/benchmarks")).json()["items"]]
