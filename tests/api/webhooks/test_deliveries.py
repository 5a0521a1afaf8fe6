"""Deliveries over HTTP: lists with filters, attempts, and sending again; and who is told of a job's end."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from schema.ids import new_id
from tests.api.people import audit_entries
from tests.conftest import TestTenant
from tests.waiting import wait_for
from tests.workers.jobs import change, job_row
from tests.workers.webhooks.hooks import deliveries, end_one, have_endpoint
from workers.queue.job_core import JobCore

TENANT_ROLE = "owner"

DELIVERIES = "/api/webhooks/deliveries"
RECEIVER = "http://127.0.0.1:9/hook"


async def listed(api: httpx.AsyncClient, **filters: Any) -> list[str]:
    return [one["id"] for one in (await api.get(DELIVERIES, params=filters)).json()["items"]]


async def test_a_list_has_filters_and_pages(
    api: httpx.AsyncClient, core: JobCore, tenant: TestTenant, database_url: str
) -> None:
    one, _ = await have_endpoint(core, tenant, RECEIVER)
    other, _ = await have_endpoint(core, tenant, RECEIVER, events=["job.cancelled"], kinds=["chat"])
    await have_endpoint(core, tenant, RECEIVER, kinds=["pipeline"])
    await have_endpoint(core, tenant, RECEIVER, events=["document.*", "job.failed"])
    jobs = [await end_one(core, tenant) for _ in range(3)]
    assert 6 == len(await listed(api))
    assert 3 == len(await listed(api, endpoint_id=one))
    assert 2 == len(await listed(api, job_id=jobs[1]))
    assert 1 == len(await listed(api, job_id=jobs[1], endpoint_id=other, state="pending", type="job.cancelled"))
    assert [] == await listed(api, type="job.failed")
    assert [] == await listed(api, since="2999-01-01T00:00:00Z")
    assert 6 == len(await listed(api, until="2999-01-01T00:00:00Z"))
    first = (await api.get(DELIVERIES, params={"limit": 4})).json()
    rest = (await api.get(DELIVERIES, params={"limit": 4, "cursor": first["next_cursor"]})).json()
    ids = [found["id"] for found in first["items"] + rest["items"]]
    assert sorted(ids, reverse=True) == ids
    assert (6, None) == (len(set(ids)), rest["next_cursor"])
    assert 3 == len({found["webhook_id"] for found in first["items"] + rest["items"]})
    ordered = [row["sequence"] for row in deliveries(database_url, tenant)]
    assert sorted(ordered) == ordered


async def test_a_type_that_no_delivery_has_is_refused_with_those_that_are(api: httpx.AsyncClient) -> None:
    for answer, field in (
        (await api.get(DELIVERIES, params={"type": "zz"}), "type"),
        (await api.post(f"{DELIVERIES}/redeliver", json={"types": ["job.failed", "job.*"]}), "types[1]"),
    ):
        assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])
        assert "must be one of job.succeeded, job.failed, " in answer.json()["detail"]
    assert 200 == (await api.get(DELIVERIES, params={"type": "webhook.test"})).status_code


async def test_deliveries_are_sent_again_one_or_many(
    api: httpx.AsyncClient, core: JobCore, tenant: TestTenant, database_url: str
) -> None:
    endpoint_id, _ = await have_endpoint(core, tenant, RECEIVER)
    for _ in range(3):
        await end_one(core, tenant)
    change(
        database_url,
        "UPDATE webhook_deliveries SET state = 'exhausted', tries = 10, attempt = 10, ended_at = now() WHERE tenant_id = %s",
        tenant.id,
    )
    (first, *_) = deliveries(database_url, tenant)
    again = await api.post(f"{DELIVERIES}/{first['id']}/redeliver")
    assert (202, "pending", f"msg_{first['event_id'].hex}") == (
        again.status_code,
        again.json()["state"],
        again.json()["webhook_id"],
    )
    many = {"endpoint_id": str(endpoint_id), "states": ["exhausted"], "since": "2020-01-01T00:00:00"}
    assert {"redelivered": 2} == (await api.post(f"{DELIVERIES}/redeliver", json=many)).json()
    assert {("pending", 0, 10)} == {
        (row["state"], row["tries"], row["attempt"]) for row in deliveries(database_url, tenant)
    }
    assert {"redelivered": 0} == (await api.post(f"{DELIVERIES}/redeliver", json={"types": ["job.failed"]})).json()
    assert 400 == (await api.post(f"{DELIVERIES}/redeliver", json={})).status_code
    assert 404 == (await api.post(f"{DELIVERIES}/redeliver", json={"endpoint_id": str(new_id())})).status_code
    assert 404 == (await api.post(f"{DELIVERIES}/{new_id()}/redeliver")).status_code


@pytest.mark.parametrize("headers", [{"Prefer": "respond-async"}, {"Prefer": "wait=1"}])
async def test_a_chat_may_name_who_is_told(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, headers: dict[str, str]
) -> None:
    body = {
        "message": "hi",
        "callback_url": RECEIVER,
        "callback_events": ["job.failed"],
        "callback_include": ["result"],
    }
    sent = await api.post("/api/chat", json=body, headers=headers)
    assert 202 == sent.status_code
    wanted = {"url": RECEIVER, "events": ["job.failed"], "include": ["result"]}
    assert wanted == job_row(database_url, UUID(sent.json()["job_id"]))["callback"]


async def test_a_header_says_it_where_a_body_has_no_room(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    headers = {"X-Headrace-Callback-URL": RECEIVER, "X-Headrace-Callback-Events": "job.failed, job.cancelled"}
    wanted = {"url": RECEIVER, "events": ["job.failed", "job.cancelled"], "include": []}
    chat = await api.post("/api/chat", json={"message": "hi"}, headers=headers | {"Prefer": "respond-async"})
    files = {"files": ("a.txt", b"water")}
    upload = await api.post("/api/documents", files=files, headers=headers)
    by_form = await api.post("/api/documents", files={"files": ("b.txt", b"mill")}, data={"callback_url": RECEIVER})
    found = [job_row(database_url, UUID(answer.json()["job_id"]))["callback"] for answer in (chat, upload, by_form)]
    assert [wanted, wanted, {"url": RECEIVER, "events": ["job.*"], "include": []}] == found


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"callback_url": "https://192.168.1.1/"}, "callback_url"),
        ({"callback_url": "http://8.8.8.8/"}, "callback_url"),
        ({"callback_url": "https://nobody.invalid/"}, "callback_url"),
        ({"callback_url": RECEIVER, "callback_events": ["document.ready"]}, "callback_events[0]"),
        ({"callback_events": ["job.failed"]}, "callback_events"),
        ({"callback_include": ["result"]}, "callback_include"),
    ],
)
async def test_a_bad_callback_is_refused_before_anything_is_accepted(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, fields: dict[str, Any], field: str
) -> None:
    for path, body in (("/api/chat", {"message": "hi"}), ("/api/pipelines/chat/execute", {"input": "hi"})):
        refused = await api.post(path, json=body | fields)
        assert (400, [field]) == (refused.status_code, [error["field"] for error in refused.json()["errors"]])
    assert 0 == len((await api.get("/api/jobs")).json()["items"])


async def test_a_budget_that_is_nearly_spent_is_told_with_its_audit_row(
    api: httpx.AsyncClient, core: JobCore, tenant: TestTenant, database_url: str
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["budget.*"])
    change(
        database_url,
        "INSERT INTO models (name, input_usd, output_usd) VALUES ('offline/extractive', 100, 100) ON CONFLICT DO NOTHING",
    )
    change(
        database_url,
        "UPDATE tenants SET budget_day_nanos = 110000000, budget_warn_percent = 50 WHERE id = %s",
        tenant.id,
    )
    sent = await api.post("/api/chat", json={"message": "hi"}, headers={"Prefer": "respond-async"})
    assert 202 == sent.status_code
    (row,) = await wait_for(lambda: deliveries(database_url, tenant), "the warning is told")
    assert ("budget.reached", {"budget": "day", "percent": 50}) == (row["type"], row["data"])
    assert 1 == len(audit_entries(database_url, tenant.id, "budget.warned"))


async def test_openai_routes_refuse_a_bad_callback_in_their_own_words(api: httpx.AsyncClient) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    refused = await api.post(
        "/v1/chat/completions", json=body, headers={"X-Headrace-Callback-URL": "https://10.0.0.1/"}
    )
    assert (400, "X-Headrace-Callback-URL") == (refused.status_code, refused.json()["error"]["param"])
