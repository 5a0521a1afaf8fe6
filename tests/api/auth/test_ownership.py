"""People see what is theirs, owners and the tenant's own clients see all of it."""

import httpx
import pytest

from tests.api.people import bearer, signed_in
from tests.conftest import TestTenant


async def begin(api: httpx.AsyncClient, headers: dict[str, str], **body: str) -> tuple[str, str]:
    """Send a message; return its job and its session."""
    answer = await api.post("/api/chat", json={"message": "hi", **body}, headers={**headers, "Prefer": "respond-async"})
    assert 202 == answer.status_code, answer.text
    return answer.json()["job_id"], answer.json()["session_id"]


@pytest.fixture
async def ada(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> dict[str, str]:
    return bearer((await signed_in(api, database_url, tenant))["access_token"])


@pytest.fixture
async def bob(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> dict[str, str]:
    return bearer((await signed_in(api, database_url, tenant))["access_token"])


@pytest.fixture
async def owner(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> dict[str, str]:
    return bearer((await signed_in(api, database_url, tenant, role="owner"))["access_token"])


async def test_lists_hold_what_is_ones_own(
    api: httpx.AsyncClient, ada: dict[str, str], bob: dict[str, str], owner: dict[str, str]
) -> None:
    job, session = await begin(api, ada)
    of_bob = await begin(api, bob)

    async def seen(headers: dict[str, str]) -> tuple[set[str], set[str]]:
        jobs = (await api.get("/api/jobs", headers=headers)).json()["items"]
        sessions = (await api.get("/api/sessions", headers=headers)).json()["items"]
        return {item["id"] for item in jobs}, {item["id"] for item in sessions}

    assert ({job}, {session}) == await seen(ada)
    assert ({of_bob[0]}, {of_bob[1]}) == await seen(bob)
    assert ({job, of_bob[0]}, {session, of_bob[1]}) == await seen(owner)
    assert await seen(owner) == await seen(dict(api.headers))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/jobs/{job}"),
        ("GET", "/api/jobs/{job}/events"),
        ("POST", "/api/jobs/{job}/cancel"),
        ("POST", "/api/jobs/{job}/retry"),
        ("DELETE", "/api/jobs/{job}"),
        ("GET", "/api/sessions/{session}"),
        ("GET", "/api/sessions/{session}/messages"),
        ("GET", "/api/sessions/{session}/export"),
        ("DELETE", "/api/sessions/{session}"),
    ],
)
async def test_what_is_another_persons_does_not_exist(
    api: httpx.AsyncClient, ada: dict[str, str], bob: dict[str, str], method: str, path: str
) -> None:
    job, session = await begin(api, ada)
    answer = await api.request(method, path.format(job=job, session=session), headers=bob)
    assert 404 == answer.status_code
    assert "queued" == (await api.get(f"/api/jobs/{job}", headers=ada)).json()["state"]


async def test_a_session_of_another_person_cannot_be_gone_on_with(
    api: httpx.AsyncClient, ada: dict[str, str], bob: dict[str, str], owner: dict[str, str]
) -> None:
    _, session = await begin(api, ada)
    stolen = await api.post("/api/chat", json={"message": "hi", "session_id": session}, headers=bob)
    own = await api.get(f"/api/sessions/{session}", headers=ada)
    assert (404, 1) == (stolen.status_code, own.json()["turns"])
    job, _ = await begin(api, owner, session_id=session)
    assert (
        200 == (await api.get(f"/api/jobs/{job}", headers=ada)).status_code
    )  # it is Ada's session, whoever asks in it


async def test_two_people_may_choose_the_same_idempotency_key(
    api: httpx.AsyncClient, ada: dict[str, str], bob: dict[str, str]
) -> None:
    first = await begin(api, {**ada, "Idempotency-Key": "morning"})
    again = await begin(api, {**ada, "Idempotency-Key": "morning"})
    of_bob = await begin(api, {**bob, "Idempotency-Key": "morning"})
    assert first == again
    assert first[0] != of_bob[0]
