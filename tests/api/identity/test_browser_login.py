"""A browser that is signed in by cookie: how it gets in, what it may do, and what a page of somebody else can't make it do."""

from dataclasses import replace

import httpx
import psycopg
import pytest

from api.settings import ApiSettings
from tests.api.browser import ISSUER, Browser, register
from tests.api.conftest import serving
from tests.api.console_page import COOKIE, browsing, enter, enter_as, execute, who
from tests.api.people import PASSWORD, audit_entries, bearer, make_user, signed_in, some_email
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.oidc_provider import OidcProvider

pytestmark = pytest.mark.usefixtures("nobody_has_guessed")


async def test_who_signs_in_is_known_by_the_cookie_from_then_on(
    page: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    user_id = make_user(database_url, tenant.id, email, role="viewer")
    answer = await page.post(
        "/api/auth/session", json={"tenant": tenant.slug, "email": email.upper(), "password": PASSWORD}
    )
    said = answer.json()
    assert (200, "no-store") == (answer.status_code, answer.headers["cache-control"])
    assert ("user", str(user_id), email, "viewer") == (
        said["caller"]["kind"],
        *(said["caller"]["user"][name] for name in ("id", "email", "role")),
    )
    assert said["caller"] == (await page.get("/api/auth/me")).json() == await who(page)
    assert {"id": str(tenant.id), "slug": tenant.slug, "state": "active"} == said["caller"]["tenant"]
    (entry,) = audit_entries(database_url, tenant.id, "login.succeeded")
    assert (f"user:{user_id}", {"how": "password"}) == (entry["actor"], entry["detail"])


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    settings: ApiSettings, page: httpx.AsyncClient, tenant: TestTenant
) -> None:
    here = (await page.post("/api/auth/session", json={"api_key": tenant.key})).headers["set-cookie"].lower()
    for part in ("httponly", "samesite=lax", "path=/", "max-age=2592000"):
        assert part in here
    assert here.startswith("headrace-session-8000=hrs_")
    assert "secure" not in here
    async with (
        serving(replace(settings, issuer="https://hr.example.com")) as api,
        browsing(api, "https://hr.example.com") as secure,
    ):
        there = (await secure.post("/api/auth/session", json={"api_key": tenant.key})).headers["set-cookie"]
        assert there.startswith("__Host-headrace-session=hrs_")
        assert "secure" in there.lower()
        assert "domain" not in there.lower()
        assert await who(secure)


async def test_a_key_is_exchanged_for_its_own_rights(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    narrow = (await api.post("/api/auth/keys", json={"name": "narrow", "scopes": ["jobs.read"]})).json()
    said = await enter(page, api_key=narrow["key"])
    assert ("key", narrow["id"], ["self", "jobs.read"], ["jobs.read"]) == (
        said["caller"]["kind"],
        said["caller"]["key"]["id"],
        said["caller"]["rights"],
        said["caller"]["scopes"],
    )
    assert [200, 403] == [(await page.get(path)).status_code for path in ("/api/jobs", "/api/sessions")]
    (entry,) = audit_entries(database_url, tenant.id, "login.succeeded")
    assert (f"key:{narrow['id']}", {"how": "api_key"}) == (entry["actor"], entry["detail"])
    assert narrow["key"] not in str(entry)


async def test_only_a_hash_of_the_cookie_is_stored(
    page: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    await enter(page, api_key=tenant.key)
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT s::text FROM browser_sessions s WHERE tenant_id = %s", (tenant.id,)).fetchone()
    assert row is not None
    assert page.cookies[COOKIE].removeprefix("hrs_")[-40:] not in row[0]


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"tenant": "acme"}, {"tenant": "acme", "email": "a@b.c"}, {"email": "a@b.c", "password": "x"}),
        *({"api_key": "hr_x", "code": "hrc_x"}, {"tenant": "a", "email": "b", "password": "c", "code": "hrc_x"}),
    ],
)
async def test_a_sign_in_has_one_form(page: httpx.AsyncClient, body: dict[str, str]) -> None:
    answer = await page.post("/api/auth/session", json=body)
    assert (400, "Send either tenant, email and password, or api_key, or code.") == (
        answer.status_code,
        answer.json()["detail"],
    )


def altered(text: str, place: int) -> str:
    """Return `text` with another character at a place."""
    characters = list(text)
    characters[place] = "A" if characters[place] != "A" else "B"
    return "".join(characters)


