"""Sign-ins at identity providers stay apart: tenants, providers, browsers; and what a stranger can find out."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from api.auth.login_throttle import MAX_ADDRESS_FAILURES
from api.settings import ApiSettings
from tests.api.browser import Browser, register
from tests.api.conftest import serving
from tests.api.people import audit_entries
from tests.conftest import TestTenant
from tests.counterparts.oidc_provider import OidcProvider, query_of
from workers.queue.job_core import JobCore

pytestmark = pytest.mark.usefixtures("nobody_has_failed")


@pytest.fixture
async def evil() -> AsyncIterator[OidcProvider]:
    async with OidcProvider() as evil:
        yield evil


@pytest.fixture
def browser(api: httpx.AsyncClient) -> Browser:
    return Browser(api)


def reasons(database_url: str, tenant: TestTenant) -> list[str]:
    return [entry["detail"]["reason"] for entry in audit_entries(database_url, tenant.id, "login.failed")]


async def test_one_tenants_provider_signs_nobody_in_to_another_tenant(
    browser: Browser,
    provider: OidcProvider,
    evil: OidcProvider,
    tenant: TestTenant,
    stranger: TestTenant,
    database_url: str,
) -> None:
    register(database_url, tenant, provider)
    register(database_url, stranger, evil)
    back = await browser.visit_provider(await browser.begin(stranger))
    answer = await browser.get(back.replace(f"/{stranger.slug}/", f"/{tenant.slug}/"))
    assert (401, ["not_begun"], []) == (
        answer.status_code,
        reasons(database_url, tenant),
        audit_entries(database_url, tenant.id, "user.created"),
    )
    assert [] == [each for each in provider.requests if each.path == "/token"]
    assert str(stranger.id) == (await browser.get(back)).json()["tenant"]["id"]


async def test_a_code_for_one_tenant_is_worth_nothing_in_another_with_the_same_client(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    register(database_url, stranger, provider, audience="another")
    code = query_of(await browser.visit_provider(await browser.begin(tenant)))["code"]
    state = query_of(await browser.begin(stranger))["state"]
    answer = await browser.get(f"/api/auth/oidc/{stranger.slug}/idp/callback?code={code}&state={state}")
    assert (401, ["unauthenticated"]) == (answer.status_code, reasons(database_url, stranger))


async def test_a_hostile_provider_can_not_have_an_honest_ones_code_sent_to_it(
    browser: Browser, provider: OidcProvider, evil: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    """The mix-up of RFC 9700 §4.4: who wanted to sign in at the hostile one finds themselves at the honest one."""
    register(database_url, tenant, provider)
    register(database_url, tenant, evil, name="evil")
    provider.redirect_uris = [query_of(await browser.begin(tenant))["redirect_uri"]]
    asked = await browser.begin(tenant, "evil")
    moved = asked.replace(evil.url, provider.url)
    async with httpx.AsyncClient() as there:
        assert 400 == (await there.get(moved)).status_code
    own = query_of(asked)["redirect_uri"].replace("/", "%2F").replace(":", "%3A")
    honest = moved.replace(own, provider.redirect_uris[0].replace("/", "%2F").replace(":", "%3A"))
    answer = await browser.get(await browser.visit_provider(honest))
    assert (401, ["not_begun"]) == (answer.status_code, reasons(database_url, tenant))
    assert [] == [each for each in evil.requests if each.path == "/token"]


@pytest.mark.parametrize(
    ("spoken", "said", "status"),
    [
        (True, "", 401),
        (True, "&iss=https://another.example.com", 401),
        (False, "&iss=https://another.example.com", 401),
    ],
)
async def test_a_provider_that_names_itself_must_name_itself(
    browser: Browser,
    provider: OidcProvider,
    tenant: TestTenant,
    database_url: str,
    spoken: bool,
    said: str,
    status: int,
) -> None:
    provider.says_iss = spoken
    register(database_url, tenant, provider)
    back = await browser.visit_provider(await browser.begin(tenant))
    answer = await browser.get(back.partition("&iss=")[0] + said)
    assert (status, ["issuer"]) == (answer.status_code, reasons(database_url, tenant))
    assert 200 == (await browser.sign_in(tenant)).status_code


async def test_a_cookie_that_was_tampered_with_is_none(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, core: JobCore
) -> None:
    register(database_url, tenant, provider)
    back = await browser.visit_provider(await browser.begin(tenant))
    (cookie,) = browser.here.cookies.jar
    right = cookie.value or ""
    key_id, _, sealed = right.partition(".")
    tampered = ("", ".", "x", f"{key_id}.", f"{key_id}.{sealed[:-9]}", f"unknown.{sealed}", f"{key_id}.{sealed[::-1]}")
    for wrong in tampered:
        cookie.value = wrong
        assert 401 == (await browser.get(back)).status_code, wrong
        await core.redis.call("FLUSHDB")  # five tries are what one state gets
    cookie.value = right
    assert 200 == (await browser.get(back)).status_code


async def test_a_tenant_that_does_not_exist_looks_like_one_without_providers(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    register(database_url, tenant, provider, name="tokens-only", audience="another", client_id=None)
    here, there, nowhere = [
        await browser.get(f"/api/auth/oidc/{slug}") for slug in (tenant.slug, stranger.slug, "nobody-has-this")
    ]
    assert ["idp"] == [item["name"] for item in here.json()["items"]]
    assert 302 == (await browser.get(here.json()["items"][0]["url"])).status_code
    assert (200, 200) == (there.status_code, nowhere.status_code)
    assert {"items": [], "next_cursor": None} == there.json() == nowhere.json()


@pytest.mark.parametrize("path", ["", "/callback?state=x&code=x"])
async def test_a_provider_of_nobody_looks_like_one_of_another_tenant(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, stranger: TestTenant, database_url: str, path: str
) -> None:
    register(database_url, tenant, provider, name="tokens-only", client_id=None)
    places = (f"{tenant.slug}/idp", f"{tenant.slug}/tokens-only", f"{stranger.slug}/tokens-only", "nobody/idp", "x/ä")
    answers = [await browser.get(f"/api/auth/oidc/{place}{path}") for place in places]
    assert [(404, answers[0].json()["detail"])] * 5 == [
        (answer.status_code, answer.json()["detail"]) for answer in answers
    ]


async def test_who_fails_too_often_is_not_listened_to(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    path = f"/api/auth/oidc/{tenant.slug}/idp/callback?state="
    statuses = [(await browser.get(f"{path}{number}")).status_code for number in range(MAX_ADDRESS_FAILURES + 2)]
    assert [401] * MAX_ADDRESS_FAILURES + [429, 429] == statuses
    assert MAX_ADDRESS_FAILURES == len(reasons(database_url, tenant))


async def test_people_sign_in_while_redis_is_away(
    settings: ApiSettings, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    async with serving(replace(settings, redis_url="redis://127.0.0.1:9/0")) as api:
        assert 200 == (await Browser(api).sign_in(tenant)).status_code
