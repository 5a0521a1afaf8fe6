"""Tokens of tenants' identity providers: whom they speak for, and for whom they can't."""

import asyncio
import time
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from api.auth.tokens.external_tokens import ExternalTokens
from api.auth.tokens.jwt_verify import read_token
from tests.api.people import Issuer, audit_entries, bearer, make_key, make_user, some_email, status_of, trust
from tests.conftest import TestTenant
from workers.queue.job_core import JobCore

DAY = 24 * 3600


@pytest.fixture
def issuer(api: httpx.AsyncClient) -> Issuer:
    issuer = Issuer()
    trust(api, issuer)
    return issuer


async def me(api: httpx.AsyncClient, token: str) -> dict[str, str]:
    answer = await api.get("/api/auth/me", headers=bearer(token))
    assert 200 == answer.status_code, answer.text
    return {"tenant": answer.json()["tenant"]["id"], **answer.json()["user"]}


async def test_a_person_who_is_new_gets_the_providers_role(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id, role="viewer")
    said = await me(api, issuer.token(email="Ada@Example.com", name="Ada"))
    assert (str(tenant.id), "ada@example.com", "Ada", "viewer") == tuple(
        said[name] for name in ("tenant", "email", "name", "role")
    )
    assert [f"user:{said['id']}"] == [
        entry["target"] for entry in audit_entries(database_url, tenant.id, "user.created")
    ]


async def test_a_person_who_comes_again_is_the_same(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id)
    first = await me(api, issuer.token(email="ada@example.com"))
    again = await me(api, issuer.token(email="lovelace@example.com", header={"typ": "at+jwt"}))
    assert first == again


async def test_a_person_who_comes_to_many_processes_at_once_is_one(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str, core: JobCore
) -> None:
    issuer.register(database_url, tenant.id)
    token = issuer.token(email=some_email())
    processes = [ExternalTokens(core.pool, issuer) for _ in range(6)]
    found = await asyncio.gather(*(process.find_principal(token, *read_token(token)) for process in processes))
    assert 1 == len({principal.id for principal in found})


@pytest.mark.parametrize(
    ("said", "role"),
    [("owner", "owner"), ("viewer", "viewer"), ("admin", "member"), (["x", "viewer", "owner"], "owner"), (7, "member")],
)
async def test_a_provider_may_name_a_role_but_never_admin(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str, said: object, role: str
) -> None:
    issuer.register(database_url, tenant.id, role_claim="position")
    assert role == (await me(api, issuer.token(email=some_email(), position=said)))["role"]


async def test_two_tenants_share_an_issuer_by_their_audiences(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id, audience="one")
    issuer.register(database_url, stranger.id, audience="two")
    assert str(tenant.id) == (await me(api, issuer.token(aud="one", email="a@example.com")))["tenant"]
    assert str(stranger.id) == (await me(api, issuer.token(aud=["x", "two"], email="a@example.com")))["tenant"]
    assert 401 == await status_of(api, issuer.token(aud=["one", "two"], email="a@example.com"))


async def test_a_token_without_a_typ_is_taken_since_okta_and_cognito_send_none(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id)
    assert 200 == await status_of(api, issuer.token({"typ": None}, email=some_email()))


async def test_what_a_provider_may_not_say_is_refused(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id)
    now, email = int(time.time()), some_email()
    forged = {
        "wrong audience": issuer.token(email=email, aud="another"),
        "no audience": issuer.token(email=email, aud=None),
        "another's tenant": issuer.token(email=email, tenant_id=str(stranger.id)),
        "a list of tenants": issuer.token(email=email, tenant_id=[str(tenant.id)]),
        "expired": issuer.token(email=email, iat=now - 7200, exp=now - 3600),
        "good for 48 hours": issuer.token(email=email, exp=now + 2 * DAY),
        "not yet": issuer.token(email=email, nbf=now + 3600),
        "an unknown issuer": issuer.token(email=email, iss="https://nobody.example.com"),
        "a key that nobody published": issuer.token(key=make_key("second"), email=email),
        "another's key of the same name": issuer.token(key=make_key("first"), email=email),
        "no kid": issuer.token({"kid": None}, email=email),
        "another typ": issuer.token({"typ": "logout+jwt"}, email=email),
        "no subject": issuer.token(email=email, sub=None),
        "an empty subject": issuer.token(email=email, sub=""),
        "a list as subject": issuer.token(email=email, sub=["ada"]),
        "an email that is none": issuer.token(email="ada"),
        "no email": issuer.token(),
    }
    assert dict.fromkeys(forged, 401) == {what: await status_of(api, token) for what, token in forged.items()}
    assert 200 == await status_of(api, issuer.token(email=email, tenant_id=str(tenant.id)))


async def test_a_short_key_is_refused_although_it_was_published(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    weak = Issuer(bits=1024)
    trust(api, weak)
    weak.register(database_url, tenant.id)
    assert 401 == await status_of(api, weak.token(email=some_email()))


async def test_a_new_key_of_the_issuer_is_asked_for(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id)
    issuer.published.append(make_key("second"))
    assert 200 == await status_of(api, issuer.token(key=issuer.published[1], email=some_email()))
    assert 1 == issuer.asked


async def test_keys_are_found_where_the_issuers_configuration_says(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id, jwks_url=None)
    assert 200 == await status_of(api, issuer.token(email=some_email()))


@pytest.mark.parametrize(("verified", "status"), [(True, 200), (False, 401), (None, 401), ("true", 401)])
async def test_a_local_user_is_linked_by_a_verified_email_only(
    api: httpx.AsyncClient,
    issuer: Issuer,
    tenant: TestTenant,
    database_url: str,
    verified: object,
    status: int,
) -> None:
    email = some_email()
    issuer.register(database_url, tenant.id, sign_up=False)
    user_id = make_user(database_url, tenant.id, email, role="owner")
    token = issuer.token(email=email, email_verified=verified)
    assert status == await status_of(api, token)
    assert (status == 200) == (subject_of(database_url, user_id) is not None)


async def test_an_admin_is_never_linked(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    issuer.register(database_url, tenant.id)
    user_id = make_user(database_url, tenant.id, email, role="admin")
    assert 401 == await status_of(api, issuer.token(email=email, email_verified=True))
    assert subject_of(database_url, user_id) is None


async def test_nobody_is_made_where_the_provider_may_not_sign_up(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id, sign_up=False)
    assert 401 == await status_of(api, issuer.token(email=some_email(), email_verified=True))


async def test_a_disabled_person_stays_out(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id)
    email = some_email()
    with psycopg.connect(database_url) as db:
        make_user(database_url, tenant.id, email, state="disabled")
        db.execute(
            "UPDATE users SET provider_id = p.id, subject = 'ada' FROM identity_providers p WHERE email = %s", (email,)
        )
    assert 401 == await status_of(api, issuer.token(email=email))


async def test_a_foreign_token_is_signed_out_of_at_its_issuer(
    api: httpx.AsyncClient, issuer: Issuer, tenant: TestTenant, database_url: str
) -> None:
    issuer.register(database_url, tenant.id)
    answer = await api.post("/api/auth/logout", headers=bearer(issuer.token(email=some_email())))
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])


def subject_of(database_url: str, user_id: UUID) -> str | None:
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        row = db.execute("SELECT subject FROM users WHERE id = %s", (user_id,)).fetchone()
    assert row is not None
    return row["subject"]
