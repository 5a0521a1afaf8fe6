"""Jobs over HTTP while no worker runs: what waits can be seen, cancelled, followed and driven again."""

from typing import Any

import httpx
import pytest

from tests.conftest import TestTenant
from tests.journeys.agent_setup import add_agent
from tests.retrieval.document_tables import DocumentTables
from tests.workers.jobs import change


async def submit(api: httpx.AsyncClient, message: str = "hi", **headers: str) -> dict[str, Any]:
    answer = await api.post("/api/chat", json={"message": message}, headers={"Prefer": "respond-async", **headers})
    assert 202 == answer.status_code
    return answer.json()


async def cancelled(api: httpx.AsyncClient) -> str:
    job_id = (await submit(api))["job_id"]
    await api.post(f"/api/jobs/{job_id}/cancel")
    return job_id


async def test_an_accepted_job_is_found_where_its_location_says(api: httpx.AsyncClient) -> None:
    answer = await api.post("/chat", json={"message": "hi"}, headers={"Prefer": "respond-async"})
    job = (await api.get(answer.headers["location"])).json()
    assert (answer.json()["job_id"], "queued", "worker") == (job["id"], job["state"], job["waiting_for"])
    assert "respond-async" == answer.headers["preference-applied"]
    assert answer.headers["x-request-id"] == job["request_id"]
    assert [] == job["attempts"]


async def test_a_job_shows_the_agent_that_auto_selected_once_it_is_known(
    api: httpx.AsyncClient, database_url: str
) -> None:
    job_id = (await submit(api))["job_id"]
    change(database_url, "UPDATE jobs SET agent = 'auto' WHERE id = %s", job_id)
    assert "auto" == (await api.get(f"/api/jobs/{job_id}")).json()["agent"]
    result = '{"text": "7", "agent": "AgentInventory"}'
    change(database_url, "UPDATE jobs SET state = 'succeeded', result = %s WHERE id = %s", result, job_id)
    (listed,) = (await api.get("/api/jobs")).json()["items"]
    assert ["AgentInventory"] * 2 == [listed["agent"], (await api.get(f"/api/jobs/{job_id}")).json()["agent"]]
    error = '{"code": "provider_failed", "message": "It failed.", "agent": "AgentDebt"}'
    change(database_url, "UPDATE jobs SET state = 'failed', result = NULL, error = %s WHERE id = %s", error, job_id)
    assert "AgentDebt" == (await api.get(f"/api/jobs/{job_id}")).json()["agent"]


@pytest.mark.parametrize(
    ("said", "agent"),
    [({}, "auto"), ({"collections": ["roads"]}, None), ({"collections": ["roads"], "agent": "auto"}, "auto")],
)
async def test_who_names_collections_and_no_agent_is_answered_from_them_by_none(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, said: dict[str, Any], agent: str | None
) -> None:
    add_agent(database_url, tenant, "Debt", description="Debts of customers.")
    DocumentTables(database_url, tenant.id).collection("roads")
    answer = await api.post("/api/chat", json={"message": "hi", **said}, headers={"Prefer": "respond-async"})
    assert agent == (await api.get(f"/api/jobs/{answer.json()['job_id']}")).json()["agent"]


