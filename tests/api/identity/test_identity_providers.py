"""A tenant's identity providers: what may be registered, what is shown, what ends with them."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from schema.vault import Sealed
from tests.api.browser import ISSUER, Browser
from tests.api.people import audit_entries, bearer, make_user, signed_in, status_of
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.oidc_provider import CLIENT, SECRET, OidcProvider
from tests.secret import VAULT
from tests.waiting import eventually

Json = dict[str, Any]
HERE = "/api/auth/providers"


@pytest.fixture
def tenant(database_url: str) -> TestTenant:
    return make_tenant(database_url, role="owner")


@pytest.fixture
def stranger(database_url: str) -> TestTenant:
    return make_tenant(database_url, role="owner")


def described(provider: OidcProvider, **more: Any) -> Json:
    return {"name": "idp", "issuer": provider.url, "client_id": CLIENT, "client_secret": SECRET, **more}


async def make(api: httpx.AsyncClient, provider: OidcProvider, **more: Any) -> Json:
    answer = await api.post(HERE, json=described(provider, **more))
    assert 201 == answer.status_code, answer.text
    return answer.json()


def row_of(database_url: str, provider_id: str) -> Json:
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        row = db.execute("SELECT * FROM identity_providers WHERE id = %s", (provider_id,)).fetchone()
    assert row is not None
    return row


def opened(row: Json) -> str:
    return VAULT.open(Sealed(row["key_id"], row["sealed"]), tenant_id=row["tenant_id"], owner_id=row["id"])


async def test_a_provider_that_was_registered_signs_people_in(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant
) -> None:
    made = await make(api, provider)
    provider.redirect_uris = [made["redirect_uri"]]
    assert f"{ISSUER}/api/auth/oidc/{tenant.slug}/idp" == made["sign_in_url"]
    assert f"{made['sign_in_url']}/callback" == made["redirect_uri"]
    assert 200 == (await Browser(api).sign_in(tenant)).status_code


async def test_a_provider_is_found_where_its_location_says(api: httpx.AsyncClient, provider: OidcProvider) -> None:
    answer = await api.post(HERE, json=described(provider))
    found, listed = await api.get(answer.headers["location"]), await api.get(HERE)
    assert (answer.json(), [answer.json()]) == (found.json(), listed.json()["items"])
    assert (CLIENT, CLIENT, True, "member", True) == tuple(
        found.json()[name] for name in ("audience", "client_id", "has_client_secret", "role", "sign_up")
    )


async def test_the_secret_is_sealed_and_never_told(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    made = await make(api, provider)
    again = await api.patch(f"{HERE}/{made['id']}", json={"client_secret": SECRET + "2"})
    row = row_of(database_url, made["id"])
    told = f"{made} {again.text} {(await api.get(HERE)).text} {(await api.get('/api/audit')).text}"
    assert SECRET + "2" == opened(row)
    assert SECRET not in told
    assert SECRET.encode() not in row["sealed"]
    assert ["…"] == [
        entry["detail"]["client_secret"] for entry in audit_entries(database_url, tenant.id, "provider.changed")
    ]


async def test_what_was_done_is_in_the_audit_log(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    made = await make(api, provider)
    await api.patch(f"{HERE}/{made['id']}", json={"role": "viewer", "sign_up": False})
    await api.patch(f"{HERE}/{made['id']}", json={})
    await api.delete(f"{HERE}/{made['id']}")
    found = [audit_entries(database_url, tenant.id, f"provider.{verb}") for verb in ("created", "changed", "deleted")]
    assert [[f"provider:{made['id']}"]] * 3 == [[entry["target"] for entry in each] for each in found]
    assert (provider.url, {"role": "viewer", "sign_up": False}, 0) == (
        found[0][0]["detail"]["issuer"],
        found[1][0]["detail"],
        found[2][0]["detail"]["logins_ended"],
    )


async def test_an_issuer_and_audience_speak_for_one_tenant_and_nobody_hears_for_which(
    api: httpx.AsyncClient, provider: OidcProvider, stranger: TestTenant
) -> None:
    await make(api, provider)
    own = await api.post(HERE, json=described(provider, name="again"))
    others = await api.post(HERE, json=described(provider), headers=stranger.headers)
    assert [(409, "audience")] * 2 == [
        (answer.status_code, answer.json()["errors"][0]["field"]) for answer in (own, others)
    ]
    assert own.json()["detail"] == others.json()["detail"]
    other = await api.post(HERE, json=described(provider, audience="theirs"), headers=stranger.headers)
    taken = await api.patch(f"{HERE}/{other.json()['id']}", json={"audience": CLIENT}, headers=stranger.headers)
    assert (201, 409, own.json()["detail"]) == (other.status_code, taken.status_code, taken.json()["detail"])


async def test_a_name_stands_for_one_provider_of_a_tenant(
    api: httpx.AsyncClient, provider: OidcProvider, stranger: TestTenant
) -> None:
    await make(api, provider)
    again = await api.post(HERE, json=described(provider, audience="another"))
    assert (409, "name") == (again.status_code, again.json()["errors"][0]["field"])
    other = await api.post(HERE, json=described(provider, audience="another"), headers=stranger.headers)
    assert 201 == other.status_code


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": "With Space"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"issuer": ISSUER}, "issuer"),
        ({"issuer": f"{ISSUER}/"}, "issuer"),
        ({"issuer": "ftp://login.example.com"}, "issuer"),
        ({"issuer": "login.example.com"}, "issuer"),
        ({"issuer": "https://a:b@login.example.com"}, "issuer"),
        ({"issuer": "https://login.example.com\\@127.0.0.1"}, "issuer"),
        ({"issuer": "http://192.0.2.1", "jwks_url": "{url}/jwks"}, "issuer"),
        ({"issuer": "https://10.0.0.1"}, "issuer"),
        ({"issuer": "{url}?x=1"}, "issuer"),
        ({"issuer": "{url}/nobody"}, "issuer"),
        ({"issuer": "http://127.0.0.1:9"}, "issuer"),
        ({"jwks_url": "https://169.254.169.254/keys"}, "jwks_url"),
        ({"jwks_url": "{url}/userinfo"}, "jwks_url"),
        ({"client_id": None}, "client_secret"),
        ({"client_id": None, "client_secret": None}, "audience"),
        ({"client_id": "ä"}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"client_secret": "pasted-secret\n"}, "client_secret"),
        ({"client_secret": "pasted-secret" * 100}, "client_secret"),
        ({"role": "admin"}, "role"),
        ({"sign_up": 1}, "sign_up"),
    ],
)
async def test_what_can_not_work_is_refused_by_field(
    api: httpx.AsyncClient, provider: OidcProvider, more: Json, field: str
) -> None:
    filled = {
        name: value.replace("{url}", provider.url) if isinstance(value, str) else value for name, value in more.items()
    }
    answer = await api.post(HERE, json=described(provider, **filled))
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text
    assert "pasted-secret" not in answer.text
    assert [] == (await api.get(HERE)).json()["items"]


async def test_keys_may_stand_where_no_configuration_says(api: httpx.AsyncClient, provider: OidcProvider) -> None:
    keys = {"jwks_url": f"{provider.url}/jwks", "issuer": "https://nobody.example.com"}
    made = await api.post(HERE, json={"name": "idp", "audience": "x", **keys})
    assert (201, None, False) == (made.status_code, made.json()["sign_in_url"], made.json()["has_client_secret"])
    assert ["/jwks"] == [each.path for each in provider.requests]


async def test_a_provider_without_a_usable_key_is_refused(api: httpx.AsyncClient, provider: OidcProvider) -> None:
    provider.keys = []
    answer = await api.post(HERE, json=described(provider))
    assert (400, True) == (answer.status_code, "RSA" in answer.json()["detail"])


async def test_a_change_touches_what_is_named(
    api: httpx.AsyncClient, provider: OidcProvider, database_url: str
) -> None:
    made = await make(api, provider, role_claim="position")
    changed = await api.patch(f"{HERE}/{made['id']}", json={"role": "viewer", "role_claim": None, "audience": "other"})
    assert {**made, "role": "viewer", "role_claim": None, "audience": "other"} == changed.json()
    assert SECRET == opened(row_of(database_url, made["id"]))
    public = await api.patch(f"{HERE}/{made['id']}", json={"client_secret": None})
    assert (False, None) == (public.json()["has_client_secret"], row_of(database_url, made["id"])["sealed"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"issuer": "https://login.example.com"}, "issuer"),
        ({"name": "other"}, "name"),
        ({"client_id": None}, "client_secret"),
        ({"audience": None}, "audience"),
        ({"jwks_url": "https://10.0.0.1/keys"}, "jwks_url"),
    ],
)
async def test_a_change_that_can_not_work_is_refused(
    api: httpx.AsyncClient, provider: OidcProvider, change: Json, field: str
) -> None:
    made = await make(api, provider)
    answer = await api.patch(f"{HERE}/{made['id']}", json=change)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])
    assert made == (await api.get(f"{HERE}/{made['id']}")).json()


async def test_a_client_secret_does_not_stay_when_the_keys_move_to_another_host(
    api: httpx.AsyncClient, provider: OidcProvider, database_url: str
) -> None:
    made = await make(api, provider)
    elsewhere = f"{provider.url.replace('127.0.0.1', 'localhost')}/jwks"
    refused = await api.patch(f"{HERE}/{made['id']}", json={"jwks_url": elsewhere})
    assert (422, "secrets_required") == (refused.status_code, refused.json()["code"])
    assert SECRET not in refused.text
    assert made == (await api.get(f"{HERE}/{made['id']}")).json()
    near = await api.patch(f"{HERE}/{made['id']}", json={"jwks_url": f"{provider.url}/jwks"})
    assert (200, SECRET) == (near.status_code, opened(row_of(database_url, made["id"])))
    anew = await api.patch(f"{HERE}/{made['id']}", json={"jwks_url": elsewhere, "client_secret": "another"})
    assert (200, "another") == (anew.status_code, opened(row_of(database_url, made["id"])))


async def test_a_removed_provider_ends_what_it_vouched_for_and_its_people_stay(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    local = await signed_in(api, database_url, tenant)
    made = await make(api, provider)
    said = (await Browser(api).sign_in(tenant)).json()
    assert 200 == await status_of(api, said["access_token"])
    assert 204 == (await api.delete(f"{HERE}/{made['id']}")).status_code

    async def status() -> int:
        return await status_of(api, said["access_token"])

    await eventually(status, 401)
    assert 401 == (await api.post("/api/auth/refresh", json={"refresh_token": said["refresh_token"]})).status_code
    assert 200 == await status_of(api, local["access_token"])
    user = (await api.get(f"/api/users/{said['user']['id']}")).json()
    assert ("active", None) == (user["state"], user["provider_id"])
    assert [1] == [
        entry["detail"]["logins_ended"] for entry in audit_entries(database_url, tenant.id, "provider.deleted")
    ]
    assert 404 == (await Browser(api).get(made["sign_in_url"])).status_code
    await make(api, provider)
    assert said["user"]["id"] == (await Browser(api).sign_in(tenant)).json()["user"]["id"]


async def test_a_change_holds_within_a_second(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant
) -> None:
    made = await make(api, provider)
    await api.patch(f"{HERE}/{made['id']}", json={"sign_up": False})
    assert 401 == (await Browser(api).sign_in(tenant)).status_code


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_another_tenants_provider_does_not_exist(
    api: httpx.AsyncClient, provider: OidcProvider, stranger: TestTenant, method: str
) -> None:
    made = await make(api, provider)
    body = {"json": {"role": "viewer"}} if method == "PATCH" else {}
    for place in (made["id"], uuid4()):
        answer = await api.request(method, f"{HERE}/{place}", headers=stranger.headers, **body)
        assert (404, "No such identity provider. GET /api/auth/providers lists your tenant's providers.") == (
            answer.status_code,
            answer.json()["detail"],
        )
    assert [] == (await api.get(HERE, headers=stranger.headers)).json()["items"]


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_only_owners_see_and_change_providers(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant, database_url: str, role: str
) -> None:
    headers = bearer((await signed_in(api, database_url, tenant, role=role))["access_token"])
    assert 403 == (await api.get(HERE, headers=headers)).status_code
    assert 403 == (await api.post(HERE, json=described(provider), headers=headers)).status_code


async def test_a_narrowed_key_can_not_make_itself_an_owner_by_a_provider(
    api: httpx.AsyncClient, provider: OidcProvider
) -> None:
    """A provider may verify any owner's email."""
    made = await make(api, provider)
    key = (
        await api.post(
            "/api/auth/keys", json={"name": "k", "scopes": ["sign_in.manage"], "for_tenant": True, "role": "owner"}
        )
    ).json()["key"]
    assert 200 == (await api.get(HERE, headers=bearer(key))).status_code
    refused = await api.post(HERE, json=described(provider, name="other", audience="x"), headers=bearer(key))
    changed = await api.patch(f"{HERE}/{made['id']}", json={"jwks_url": None}, headers=bearer(key))
    assert (403, 403) == (refused.status_code, changed.status_code)


async def test_an_admin_is_not_signed_in_by_a_provider(
    api: httpx.AsyncClient, provider: OidcProvider, tenant: TestTenant, database_url: str
) -> None:
    user_id: UUID = make_user(database_url, tenant.id, "ada@example.com", role="admin")
    await make(api, provider)
    assert 401 == (await Browser(api).sign_in(tenant)).status_code
    assert "admin" == (await api.get(f"/api/users/{user_id}")).json()["role"]