async def test_what_is_wrong_signs_nobody_in(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    token = (await signed_in(api, database_url, tenant))["access_token"]
    for body in (
        {"tenant": tenant.slug, "email": email, "password": "not it"},
        {"api_key": altered(tenant.key, -1)},
        {"api_key": token[:200]},
        {"code": "hrc_" + 86 * "A"},
        {"code": tenant.key},
    ):
        answer = await page.post("/api/auth/session", json=body)
        assert (401, False) == (answer.status_code, COOKIE in page.cookies), answer.text
    assert await who(page) is None


async def test_a_code_signs_in_once(page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant) -> None:
    made = await api.post("/api/auth/codes")
    code = made.json()["code"]
    assert (201, "no-store", f"{ISSUER}/console/#code={code}") == (
        made.status_code,
        made.headers["cache-control"],
        made.json()["url"],
    )
    said = await enter(page, code=code)
    assert ("key", str(tenant.id)) == (said["caller"]["kind"], said["caller"]["tenant"]["id"])
    assert 401 == (await page.post("/api/auth/session", json={"code": code})).status_code
    assert await who(page)


async def test_a_code_is_good_for_ten_minutes_or_until_the_next_one(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    first, second = [(await api.post("/api/auth/codes")).json()["code"] for _ in range(2)]
    assert 401 == (await page.post("/api/auth/session", json={"code": first})).status_code
    sql = "UPDATE sign_in_codes SET expires_at = expires_at - interval '601 seconds' WHERE tenant_id = %s"
    execute(database_url, sql, tenant.id)
    assert 401 == (await page.post("/api/auth/session", json={"code": second})).status_code


@pytest.mark.parametrize("code", ["nonsense", "hrc_", "hr_key"])
async def test_what_is_no_code_is_not_said_to_be_an_old_one(page: httpx.AsyncClient, code: str) -> None:
    answer = await page.post("/api/auth/session", json={"code": code})
    assert 401 == answer.status_code
    assert "no sign-in code" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "missing"),
    [
        ({"Origin": ISSUER}, "lacks the header. Programs"),
        ({"X-Headrace-Console": "1"}, "doesn't say where it comes from"),
        ({"X-Headrace-Console": "1", "Origin": "http://localhost:9000"}, "another origin, 'http://localhost:9000'"),
        ({"X-Headrace-Console": "1", "Sec-Fetch-Site": "none"}, "`Sec-Fetch-Site` is 'none'"),
        ({}, "lacks the header. This one doesn't say"),
    ],
)
async def test_a_refusal_says_which_proof_of_the_page_is_missing(
    api: httpx.AsyncClient, tenant: TestTenant, headers: dict[str, str], missing: str
) -> None:
    async with httpx.AsyncClient(transport=api._transport, base_url=ISSUER) as elsewhere:
        answer = await elsewhere.post("/api/auth/session", headers=headers, json={"api_key": tenant.key})
    assert 403 == answer.status_code
    assert missing in answer.json()["detail"]


