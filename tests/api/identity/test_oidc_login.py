"""Signing in at an identity provider, as a browser does it: whom it brings in, and every way in which it must not."""

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import httpx
import psycopg
import pytest
from structlog.testing import capture_logs

from api.auth.oidc import login_state
from api.settings import ApiSettings
from tests.api.browser import ISSUER, Browser, register
from tests.api.conftest import serving
from tests.api.people import audit_entries, bearer, make_user, some_email, status_of
from tests.conftest import TestTenant
from tests.counterparts.oidc_provider import CLIENT, SECRET, OidcProvider, query_of
from workers.queue.job_core import JobCore

pytestmark = pytest.mark.usefixtures("nobody_has_failed")


@pytest.fixture
def browser(api: httpx.AsyncClient) -> Browser:
    return Browser(api)


def failure_of(database_url: str, tenant: TestTenant) -> str:
    """Return why the last sign-in failed, as the audit log has it."""
    entry = audit_entries(database_url, tenant.id, "login.failed")[-1]
    assert ("denied", "oidc", "idp") == (entry["result"], entry["detail"]["how"], entry["detail"]["provider"])
    return entry["detail"]["reason"]


async def test_who_signs_in_for_the_first_time_becomes_a_user(
    api: httpx.AsyncClient, browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider, role="viewer")
    answer = await browser.sign_in(tenant)
    said = answer.json()
    assert (200, "no-store") == (answer.status_code, answer.headers["cache-control"])
    assert ("ada@example.com", "Ada", "viewer", tenant.slug) == (
        *(said["user"][name] for name in ("email", "name", "role")),
        said["tenant"]["slug"],
    )
    assert 200 == await status_of(api, said["access_token"])
    again = await api.post("/api/auth/refresh", json={"refresh_token": said["refresh_token"]})
    assert 200 == again.status_code
    (entry,) = audit_entries(database_url, tenant.id, "login.succeeded")
    assert (f"user:{said['user']['id']}", {"how": "oidc"}) == (entry["actor"], entry["detail"])