async def test_a_chat_that_is_not_answered_in_time_becomes_a_job(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/chat", json={"message": "hi"})
    assert (202, "queued") == (answer.status_code, answer.json()["state"])
    assert f"/api/jobs/{answer.json()['job_id']}" == answer.headers["location"]


async def test_the_second_turn_of_a_session_says_that_it_waits_for_the_first(api: httpx.AsyncClient) -> None:
    first = await submit(api)
    body = {"message": "and?", "session_id": first["session_id"]}
    second = (await api.post("/api/chat", json=body, headers={"Prefer": "respond-async"})).json()
    assert "session" == (await api.get(f"/api/jobs/{second['job_id']}")).json()["waiting_for"]


async def test_a_busy_session_rejects_when_it_is_asked_to(api: httpx.AsyncClient) -> None:
    first = await submit(api)
    body = {"message": "and?", "session_id": first["session_id"], "on_busy": "reject"}
    answer = await api.post("/api/chat", json=body)
    assert (409, "session_busy") == (answer.status_code, answer.json()["code"])


async def test_an_idempotency_key_gives_the_same_job_again(api: httpx.AsyncClient) -> None:
    first = await submit(api, **{"Idempotency-Key": "k-1"})
    again = await submit(api, **{"Idempotency-Key": '"k-1"'})
    assert first["job_id"] == again["job_id"]


async def test_an_idempotency_key_with_another_body_is_422(api: httpx.AsyncClient) -> None:
    await submit(api, **{"Idempotency-Key": "k-2"})
    answer = await api.post("/api/chat", json={"message": "other"}, headers={"Idempotency-Key": "k-2"})
    assert (422, "idempotency_key_reused") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "tab\tkey"])
async def test_an_idempotency_key_that_is_none_is_refused(api: httpx.AsyncClient, key: str) -> None:
    answer = await api.post("/api/chat", json={"message": "a"}, headers={"Idempotency-Key": key})
    assert (400, "Idempotency-Key") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_pages_show_every_job_once_newest_first(api: httpx.AsyncClient) -> None:
    made = [(await submit(api))["job_id"] for _ in range(5)]
    first = (await api.get("/api/jobs", params={"limit": 3})).json()
    rest = (await api.get("/api/jobs", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert made[::-1] == [job["id"] for job in first["items"] + rest["items"]]
    assert rest["next_cursor"] is None


async def test_jobs_are_listed_by_state_and_session(api: httpx.AsyncClient) -> None:
    ended = await cancelled(api)
    waiting = await submit(api)
    assert [waiting["job_id"]] == await ids(api, state="queued")
    assert [ended] == await ids(api, state="cancelled")
    assert {ended, waiting["job_id"]} == set(await ids(api, state=["queued", "cancelled"]))
    assert [waiting["job_id"]] == await ids(api, session_id=waiting["session_id"])


@pytest.mark.parametrize(
    ("params", "field", "sentence"),
    [
        ({"limit": "0"}, "limit", "limit must be at least 1."),
        ({"limit": "101"}, "limit", "limit must be at most 100."),
        ({"limit": "ten"}, "limit", "limit must be an integer in plain digits, such as 20."),
        (
            {"state": "lost"},
            "state",
            "state must be queued, running, succeeded, failed or cancelled, not 'lost'.",
        ),
        ({"session_id": "x"}, "session_id", "session_id must be a UUID."),
    ],
)
async def test_a_wrong_filter_is_refused_by_name(
    api: httpx.AsyncClient, params: dict[str, str], field: str, sentence: str
) -> None:
    answer = await api.get("/api/jobs", params=params)
    assert (400, field, sentence) == (answer.status_code, answer.json()["errors"][0]["field"], answer.json()["detail"])


async def test_a_waiting_job_is_cancelled_at_once_and_once_only(api: httpx.AsyncClient) -> None:
    job_id = (await submit(api))["job_id"]
    for _ in range(2):
        answer = await api.post(f"/api/jobs/{job_id}/cancel")
        assert (200, "cancelled") == (answer.status_code, answer.json()["state"])


async def test_an_ended_job_replays_its_events_and_then_closes(api: httpx.AsyncClient) -> None:
    job_id = await cancelled(api)
    stream = await api.get(f"/api/jobs/{job_id}/events")
    assert "text/event-stream; charset=utf-8" == stream.headers["content-type"]
    assert ["job.queued", "job.cancelled"] == events_in(stream.text)
    assert ["job.cancelled"] == events_in((await api.get(f"/jobs/{job_id}/events?after=1")).text)


async def test_a_client_that_has_the_last_event_need_not_come_back(api: httpx.AsyncClient) -> None:
    job_id = await cancelled(api)
    over = await api.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": "2"})
    assert (204, b"", job_id) == (over.status_code, over.content, over.headers["x-job-id"])


async def test_a_position_after_the_end_of_a_job_gets_its_last_event_only(api: httpx.AsyncClient) -> None:
    job_id = await cancelled(api)
    assert ["job.cancelled"] == events_in((await api.get(f"/api/jobs/{job_id}/events?after=999")).text)


@pytest.mark.parametrize("position", ["abc", "-1", "1.5", "99999999999", "１"])
async def test_a_position_that_is_none_is_refused_with_what_is_right(api: httpx.AsyncClient, position: str) -> None:
    job_id = await cancelled(api)
    answer = await api.get(f"/api/jobs/{job_id}/events", params={"after": position})
    assert (400, "after") == (answer.status_code, answer.json()["errors"][0]["field"])
    header = {"Last-Event-ID": position.encode()}
    answer = await api.get(f"/api/jobs/{job_id}/events", headers=header)
    assert (400, "Last-Event-ID") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_a_cancelled_job_can_be_driven_again_once(api: httpx.AsyncClient) -> None:
    job_id = await cancelled(api)
    again = await api.post(f"/api/jobs/{job_id}/retry")
    assert (202, "queued") == (again.status_code, again.json()["state"])
    answer = await api.post(f"/api/jobs/{job_id}/retry")
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])


