"""Signing in, refreshing, signing out; and what somebody who guesses meets."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from api.auth import passwords
from api.auth.passwords import HASHER
from api.identity.login_sessions import derive_successor, new_refresh_token, read_refresh_token
from api.settings import ApiSettings
from schema.ids import new_id
from schema.vault import PLATFORM, Vault, new_secret_key
from tests.api.conftest import serving
from tests.api.people import PASSWORD, audit_entries, bearer, log_in, make_user, signed_in, some_email, status_of
from tests.conftest import TestTenant
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("nobody_has_guessed")


async def refresh(api: httpx.AsyncClient, token: str) -> httpx.Response:
    return await api.post("/api/auth/refresh", json={"refresh_token": token})


def execute(database_url: str, sql: str, *values: Any) -> None:
    with psycopg.connect(database_url) as db:
        db.execute(sql, values)


async def test_who_signs_in_gets_tokens_and_hears_who_they_are(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    user_id = make_user(database_url, tenant.id, "ada@example.com", role="viewer")
    answer = await log_in(api, tenant, " Ada@Example.COM ")
    said = answer.json()
    assert (200, "no-store") == (answer.status_code, answer.headers["cache-control"])
    assert ("Bearer", 86400, "hrr_") == (said["token_type"], said["expires_in"], said["refresh_token"][:4])
    assert {"id": str(user_id), "email": "ada@example.com", "name": "Ada", "role": "viewer"} == said["user"]
    assert {"id": str(tenant.id), "slug": tenant.slug, "state": "active"} == said["tenant"]
    (entry,) = audit_entries(database_url, tenant.id, "login.succeeded")
    assert (f"user:{user_id}", "ok", answer.headers["x-request-id"]) == (
        entry["actor"],
        entry["result"],
        entry["request_id"],
    )


async def test_a_person_sees_what_they_may_do(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    tokens = await signed_in(api, database_url, tenant, role="viewer")
    said = (await api.get("/api/auth/me", headers=bearer(tokens["access_token"]))).json()
    assert (
        "user",
        "viewer",
        [
            *("self", "jobs.read", "sessions.read", "models.read", "agents.read", "pipelines.read", "benchmarks.read"),
            *("schedules.read", "documents.read"),
        ],
    ) == (
        said["kind"],
        said["role"],
        said["rights"],
    )
    assert (tokens["user"], tokens["tenant"], None, None) == (said["user"], said["tenant"], said["key"], said["scopes"])


async def test_a_key_sees_what_it_may_do(api: httpx.AsyncClient, tenant: TestTenant) -> None:
    said = (await api.get("/api/auth/me")).json()
    assert ("key", "test", None, str(tenant.id)) == (
        said["kind"],
        said["key"]["name"],
        said["user"],
        said["tenant"]["id"],
    )


async def test_every_failure_sounds_the_same(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    known, disabled, foreign = some_email(), some_email(), some_email()
    make_user(database_url, tenant.id, known)
    make_user(database_url, tenant.id, disabled, state="disabled")
    make_user(database_url, tenant.id, foreign, password=None)
    nowhere = TestTenant(tenant.id, "no-such-tenant", "")
    answers = [
        await log_in(api, tenant, known, "not the password"),
        await log_in(api, tenant, disabled),
        await log_in(api, tenant, foreign),
        await log_in(api, tenant, some_email()),
        await log_in(api, nowhere, known),
    ]
    heard = {(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers}
    assert {(401, "unauthenticated", "The tenant, email or password is incorrect.")} == heard


async def test_failures_are_written_down_without_the_emails_of_strangers(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    known, unknown = some_email(), some_email()
    user_id = make_user(database_url, tenant.id, known)
    await log_in(api, tenant, known, "not the password")
    await log_in(api, tenant, unknown)
    await log_in(api, TestTenant(tenant.id, "no-such-tenant", ""), unknown)
    first, second = audit_entries(database_url, tenant.id, "login.failed")
    assert (f"user:{user_id}", "anonymous") == (first["actor"], second["actor"])
    third = audit_entries(database_url, PLATFORM, "login.failed")[-1]
    assert ("anonymous", "denied") == (third["actor"], third["result"])
    assert unknown not in str([second, third])
    assert 16 == len(third["detail"]["email"])


async def test_an_unknown_person_costs_as_much_as_a_wrong_password(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody learns from the time of an answer who is a user."""
    checked: list[str] = []

    class Counting:
        def verify(self, hashed: str, password: str) -> bool:
            checked.append(hashed)
            return HASHER.verify(hashed, password)

    known = some_email()
    make_user(database_url, tenant.id, known)
    monkeypatch.setattr(passwords, "HASHER", Counting())
    nowhere = TestTenant(tenant.id, "no-such-tenant", "")
    for where, email in ((tenant, known), (tenant, some_email()), (nowhere, some_email())):
        await log_in(api, where, email, "not the password")
    parameters = [hashed.rpartition("$")[0].rpartition("$")[0] for hashed in checked]
    assert 3 * [parameters[0]] == parameters