async def test_a_code_is_for_keys(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    token = (await signed_in(api, database_url, tenant))["access_token"]
    assert 403 == (await api.post("/api/auth/codes", headers=bearer(token))).status_code


@pytest.mark.parametrize(
    "headers",
    [
        *({}, {"Sec-Fetch-Site": "same-origin"}, {"X-Headrace-Console": "1"}),
        *({"Sec-Fetch-Site": site, "X-Headrace-Console": "1"} for site in ("same-site", "cross-site", "none")),
        {"Sec-Fetch-Site": "cross-site", "Origin": ISSUER, "X-Headrace-Console": "1"},
        {"Origin": "http://localhost:9000", "X-Headrace-Console": "1"},
        {"Origin": "null", "X-Headrace-Console": "1"},
        {"Origin": ISSUER},
        {"Origin": ISSUER, "X-Headrace-Console": "yes"},
    ],
)
async def test_no_other_page_makes_a_browser_change_anything(
    api: httpx.AsyncClient, page: httpx.AsyncClient, tenant: TestTenant, database_url: str, headers: dict[str, str]
) -> None:
    await enter_as(page, database_url, tenant)
    session_id = (await page.post("/api/sessions", json={})).json()["id"]
    cookie = {"Cookie": f"{COOKIE}={page.cookies[COOKIE]}"}
    async with httpx.AsyncClient(transport=api._transport, base_url=ISSUER) as elsewhere:
        for method, path in (
            ("POST", "/api/sessions"),
            ("PATCH", f"/api/sessions/{session_id}"),
            ("DELETE", f"/api/sessions/{session_id}"),
            ("POST", "/api/auth/logout"),
            ("DELETE", "/api/auth/session"),
            ("POST", "/sessions"),
        ):
            answer = await elsewhere.request(method, path, headers=cookie | headers, json={})
            assert (403, "forbidden") == (answer.status_code, answer.json()["code"]), (method, path)
            assert "X-Headrace-Console: 1" in answer.json()["detail"]
        refused = await elsewhere.post("/api/auth/session", headers=headers, json={"api_key": tenant.key})
        assert (403, None) == (refused.status_code, refused.headers.get("set-cookie"))
        assert 200 == (await elsewhere.get(f"/api/sessions/{session_id}", headers=cookie | headers)).status_code
    assert await who(page)


@pytest.mark.parametrize("origin", [ISSUER, "http://10.0.0.5:8080"])
async def test_over_http_on_a_network_the_origin_tells_our_page(
    application: httpx.AsyncClient, tenant: TestTenant, origin: str
) -> None:
    """Browsers send Sec-Fetch-Site only over https and to localhost."""
    headers = {"X-Headrace-Console": "1", "Origin": origin}
    async with httpx.AsyncClient(transport=application._transport, base_url=origin, headers=headers) as page:
        await enter(page, api_key=tenant.key)
        assert 201 == (await page.post("/api/sessions", json={})).status_code


async def test_the_cookie_counts_under_api_alone(
    page: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    await enter_as(page, database_url, tenant)
    paths = ("/api/jobs", "/jobs", "/v1/models", "/v1/files")
    assert [200, 200, 401, 401] == [(await page.get(path)).status_code for path in paths]
    chat = {"model": "x", "messages": [{"role": "user", "content": "hi"}]}
    assert 401 == (await page.post("/v1/chat/completions", json=chat)).status_code


async def test_the_cookie_is_no_bearer_token(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant
) -> None:
    await enter(page, api_key=tenant.key)
    assert 401 == (await api.get("/api/jobs", headers=bearer(page.cookies[COOKIE]))).status_code


async def test_a_key_goes_before_the_cookie(
    page: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    await enter_as(page, database_url, tenant)
    for headers in (bearer(stranger.key), {"X-API-Key": stranger.key}):
        said = (await page.get("/api/auth/me", headers=headers)).json()
        assert str(stranger.id) == said["tenant"]["id"]
    assert 401 == (await page.get("/api/auth/me", headers=bearer("hr_wrong"))).status_code


async def test_a_session_of_one_tenant_opens_no_other(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    job = (await api.post("/api/sessions", json={})).json()["id"]
    async with browsing(api) as theirs:
        await enter(theirs, api_key=stranger.key)
        assert 404 == (await theirs.get(f"/api/sessions/{job}")).status_code
        assert 404 == (await theirs.delete(f"/api/sessions/{job}")).status_code
        # The tenant that a cookie names is part of what is hashed.
        forged = theirs.cookies[COOKIE]
    for value in (altered(forged, 20), forged[:-1], forged + "A", "hrs_", "x" * 5000):
        page.cookies.set(COOKIE, value)
        assert 401 == (await page.get("/api/auth/me")).status_code


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("vi-VN,vi;q=0.9,en;q=0.8", "vi"), ("en-GB,en", "en"), ("fr,vi;q=0.5", "vi"), ("", "en"), ("*", "en")],
)
async def test_the_language_is_the_browsers(page: httpx.AsyncClient, wanted: str, language: str) -> None:
    answer = await page.get("/api/auth/session", headers={"Accept-Language": wanted})
    assert {"caller": None, "language": language, "expires_at": None} == answer.json()


async def test_who_comes_from_an_identity_provider_to_the_console_gets_the_cookie_and_no_tokens(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    browser = Browser(api)
    answer = await browser.sign_in(tenant, return_to="/console/jobs?state=failed")
    assert (302, f"{ISSUER}/console/jobs?state=failed") == (answer.status_code, answer.headers["location"])
    assert ("user", "member") == ((await who(browser.here) or {})["kind"], (await who(browser.here) or {})["role"])


async def test_below_a_prefix_the_console_is_below_it_too(
    settings: ApiSettings, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    async with serving(replace(settings, issuer=f"{ISSUER}/hr")) as api:
        for path, has_tokens in (("/console/", True), ("/hr/console/", False)):
            browser = Browser(api)
            start = await browser.begin(tenant, return_to=path)
            back = (await browser.visit_provider(start)).replace("/hr/api/", "/api/")
            assert has_tokens == ("access_token" in (await browser.get(back)).headers["location"])


async def test_two_owners_of_two_tenants_in_two_browsers_see_their_own(
    api: httpx.AsyncClient, page: httpx.AsyncClient, database_url: str
) -> None:
    mine, theirs = make_tenant(database_url, role="owner"), make_tenant(database_url, role="owner")
    async with browsing(api) as other:
        await enter_as(page, database_url, mine, "owner")
        await enter_as(other, database_url, theirs, "owner")
        title = (await page.post("/api/sessions", json={"title": "secret"})).json()["id"]
        assert [title] == [row["id"] for row in (await page.get("/api/sessions")).json()["items"]]
        assert [] == (await other.get("/api/sessions")).json()["items"]
