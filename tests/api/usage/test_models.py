"""What is known of models: for those who use them, and for admins who set and reset it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import TestTenant

STORED = "/api/admin/models"
MINI = "openai/gpt-4o-mini"


async def test_a_caller_sees_the_models_that_are_granted_and_what_they_cost(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, tenant: TestTenant
) -> None:
    listed = (await api.get("/api/models", headers=tenant.headers)).json()["items"]
    found = {model["name"]: model for model in listed}
    chat, embedder = found["offline/extractive"], found["minilm/all-MiniLM-L6-v2"]
    assert ("chat", "offline", True, 0) == (
        *(chat[name] for name in ("kind", "provider", "price_known")),
        chat["price"]["input_usd"],
    )
    assert ("embedding", False, True) == (embedder["kind"], embedder["tools"], embedder["price_known"])
    only = (await api.get("/api/models", params={"kind": "embedding"}, headers=tenant.headers)).json()["items"]
    assert {"embedding"} == {model["kind"] for model in only}
    await admin.delete(f"/api/admin/tenants/{tenant.slug}/grants/model/*")
    left = (await api.get("/api/models", headers=tenant.headers)).json()["items"]
    assert ["minilm/all-MiniLM-L6-v2"] == [model["name"] for model in left]


async def test_what_an_admin_sets_replaces_the_seed_until_it_is_reset(admin: httpx.AsyncClient) -> None:
    seed = (await admin.get(f"{STORED}/{MINI}")).json()
    assert (0.15, 0.075, True, 128_000) == tuple(
        seed[name] for name in ("input_usd", "cached_input_usd", "images", "context_tokens")
    )
    assert seed["source"].startswith("models.dev ")
    assert MINI not in {model["name"] for model in (await admin.get(STORED)).json()["items"]}

    put = (await admin.put(f"{STORED}/{MINI}", json={"tools": False})).json()
    assert (False, 0.15, 0.075, None) == tuple(
        put[name] for name in ("tools", "input_usd", "cached_input_usd", "source")
    )
    body = {"input_usd": 1, "output_usd": 2, "reasoning_usd": 3.5, "retires_on": "2027-01-31", "deprecated": True}
    put = (await admin.put(f"{STORED}/{MINI}", json=body)).json()
    assert body == {name: put[name] for name in body}
    assert (None, False) == (put["cached_input_usd"], put["tools"])  # prices belong together, the rest is kept
    assert MINI in {model["name"] for model in (await admin.get(STORED)).json()["items"]}

    dearer = {"dearer_above_tokens": 200_000, "dearer_input_usd": 2, "dearer_output_usd": 3, "cache_write_1h_usd": 4}
    put = (await admin.put(f"{STORED}/{MINI}", json={"input_usd": 1, "output_usd": 2, **dearer})).json()
    assert dearer == {name: put[name] for name in dearer}

    assert 204 == (await admin.delete(f"{STORED}/{MINI}")).status_code
    again = (await admin.get(f"{STORED}/{MINI}")).json()
    assert seed | {"updated_at": ""} == again | {"updated_at": ""}
    assert 404 == (await admin.delete(f"{STORED}/{MINI}")).status_code
    listed = (await admin.get(STORED, params={"origin": "seed"})).json()["items"]
    assert MINI in {model["name"] for model in listed}


async def test_a_deployment_is_told_which_model_it_is(admin: httpx.AsyncClient) -> None:
    name = f"azure/our-{uuid4().hex[:6]}"
    assert 404 == (await admin.get(f"{STORED}/{name}")).status_code
    put = (await admin.put(f"{STORED}/{name}", json={"like": MINI, "max_output_tokens": 100})).json()
    assert (name, 0.15, 0.6, 0.075, 100, None) == tuple(
        put[field] for field in ("name", "input_usd", "output_usd", "cached_input_usd", "max_output_tokens", "source")
    )
    await admin.delete(f"{STORED}/{name}")
    assert 404 == (await admin.get(f"{STORED}/{name}")).status_code


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"output_usd": 1}, "input_usd"),
        ({"cached_input_usd": 1}, "input_usd"),
        ({"input_usd": 1, "output_usd": 1, "cache_write_usd": 0.0000001}, "cache_write_usd"),
        ({"input_usd": 1, "output_usd": 1, "reasoning_usd": -1}, "reasoning_usd"),
        ({"input_usd": 1, "output_usd": 1, "dearer_input_usd": 2, "dearer_output_usd": 2}, "dearer_above_tokens"),
        ({"input_usd": 1, "output_usd": 1, "dearer_above_tokens": 200_000}, "dearer_input_usd"),
        ({"dearer_above_tokens": 200_000, "dearer_input_usd": 2, "dearer_output_usd": 2}, "input_usd"),
        ({"input_usd": 1, "output_usd": 1, "dearer_above_tokens": 9}, "dearer_above_tokens"),
        ({"kind": "image"}, "kind"),
        ({"like": "openai/of-which-nothing-is-known"}, "like"),
        ({"like": "gpt"}, "like"),
        ({"retires_on": "soon"}, "retires_on"),
    ],
)
async def test_what_cant_be_is_refused(admin: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await admin.put(f"{STORED}/some/model", json=body)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_what_a_put_omits_keeps_its_value(admin: httpx.AsyncClient) -> None:
    path = "/api/admin/models/openai/azure-like"
    first = {"input_usd": 1.5, "output_usd": 2, "context_tokens": 9000, "fallbacks": ["ollama/llama3.2:3b"]}
    assert 200 == (await admin.put(path, json=first)).status_code
    second = await admin.put(path, json={"images": True})
    assert first | {"images": True} == {name: second.json()[name] for name in (*first, "images")}
    third = await admin.put(path, json={"fallbacks": [], "context_tokens": None})
    assert (1.5, [], None, True) == tuple(
        third.json()[name] for name in ("input_usd", "fallbacks", "context_tokens", "images")
    )
    alike = await admin.put(path, json={"like": "openai/gpt-4o-mini"})
    assert 1.5 != alike.json()["input_usd"]
    await admin.delete(path)