async def test_who_comes_again_is_the_same_user(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    first = (await browser.sign_in(tenant)).json()["user"]["id"]
    provider.person |= {"email": some_email()}
    assert first == (await browser.sign_in(tenant)).json()["user"]["id"]


async def test_the_provider_is_asked_as_the_standards_want_it(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    asked = [query_of(await browser.begin(tenant)) for _ in range(2)]
    assert (
        "code",
        CLIENT,
        "openid email profile",
        "S256",
        f"{ISSUER}/api/auth/oidc/{tenant.slug}/idp/callback",
    ) == tuple(
        asked[0][name] for name in ("response_type", "client_id", "scope", "code_challenge_method", "redirect_uri")
    )
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]
        assert 43 <= len(asked[0][name])


@pytest.mark.parametrize(
    ("secret", "methods"),
    [
        (SECRET, ("client_secret_basic",)),
        (SECRET, ("client_secret_basic", "client_secret_post")),
        (None, ("none",)),
    ],
)
async def test_we_prove_who_we_are_in_the_way_that_the_provider_takes(
    browser: Browser, tenant: TestTenant, database_url: str, secret: str | None, methods: tuple[str, ...]
) -> None:
    async with OidcProvider(secret=secret, methods=methods) as provider:
        register(database_url, tenant, provider)
        assert 200 == (await browser.sign_in(tenant)).status_code


@pytest.mark.parametrize("behaviour", ["rotates", "thin", "two audiences, ours asked"])
async def test_what_honest_providers_do_is_taken(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, behaviour: str
) -> None:
    register(database_url, tenant, provider)
    await browser.sign_in(tenant)  # the keys are known from here on
    provider.behave, provider.person = behaviour, {**provider.person, "sub": "bea", "email": "bea@example.com"}
    assert "bea@example.com" == (await browser.sign_in(tenant)).json()["user"]["email"]


@pytest.mark.parametrize(
    "behaviour",
    [
        *("wrong nonce", "no nonce", "wrong audience", "two audiences", "another asked", "expired", "other issuer"),
        *("wrong at_hash", "no subject", "unsigned", "HS256", "another key", "access token"),
    ],
)
async def test_an_id_token_that_is_not_right_signs_nobody_in(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, behaviour: str
) -> None:
    register(database_url, tenant, provider)
    provider.behave = behaviour
    answer = await browser.sign_in(tenant)
    assert (401, "unauthenticated", "id_token") == (
        answer.status_code,
        answer.json()["code"],
        failure_of(database_url, tenant),
    )
    assert [] == audit_entries(database_url, tenant.id, "user.created")


@pytest.mark.parametrize("behaviour", ["garbage", "broken", "redirects", "no ID token", "tells the secret"])
async def test_a_provider_that_answers_badly_is_named_and_not_quoted(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, behaviour: str
) -> None:
    register(database_url, tenant, provider)
    provider.behave = behaviour
    with capture_logs() as logs:
        answer = await browser.sign_in(tenant)
    assert (502, "egress_failed", "egress_failed") == (
        answer.status_code,
        answer.json()["code"],
        failure_of(database_url, tenant),
    )
    sent = provider.requests[-1].body
    for told in (answer.text, str(logs), str(audit_entries(database_url, tenant.id, "login.failed"))):
        assert not [word for word in (SECRET, sent["code"], sent["code_verifier"]) if word in told]


async def test_userinfo_of_somebody_else_signs_nobody_in(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    provider.behave = "userinfo of another"
    assert 401 == (await browser.sign_in(tenant)).status_code


async def test_a_provider_that_is_slow_is_not_waited_for(
    settings: ApiSettings, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    provider.behave = "slow"
    async with serving(replace(settings, egress=replace(settings.egress, timeout_s=0.3))) as api:
        answer = await Browser(api).sign_in(tenant)
    assert (502, True) == (answer.status_code, "in time" in answer.json()["detail"])


async def test_a_provider_that_is_down_is_said_to_be(browser: Browser, tenant: TestTenant, database_url: str) -> None:
    async with OidcProvider() as provider:
        register(database_url, tenant, provider)
        back = await browser.visit_provider(await browser.begin(tenant))
    answer = await browser.get(back)
    assert (502, "egress_failed") == (answer.status_code, answer.json()["code"])
    async with OidcProvider() as provider:
        register(database_url, tenant, provider, name="other")
    assert 502 == (await browser.get(f"/api/auth/oidc/{tenant.slug}/other")).status_code


async def test_what_the_provider_says_is_shown_short_and_harmless(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    provider.behave = "access denied"
    answer = await browser.sign_in(tenant)
    detail = answer.json()["detail"]
    assert (401, "refused") == (answer.status_code, failure_of(database_url, tenant))
    assert detail.startswith("idp did not sign you in: access_denied (&lt;b&gt;No&lt;/b&gt; so")
    assert len(detail) < 300
    assert "<" not in answer.text


async def test_nobody_can_make_us_say_something_by_an_address(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    path = f"/api/auth/oidc/{tenant.slug}/idp/callback?state=x&error=call&error_description=0800-EVIL"
    answer = await browser.get(path)
    assert (401, False, "not_begun") == (answer.status_code, "EVIL" in answer.text, failure_of(database_url, tenant))


async def test_a_sign_in_of_another_browser_is_refused(
    api: httpx.AsyncClient, browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    back = await browser.visit_provider(await browser.begin(tenant))
    victim = Browser(api)
    await victim.begin(tenant)
    answer = await victim.get(back)
    assert (401, "not_begun") == (answer.status_code, failure_of(database_url, tenant))
    assert 0 == len([each for each in provider.requests if each.path == "/token"])
    assert 200 == (await browser.get(back)).status_code


async def test_a_sign_in_comes_back_once(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    back = await browser.visit_provider(await browser.begin(tenant))
    kept = dict(browser.here.cookies)
    assert 200 == (await browser.get(back)).status_code
    assert {} == dict(browser.here.cookies)
    assert (401, "not_begun") == ((await browser.get(back)).status_code, failure_of(database_url, tenant))
    browser.here.cookies.update(kept)
    assert (401, "spent") == ((await browser.get(back)).status_code, failure_of(database_url, tenant))
    assert 1 == len([each for each in provider.requests if each.path == "/token"])


async def test_a_code_works_once_although_the_state_was_forgotten(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, core: JobCore
) -> None:
    register(database_url, tenant, provider)
    back = await browser.visit_provider(await browser.begin(tenant))
    kept = dict(browser.here.cookies)
    await browser.get(back)
    browser.here.cookies.update(kept)
    await core.redis.call("FLUSHDB")
    assert (401, "unauthenticated") == ((await browser.get(back)).status_code, failure_of(database_url, tenant))


async def test_a_code_of_another_sign_in_is_refused_by_its_verifier(
    api: httpx.AsyncClient, browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    mallory = Browser(api)
    stolen = query_of(await browser.visit_provider(await browser.begin(tenant)))["code"]
    own = query_of(await mallory.visit_provider(await mallory.begin(tenant)))["state"]
    answer = await mallory.get(f"/api/auth/oidc/{tenant.slug}/idp/callback?code={stolen}&state={own}")
    assert 401 == answer.status_code


async def test_a_sign_in_that_took_too_long_is_over(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(database_url, tenant, provider)
    monkeypatch.setattr(login_state, "new_login_state", lambda to, new=login_state.new_login_state: _long_ago(new(to)))
    answer = await browser.sign_in(tenant)
    assert (401, "not_begun") == (answer.status_code, failure_of(database_url, tenant))


def _long_ago(fresh: login_state.LoginState) -> login_state.LoginState:
    return login_state.LoginState(fresh.state, fresh.nonce, fresh.verifier, fresh.return_to, fresh.ends_at - 601)


async def test_several_tabs_sign_in_at_once(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    tabs = [await browser.visit_provider(await browser.begin(tenant)) for _ in range(3)]
    assert [200, 200, 200] == [(await browser.get(back)).status_code for back in tabs]


async def test_sign_ins_that_nobody_finishes_do_not_pile_up(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    for _ in range(3 * login_state.MAX_PENDING):
        await browser.begin(tenant)
        assert len(browser.here.cookies) <= login_state.MAX_PENDING


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    settings: ApiSettings, browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    path = f"/api/auth/oidc/{tenant.slug}/idp"
    here = (await browser.get(path)).headers["set-cookie"]
    home = "https://headrace.example.com"
    async with serving(replace(settings, issuer=home)) as api:
        safe = Browser(api, home)
        there = (await safe.get(path)).headers["set-cookie"]
        assert 200 == (await safe.sign_in(tenant)).status_code
        assert {} == {name: value for name, value in safe.here.cookies.items() if value and name not in there}
    for cookie in (here, there):
        assert {"httponly", "samesite=lax", "max-age=600", "path=/"} <= set(cookie.lower().split("; "))
    assert "secure" not in here.lower().split("; ")
    assert "secure" in there.lower().split("; ")
    assert there.startswith("__Host-headrace-oidc-")


async def test_nothing_of_the_sign_in_can_be_read_in_the_cookie(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    asked = query_of(await browser.begin(tenant))
    ((name, value),) = browser.here.cookies.items()
    assert not [word for word in (asked["state"], asked["nonce"]) if word in name + value]


async def test_who_has_signed_in_goes_on_with_the_tokens_in_the_fragment(
    api: httpx.AsyncClient, browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider)
    answer = await browser.sign_in(tenant, return_to="/console?tab=chats")
    place, _, fragment = answer.headers["location"].partition("#")
    said = dict(parse_qsl(fragment))
    assert (302, f"{ISSUER}/console?tab=chats", b"") == (answer.status_code, place, answer.content)
    assert ("no-store", "no-referrer") == (answer.headers["cache-control"], answer.headers["referrer-policy"])
    assert ("Bearer", "86400") == (said["token_type"], said["expires_in"])
    assert 200 == await status_of(api, said["access_token"])
    assert 200 == (await api.post("/api/auth/refresh", json={"refresh_token": said["refresh_token"]})).status_code
    assert bearer(said["access_token"])["Authorization"] not in place


@pytest.mark.parametrize(
    "onward",
    [
        *("//evil", "///evil", "https://evil", "/\\evil", "\\\\evil", "javascript:alert(1)", "/\t/evil", "/\n/evil"),
        *("evil", "", "/#x", "/a b", "/%2f/evil", "/a/../b", "/ä", "/x\r\nSet-Cookie: a=b", "/" + "x" * 2000),
        *("/api/auth/oidc/evil/idp", "/auth/oidc/evil/idp", "/a//auth/OIDC/evil/idp", "/api/auth/%6fidc/evil/idp"),
    ],
)
async def test_tokens_are_sent_on_to_nobody_else(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, onward: str
) -> None:
    register(database_url, tenant, provider)
    answer = await browser.here.get(f"/api/auth/oidc/{tenant.slug}/idp", params={"return_to": onward})
    assert (400, "return_to") == (answer.status_code, answer.json()["errors"][0]["field"])


@pytest.mark.parametrize("onward", ["/", "/console", "/a/b.html?x=1&y=%20z/"])
async def test_paths_of_ours_are_gone_on_to(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, onward: str
) -> None:
    register(database_url, tenant, provider)
    went = urlsplit((await browser.sign_in(tenant, return_to=onward)).headers["location"])
    assert ISSUER + onward == went._replace(fragment="").geturl()


async def test_a_local_user_who_is_known_by_email_signs_in(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider, sign_up=False)
    user_id = make_user(database_url, tenant.id, "ada@example.com", role="owner")
    assert str(user_id) == (await browser.sign_in(tenant)).json()["user"]["id"]


async def test_nobody_new_comes_in_where_the_provider_may_not_sign_up(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    register(database_url, tenant, provider, sign_up=False)
    answer = await browser.sign_in(tenant)
    assert (401, "nobody") == (answer.status_code, failure_of(database_url, tenant))


async def test_a_disabled_user_stays_out(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    provider_id = register(database_url, tenant, provider)
    user_id = make_user(database_url, tenant.id, "ada@example.com", state="disabled")
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE users SET provider_id = %s, subject = 'ada' WHERE id = %s", (provider_id, user_id))
    answer = await browser.sign_in(tenant)
    assert (401, "disabled") == (answer.status_code, failure_of(database_url, tenant))


@pytest.mark.parametrize(("state", "status"), [("suspended", 403), ("deleting", 401)])
async def test_nobody_signs_in_to_a_tenant_that_is_switched_off(
    browser: Browser, provider: OidcProvider, tenant: TestTenant, database_url: str, state: str, status: int
) -> None:
    register(database_url, tenant, provider)
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE tenants SET state = %s WHERE id = %s", (state, tenant.id))
    assert status == (await browser.sign_in(tenant)).status_code
