"""The API page, as browsers see it. It works without the internet."""

import asyncio
import re
import threading

import httpx
import pytest
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.openapi.spec import OpenAPI

from api.app import create_app
from api.settings import ApiSettings
from tests.api.conftest import serving

OURS = ("'none'", "'self'", "'unsafe-inline'", "data:")
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_the_page_names_no_foreign_address_and_may_load_from_none(api: httpx.AsyncClient) -> None:
    answer = await api.get("/schema/swagger", headers=HTML)
    assert "text/html; charset=utf-8" == answer.headers["content-type"]
    assert [] == re.findall(r"(?:[a-z]+:)?//\S+", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert set() == set(
        re.findall(r"(?<= )(?!'|data:)\S+(?=[ ;])", re.sub(r"[a-z-]+-(?:src|uri|action|ancestors) ", " ", policy))
    )


async def test_the_parts_of_the_api_page_are_served_here_and_may_be_kept(api: httpx.AsyncClient) -> None:
    page = (await api.get("/schema/swagger")).text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert 5 == len(parts)
    for part in parts:
        answer = await api.get(f"/schema/{part}")
        assert 200 == answer.status_code
        assert "immutable" in answer.headers["cache-control"]
        assert 100 < len(answer.content)


@pytest.mark.parametrize(
    "path", ["assets/other/swagger-ui.css", "assets/{version}/../../secret", "assets/{version}/nothing.js"]
)
async def test_nothing_else_is_served_as_a_part_of_the_page(api: httpx.AsyncClient, path: str) -> None:
    page = (await api.get("/schema/swagger")).text
    version = re.findall(r"assets/(\w+)/", page)[0]
    assert 404 == (await api.get(f"/schema/{path.format(version=version)}")).status_code


async def test_the_root_says_what_runs_here(api: httpx.AsyncClient) -> None:
    told = (await api.get("/", headers={"Accept": "*/*"})).json()
    assert "headrace" == told["name"]
    for link in told["links"].values():
        assert (await api.get(link)).status_code in (200, 503)


async def test_everybody_may_see_the_pages(application: httpx.AsyncClient) -> None:
    for path in ("/console/", "/schema/swagger", "/schema/openapi.json"):
        assert 200 == (await application.get(path, headers=HTML)).status_code


async def test_the_document_is_made_in_a_thread_and_once(
    settings: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_in, own = list[threading.Thread](), OpenAPIPlugin.provide_openapi

    def make(plugin: OpenAPIPlugin) -> OpenAPI:
        made_in.append(threading.current_thread())
        return own(plugin)

    monkeypatch.setattr(OpenAPIPlugin, "provide_openapi", make)
    async with serving(create_app(settings)) as api:
        answers = await asyncio.gather(*(api.get("/schema/openapi.json") for _ in range(3)))
    assert {200} == {answer.status_code for answer in answers}
    assert 1 == len(made_in)
    assert threading.current_thread() not in made_in


@pytest.mark.parametrize(("path", "location"), [("/schema", "schema/swagger"), ("/schema/", "swagger")])
async def test_a_browser_is_led_from_the_document_to_the_page(api: httpx.AsyncClient, path: str, location: str) -> None:
    answer = await api.get(path, headers=HTML)
    assert (True, location) == (answer.is_redirect, answer.headers["location"])
    assert "openapi" in (await api.get(path, headers={"Accept": "*/*"})).json()