async def test_a_suspended_tenant_is_told_to_who_knows_the_password(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    execute(database_url, "UPDATE tenants SET state = 'suspended' WHERE id = %s", tenant.id)
    assert "unauthenticated" == (await log_in(api, tenant, email, "not the password")).json()["code"]
    answer = await log_in(api, tenant, email)
    assert (403, "tenant_suspended") == (answer.status_code, answer.json()["code"])
    execute(database_url, "UPDATE tenants SET state = 'deleting' WHERE id = %s", tenant.id)
    assert "unauthenticated" == (await log_in(api, tenant, email)).json()["code"]


async def test_after_five_failures_nobody_guesses_on(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    statuses = [(await log_in(api, tenant, email, "not the password")).status_code for _ in range(5)]
    answer = await log_in(api, tenant, email)
    assert ([401] * 5, 429) == (statuses, answer.status_code)
    assert 850 < int(answer.headers["retry-after"]) <= 900
    assert 401 == (await log_in(api, tenant, some_email())).status_code


async def test_guesses_at_once_are_five_guesses(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    answers = await asyncio.gather(*(log_in(api, tenant, email, f"guess number {number}") for number in range(12)))
    assert 5 == sum(answer.status_code == 401 for answer in answers)


async def test_getting_it_right_forgets_what_was_wrong(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    for _ in range(2):
        for _ in range(4):
            await log_in(api, tenant, email, "not the password")
        assert 200 == (await log_in(api, tenant, email)).status_code


async def test_after_twenty_failures_an_address_is_not_listened_to(api: httpx.AsyncClient, tenant: TestTenant) -> None:
    statuses = [(await log_in(api, tenant, some_email())).status_code for _ in range(21)]
    assert [401] * 20 + [429] == statuses


async def test_without_redis_people_still_sign_in(settings: ApiSettings, tenant: TestTenant, database_url: str) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    async with serving(replace(settings, redis_url="redis://127.0.0.1:9/0")) as api:
        assert 200 == (await log_in(api, tenant, email)).status_code


async def test_a_hash_of_old_parameters_is_made_anew_at_the_sign_in(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    execute(database_url, "UPDATE users SET password_hash = %s WHERE email = %s", old, email)
    assert 200 == (await log_in(api, tenant, email)).status_code
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT password_hash FROM users WHERE email = %s", (email,)).fetchone()
    assert row is not None
    assert "m=19456,t=2,p=1" in row[0]
    assert 200 == (await log_in(api, tenant, email)).status_code


def let_pass(database_url: str, *, seconds: float) -> None:
    """Let refresh tokens have been used that much earlier."""
    execute(database_url, "UPDATE refresh_tokens SET used_at = used_at - make_interval(secs => %s)", seconds)


async def test_a_refresh_token_is_exchanged_for_another(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    tokens = await signed_in(api, database_url, tenant)
    fresh = await refresh(api, tokens["refresh_token"])
    assert (200, tokens["user"]) == (fresh.status_code, fresh.json()["user"])
    assert 200 == await status_of(api, fresh.json()["access_token"])
    assert 200 == (await refresh(api, fresh.json()["refresh_token"])).status_code


async def test_a_used_refresh_token_ends_the_sign_in_with_all_its_tokens(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    stolen = await signed_in(api, database_url, tenant)
    fresh = (await refresh(api, stolen["refresh_token"])).json()
    let_pass(database_url, seconds=11)
    assert 401 == (await refresh(api, stolen["refresh_token"])).status_code
    assert 401 == (await refresh(api, fresh["refresh_token"])).status_code
    await eventually(lambda: status_of(api, fresh["access_token"]), 401)
    assert 401 == await status_of(api, stolen["access_token"])
    (entry,) = audit_entries(database_url, tenant.id, "refresh.reused")
    assert (f"user:{stolen['user']['id']}", "denied") == (entry["actor"], entry["result"])


async def test_tabs_that_refresh_at_once_get_the_same_successor_and_all_go_on(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    tokens = await signed_in(api, database_url, tenant)
    answers = await asyncio.gather(*(refresh(api, tokens["refresh_token"]) for _ in range(8)))
    let_pass(database_url, seconds=8)
    answers.append(await refresh(api, tokens["refresh_token"]))
    assert [200] * 9 == [answer.status_code for answer in answers]
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    for answer in answers:
        assert 200 == await status_of(api, answer.json()["access_token"])
    assert 200 == (await refresh(api, successor)).status_code
    assert [] == audit_entries(database_url, tenant.id, "refresh.reused")


async def test_a_thief_who_refreshes_at_once_is_found_at_the_next_refresh(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    tokens = await signed_in(api, database_url, tenant)
    mine, theirs = [(await refresh(api, tokens["refresh_token"])).json() for _ in range(2)]
    assert 200 == (await refresh(api, theirs["refresh_token"])).status_code
    let_pass(database_url, seconds=11)
    assert 401 == (await refresh(api, mine["refresh_token"])).status_code
    assert 1 == len(audit_entries(database_url, tenant.id, "refresh.reused"))
    await eventually(lambda: status_of(api, theirs["access_token"]), 401)


async def test_a_successor_can_not_be_computed_without_the_secret_key(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    text = (await signed_in(api, database_url, tenant))["refresh_token"]
    parts = read_refresh_token(text)
    assert parts is not None
    vaults = [Vault([new_secret_key()]) for _ in range(2)]
    assert 2 == len({derive_successor(parts, vault) for vault in vaults})
    assert derive_successor(parts, vaults[0]) == derive_successor(parts, vaults[0]) != text


async def test_a_refresh_token_is_stored_as_its_hash(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    tokens = await signed_in(api, database_url, tenant)
    parts = read_refresh_token(tokens["refresh_token"])
    assert parts is not None
    with psycopg.connect(database_url) as db:
        rows = db.execute("SELECT digest FROM refresh_tokens WHERE login_id = %s", (parts.row_id,)).fetchall()
    assert [(parts.digest,)] == rows


async def test_what_is_no_refresh_token_is_refused(
    api: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    tokens = await signed_in(api, database_url, tenant)
    parts = read_refresh_token(tokens["refresh_token"])
    assert parts is not None
    wrong = [
        "hrr_",
        "garbage",
        tokens["access_token"][:200],
        tokens["refresh_token"][4:],
        tokens["refresh_token"] + "x",
        new_refresh_token(tenant.id, parts.row_id),
        new_refresh_token(stranger.id, parts.row_id),
        new_refresh_token(tenant.id, new_id()),
    ]
    assert [401] * len(wrong) == [(await refresh(api, token)).status_code for token in wrong]
    assert 200 == (await refresh(api, tokens["refresh_token"])).status_code


async def test_a_month_without_a_refresh_ends_a_sign_in(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    tokens = await signed_in(api, database_url, tenant)
    user_id = UUID(tokens["user"]["id"])
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT expires_at - created_at FROM logins WHERE user_id = %s", (user_id,)).fetchone()
    assert row is not None
    assert 30 == row[0].days
    execute(database_url, "UPDATE logins SET expires_at = now() WHERE user_id = %s", user_id)
    assert 401 == (await refresh(api, tokens["refresh_token"])).status_code


async def test_a_disabled_person_can_not_refresh(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    tokens = await signed_in(api, database_url, tenant)
    execute(database_url, "UPDATE users SET state = 'disabled' WHERE id = %s", tokens["user"]["id"])
    assert 401 == (await refresh(api, tokens["refresh_token"])).status_code


async def test_a_suspension_costs_nobody_their_refresh_token(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    tokens = await signed_in(api, database_url, tenant)
    execute(database_url, "UPDATE tenants SET state = 'suspended' WHERE id = %s", tenant.id)
    assert 403 == (await refresh(api, tokens["refresh_token"])).status_code
    execute(database_url, "UPDATE tenants SET state = 'active' WHERE id = %s", tenant.id)
    assert 200 == (await refresh(api, tokens["refresh_token"])).status_code


async def test_signing_out_ends_this_sign_in_only(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    here = await signed_in(api, database_url, tenant)
    there = (await log_in(api, tenant, here["user"]["email"])).json()
    answer = await api.post("/api/auth/logout", headers=bearer(here["access_token"]))
    assert 204 == answer.status_code
    assert 401 == (await refresh(api, here["refresh_token"])).status_code
    assert 200 == (await refresh(api, there["refresh_token"])).status_code
    (entry,) = audit_entries(database_url, tenant.id, "login.ended")
    assert (f"user:{here['user']['id']}", {"everywhere": False}) == (entry["actor"], entry["detail"])
    assert [] == audit_entries(database_url, tenant.id, "refresh.reused")


async def test_signing_out_everywhere_ends_all_sign_ins(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    here = await signed_in(api, database_url, tenant)
    there = (await log_in(api, tenant, here["user"]["email"])).json()
    answer = await api.post("/api/auth/logout", json={"everywhere": True}, headers=bearer(here["access_token"]))
    assert 204 == answer.status_code
    assert 401 == (await refresh(api, there["refresh_token"])).status_code


async def test_a_key_can_not_sign_out(api: httpx.AsyncClient) -> None:
    assert 403 == (await api.post("/api/auth/logout")).status_code


@pytest.mark.parametrize("field", ["tenant", "email", "password"])
async def test_what_is_missing_is_named(api: httpx.AsyncClient, field: str) -> None:
    body = {"tenant": "a", "email": "a@b.c", "password": "x"}
    del body[field]
    answer = await api.post("/api/auth/login", json=body)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])
