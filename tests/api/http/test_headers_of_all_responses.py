"""Headers that every response has, whatever it is."""

from typing import Any

import httpx
import pytest

from tests.api.people import bearer, signed_in
from tests.conftest import TestTenant

PUBLIC = (
    "/",
    "/health",
    "/health/live",
    "/metrics",
    "/schema",
    "/schema/openapi.json",
    "/schema/swagger",
    "/.well-known/jwks.json",
)
GUARDED = ("/api/auth/me", "/v1/models", "/api/jobs", "/api/users/me/export", "/nowhere", "/api/jobs/x", "/v1/nowhere")
NOSNIFF = ["nosniff"]


@pytest.fixture
async def boss(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> dict[str, Any]:
    """An owner; `api` is signed in as them."""
    said = await signed_in(api, database_url, tenant, role="owner")
    api.headers.update(bearer(said["access_token"]))
    return said


@pytest.mark.parametrize("path", [*PUBLIC, *GUARDED])
async def test_no_browser_guesses_the_type_of_a_response(
    api: httpx.AsyncClient, boss: dict[str, Any], path: str
) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        answer = await api.request(method, path)
        assert NOSNIFF == answer.headers.get_list("x-content-type-options"), (method, path, answer.status_code)
    stranger = await api.get(path, headers={"Authorization": "Bearer nothing"})
    assert NOSNIFF == stranger.headers.get_list("x-content-type-options")


async def test_an_export_of_a_session_is_a_download_whose_type_no_browser_guesses(
    api: httpx.AsyncClient, boss: dict[str, Any]
) -> None:
    session = (await api.post("/api/sessions", json={})).json()
    for form in ("json", "markdown"):
        answer = await api.get(f"/api/sessions/{session['id']}/export", params={"format": form})
        assert (200, NOSNIFF) == (answer.status_code, answer.headers.get_list("x-content-type-options"))
        assert answer.headers["content-disposition"].startswith("attachment")


async def test_a_drawing_of_a_pipeline_runs_nothing_and_is_not_opened_as_a_page(
    api: httpx.AsyncClient, boss: dict[str, Any]
) -> None:
    listed = (await api.get("/api/pipelines")).json()["items"]
    answer = await api.get(f"/api/pipelines/{listed[0]['name']}/topology", params={"format": "svg"})
    assert (200, "image/svg+xml") == (answer.status_code, answer.headers["content-type"].partition(";")[0])
    assert NOSNIFF == answer.headers.get_list("x-content-type-options")
    assert answer.headers["content-disposition"].startswith("attachment")
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