async def test_many_jobs_are_driven_again_in_one_call(api: httpx.AsyncClient) -> None:
    made = [await cancelled(api) for _ in range(3)]
    nothing = (await api.post("/api/jobs/retry", json={})).json()
    assert {"retried": 0, "ids": [], "more": False} == nothing
    answer = (await api.post("/api/jobs/retry", json={"states": ["cancelled"]})).json()
    assert (3, set(made)) == (answer["retried"], set(answer["ids"]))


async def test_only_the_named_jobs_are_driven_again(api: httpx.AsyncClient, stranger: TestTenant) -> None:
    mine, other = await cancelled(api), await cancelled(api)
    foreign = await api.post("/api/jobs/retry", json={"ids": [mine]}, headers=stranger.headers)
    assert (404, "ids") == (foreign.status_code, foreign.json()["errors"][0]["field"])
    assert [mine] == (await api.post("/api/jobs/retry", json={"ids": [mine]})).json()["ids"]
    assert [other] == await ids(api, state="cancelled")


async def test_only_an_ended_job_is_deleted(api: httpx.AsyncClient) -> None:
    job_id = (await submit(api))["job_id"]
    assert 409 == (await api.delete(f"/api/jobs/{job_id}")).status_code
    await api.post(f"/api/jobs/{job_id}/cancel")
    assert 204 == (await api.delete(f"/api/jobs/{job_id}")).status_code
    assert 404 == (await api.get(f"/api/jobs/{job_id}")).status_code


async def test_another_tenants_job_does_not_exist(api: httpx.AsyncClient, stranger: TestTenant) -> None:
    job_id = (await submit(api))["job_id"]
    calls = [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]
    for method, path in calls:
        answer = await api.request(method, f"/api/jobs/{job_id}{path}", headers=stranger.headers)
        assert (404, "not_found") == (answer.status_code, answer.json()["code"])


async def test_the_tenant_in_the_path_must_be_the_keys_own(
    api: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant
) -> None:
    for name in (tenant.slug, str(tenant.id)):
        assert 202 == (await api.post(f"/api/{name}/chat", json={"message": "hi"})).status_code
    assert 404 == (await api.post(f"/api/{stranger.slug}/chat", json={"message": "hi"})).status_code


async def ids(api: httpx.AsyncClient, **params: Any) -> list[str]:
    return [job["id"] for job in (await api.get("/api/jobs", params=params)).json()["items"]]


def events_in(text: str) -> list[str]:
    return [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
