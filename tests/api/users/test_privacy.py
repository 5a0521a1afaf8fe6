"""What is held of a person goes out whole, and goes away whole; what is held of others stays."""

import asyncio
import json
import tracemalloc
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from api.users import privacy as routes
from schema import redis_names
from schema.identity.api_keys import new_api_key
from schema.ids import new_id
from schema.installation.bootstrap import ensure_api_key
from schema.queries.identity import privacy
from schema.queries.jobs.submissions import Submitter
from schema.tables import PLATFORM_TABLES, TENANT_TABLES
from tests.api.people import audit_entries, bearer, log_in, make_user, signed_in, some_email, status_of
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tests.waiting import PATIENCE_S
from tests.workers.jobs import Script, change, job_row, rows, saying, submission, turn, worker_context
from workers.queue.attempts import attempt_job
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.redis.client import RedisUnavailable

Json = dict[str, Any]
COPIES = {"chunks", "chunk_vectors"}  # what they say of a person is their document's, which they go with
TABLES = [str(table.__tablename__) for table in (*TENANT_TABLES, *PLATFORM_TABLES)]


@pytest.fixture(autouse=True)
async def nobody_has_guessed(core: JobCore) -> None:
    """All tests come from one address."""
    await core.redis.call("FLUSHDB")


@dataclass
class Person:
    """Somebody of a tenant with a word that nobody else uses."""

    id: UUID
    email: str
    word: str
    token: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.token)


@pytest.fixture
async def boss(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> Json:
    """The only owner of the tenant; `api` is signed in as them."""
    said = await signed_in(api, database_url, tenant, role="owner")
    api.headers.update(bearer(said["access_token"]))
    return said


@pytest.fixture
async def ada(
    api: httpx.AsyncClient, core: JobCore, database_url: str, redis_url: str, tenant: TestTenant, boss: Json
) -> Person:
    person = await settle_in(api, database_url, tenant)
    await work(core, database_url, redis_url, tenant, person)
    return person


async def settle_in(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> Person:
    """Make a person who has signed in and has a key."""
    word, email, key = f"canary{uuid4().hex}", some_email(), new_api_key()
    user_id = make_user(database_url, tenant.id, email)
    change(database_url, "UPDATE users SET name = %s WHERE id = %s", word, user_id)
    token = (await log_in(api, tenant, email)).json()["access_token"]
    change(database_url, "UPDATE logins SET client = %s WHERE user_id = %s", word, user_id)
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, tenant.id, key, name=word)
    change(database_url, "UPDATE api_keys SET user_id = %s WHERE name = %s", user_id, word)
    return Person(user_id, email, word, token, key)


async def work(core: JobCore, database_url: str, redis_url: str, tenant: TestTenant, person: Person) -> None:
    """Let a person chat in two sessions, one of them twice, and without one; all of it ends."""
    by = Submitter(f"user:{person.id}", person.id, person.id, "192.0.2.1")
    said: Json = {"parts": [{"type": "text", "text": person.word}], "title": person.word, "submitted_by": by}
    alone = {"payload": {"messages": [{"role": "user", "content": person.word}]}, "submitted_by": by}
    async with worker_context(database_url, redis_url) as worker:
        first = await submit(core, turn(tenant, **said))
        for job in (first, await submit(core, turn(tenant, **said)), await submit(core, submission(tenant, **alone))):
            await attempt_job(worker.queue, Script(*saying(person.word)), tenant.id, job.job_id, 1)
        again = await submit(core, turn(tenant, first.session_id, **said))
        await attempt_job(worker.queue, Script(*saying(person.word)), tenant.id, again.job_id, 1)
    add(database_url, "idempotency_keys", tenant, route="r", key=person.word, fingerprint="f", job_id=first.job_id)
    add(database_url, "job_secrets", tenant, job_id=first.job_id, key_id=VAULT.key_ids[0], sealed=person.word.encode())


def add(database_url: str, table: str, tenant: TestTenant, **values: Any) -> None:
    columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
    sql = f"INSERT INTO {table} (tenant_id, {columns}) VALUES (%s, {places})"
    change(database_url, sql, tenant.id, *values.values())


def dump(database_url: str) -> dict[str, list[str]]:
    """Every row of every table as text, bytes too, inflated where they are deflated. Without when a key was last used, which is
    written every 15 s."""
    tables: dict[str, list[str]] = {}
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        for table in TABLES:
            found = db.execute(f"SELECT * FROM {table}").fetchall()
            tables[table] = sorted(
                str({name: readable(name, value) for name, value in row.items() if name != "last_used_at"})
                for row in found
            )
    return tables


def readable(name: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    return (zlib.decompress(value) if name == "frames" else value).decode("utf-8", "replace")


def tables_with(database_url: str, word: str) -> set[str]:
    return {table for table, found in dump(database_url).items() if any(word in row for row in found)}


async def redis_dump(core: JobCore) -> dict[str, str]:
    """Every key of Redis and what it holds, as text."""
    readers = {b"stream": ("XRANGE", "-", "+"), b"hash": ("HGETALL",), b"string": ("GET",)}
    readers |= {b"zset": ("ZRANGE", "0", "-1"), b"list": ("LRANGE", "0", "-1"), b"set": ("SMEMBERS",)}
    held = {}
    for name in await core.redis.call("KEYS", "*"):
        command, *arguments = readers[await core.redis.call("TYPE", name)]
        held[name.decode()] = str(await core.redis.call(command, name, *arguments))
    return held


async def keys_with(core: JobCore, *words: str) -> set[str]:
    held = await redis_dump(core)
    return {name for name, value in held.items() if any(word in name + value for word in words)}


def test_every_table_of_a_tenant_says_what_it_holds_of_a_person() -> None:
    assert {table.__tablename__ for table in TENANT_TABLES} == set(privacy.PERSONAL_DATA)


@pytest.mark.parametrize("table", TENANT_TABLES, ids=lambda table: table.__tablename__)
def test_a_table_with_somebodys_id_says_how_that_is_found_and_erased(table: Any) -> None:
    data = privacy.PERSONAL_DATA[table.__tablename__]
    if "user_id" in table.model_fields and table.__tablename__ not in COPIES:
        assert data.where
        assert data.erasures
    assert bool(data.where) == bool(data.section) == bool(data.columns)
    assert data.description


async def test_an_export_holds_everything_of_a_person_once_and_nothing_of_others(
    api: httpx.AsyncClient, core: JobCore, database_url: str, redis_url: str, tenant: TestTenant, ada: Person
) -> None:
    bob = await settle_in(api, database_url, tenant)
    await work(core, database_url, redis_url, tenant, bob)
    answer = await api.get("/api/users/me/export", headers=ada.headers)
    assert (200, f'attachment; filename="user-{ada.id}.json"') == (
        answer.status_code,
        answer.headers["content-disposition"],
    )
    found = answer.json()
    assert set(routes.UserExportOut.__struct_fields__) == set(found)
    counts = {section: len(found[section]) for section in privacy.SECTIONS}
    wanted = {"sessions": 2, "messages": 6, "jobs": 4, "usage": 4, "api_keys": 1, "sign_ins": 1}
    assert wanted == {section: counts[section] for section in wanted}
    assert [ada.word] * 6 == [message["parts"][0]["text"] for message in found["messages"]]
    assert {ada.word} == {job["result"]["text"] for job in found["jobs"]}
    assert (ada.email, True) == (found["user"]["email"], found["user"]["has_password"])
    assert {"login.succeeded", "chat.ended"} <= {entry["action"] for entry in found["audit"]}
    assert {"job_logs", "refresh_tokens"} < set(found["left_out"])
    for foreign in (bob.word, bob.email, str(bob.id), "argon2", ada.key[12:44]):
        assert foreign not in answer.text
    (entry,) = audit_entries(database_url, tenant.id, "user.exported")
    assert (f"user:{ada.id}", f"user:{ada.id}", 6) == (entry["actor"], entry["target"], entry["detail"]["messages"])


async def test_ten_thousand_messages_are_exported_each_once_in_flat_memory(
    api: httpx.AsyncClient, core: JobCore, database_url: str, tenant: TestTenant, boss: Json
) -> None:
    user_id, size = make_user(database_url, tenant.id), 4000
    sessions = [new_id() for _ in range(3)]
    for session_id in sessions:
        add(database_url, "sessions", tenant, id=session_id, title="t", user_id=user_id)
    sql = """INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts)
      SELECT %s, gen_random_uuid(), (%s::uuid[])[1 + n %% 3], n / 6, n / 3 %% 2, 'user',
        jsonb_build_array(jsonb_build_object('type', 'text', 'text', lpad(n::text, %s, '.')))
      FROM generate_series(1, 10000) AS n"""
    change(database_url, sql, tenant.id, sessions, size)
    user = {"id": user_id, "email": "e"}
    tracemalloc.start()
    pieces, peak = 0, 0
    seen: list[int] = []
    whole = b""
    async for piece in routes._document(core.pool, tenant.id, user):
        whole += piece if len(piece) < 10_000 else b""
        pieces += 1
        if len(piece) > 10_000:
            seen += [int(row["parts"][0]["text"].strip(".")) for row in json.loads(b"[" + piece.lstrip(b",") + b"]")]
        peak = max(peak, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peak < 5_000_000 < 10_000 * size
    assert pieces > 10_000 / routes.EXPORT_PAGE
    assert list(range(1, 10_001)) == sorted(seen)
    answer = await api.get(f"/api/users/{user_id}/export")
    assert 10_000 == len({message["id"] for message in answer.json()["messages"]})


async def test_after_the_erasure_nothing_of_a_person_is_left_and_nothing_of_others_is_missing(
    api: httpx.AsyncClient, core: JobCore, database_url: str, redis_url: str, tenant: TestTenant, ada: Person
) -> None:
    stranger = make_tenant(database_url)
    bob, eve = await settle_in(api, database_url, tenant), await settle_in(api, database_url, stranger)
    await work(core, database_url, redis_url, tenant, bob)
    await work(core, database_url, redis_url, stranger, eve)
    await log_in(api, tenant, ada.email, "not the password")
    jobs = rows(database_url, "SELECT id FROM jobs WHERE user_id = %s", ada.id)
    streams = [redis_names.job_events(tenant.id, job["id"]) for job in jobs]
    assert set(streams) <= await keys_with(core, ada.word)
    wanted = {
        "users",
        "logins",
        "api_keys",
        "sessions",
        "messages",
        "jobs",
        "job_logs",
        "idempotency_keys",
        "job_secrets",
    }
    assert wanted == tables_with(database_url, ada.word)
    spent = rows(database_url, "SELECT sum(cost_nanos), sum(jobs), count(*) FROM usage_records")
    before, others = dump(database_url), await keys_with(core, bob.word, eve.word)

    answer = await api.post("/api/users/me/erase", json={"confirm": ada.email.upper()}, headers=ada.headers)
    assert 200 == answer.status_code, answer.text
    counts = {"sessions": 2, "jobs": 4, "usage_records": 4, "api_keys": 1, "logins": 1}
    assert {"user_id": str(ada.id), "rows": counts} == answer.json()
    assert set() == tables_with(database_url, ada.word) | tables_with(database_url, ada.email)
    assert {"audit_log"} == tables_with(database_url, str(ada.id))
    assert set() == await keys_with(core, ada.word)
    assert set() == {name for name in streams if await core.redis.call("EXISTS", name)}
    assert [401, 401] == [await status_of(api, secret) for secret in (ada.token, ada.key)]

    after = dump(database_url)
    for table in set(TABLES) - {"audit_log", "usage_records", "performance_counts"}:  # the last counts requests, too
        theirs = (ada.word, str(ada.id), *(str(job["id"]) for job in jobs))
        kept = {row for row in before[table] if not any(word in row for word in theirs)}
        if table != "refresh_tokens":
            assert kept == set(after[table]), table
    assert len(before["refresh_tokens"]) - 1 == len(after["refresh_tokens"])
    assert set(before["audit_log"]) < set(after["audit_log"])
    assert spent == rows(database_url, "SELECT sum(cost_nanos), sum(jobs), count(*) FROM usage_records")
    assert others == await keys_with(core, bob.word, eve.word)
    (entry,) = audit_entries(database_url, tenant.id, "user.erased")
    assert (f"user:{ada.id}", None, counts) == (entry["target"], entry["address"], entry["detail"])


async def test_live_jobs_stop_before_anything_is_erased_and_their_last_words_are_refused(
    api: httpx.AsyncClient, core: JobCore, database_url: str, redis_url: str, tenant: TestTenant, boss: Json
) -> None:
    ada = await settle_in(api, database_url, tenant)
    by = Submitter(f"user:{ada.id}", ada.id, ada.id, "192.0.2.1")
    said: Json = {"parts": [{"type": "text", "text": ada.word}], "title": ada.word, "submitted_by": by}
    running = await submit(core, turn(tenant, **said))
    for _ in range(3):
        await submit(core, turn(tenant, running.session_id, **said))
    await submit(core, submission(tenant, submitted_by=by))
    script = Script(saying(ada.word)[0], asyncio.Event())
    async with worker_context(database_url, redis_url) as worker:
        attempt = asyncio.create_task(attempt_job(worker.queue, script, tenant.id, running.job_id, 1))
        await asyncio.wait_for(script.at_work.wait(), PATIENCE_S)
        answer = await api.post(f"/api/users/{ada.id}/erase", json={"confirm": ada.email})
        await asyncio.wait_for(attempt, PATIENCE_S)
        late = await worker.queue.relay.take_over(
            tenant.id, running.job_id, 2, holder="late", created_at=datetime.now(UTC)
        )
    assert (200, 5) == (answer.status_code, answer.json()["rows"]["jobs"])
    assert (True, None) == (script.closed, late)
    assert set() == tables_with(database_url, ada.word) | await keys_with(core, ada.word)


async def test_an_erasure_that_was_interrupted_is_sent_again(
    api: httpx.AsyncClient,
    core: JobCore,
    database_url: str,
    tenant: TestTenant,
    ada: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "STOP_TIMEOUT_S", 0.2)
    by = Submitter(f"user:{ada.id}", ada.id, ada.id)
    stuck = await submit(core, submission(tenant, submitted_by=by))
    sql = "UPDATE jobs SET state = 'running', attempt = 1, lease_until = now() + interval '1 hour' WHERE id = %s"
    change(database_url, sql, stuck.job_id)
    answer = await api.post("/api/users/me/erase", json={"confirm": ada.email}, headers=ada.headers)
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])
    assert "forget" == job_row(database_url, stuck.job_id)["cancel_requested"]
    assert "disabled" == rows(database_url, "SELECT state FROM users WHERE id = %s", ada.id)[0]["state"]
    change(database_url, "UPDATE jobs SET state = 'cancelled' WHERE id = %s", stuck.job_id)
    answer = await api.post(f"/api/users/{ada.id}/erase", json={"confirm": ada.email})
    assert 200 == answer.status_code
    assert set() == tables_with(database_url, ada.word)
    assert 404 == (await api.post(f"/api/users/{ada.id}/erase", json={"confirm": ada.email})).status_code


async def test_without_redis_nothing_is_erased(
    api: httpx.AsyncClient, database_url: str, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: Any) -> None:
        raise RedisUnavailable("away")

    redis_client = api._transport.app.state.resources.core.redis
    monkeypatch.setattr(redis_client, "send", down)
    answer = await api.post(f"/api/users/{ada.id}/erase", json={"confirm": ada.email})
    assert (503, "unavailable") == (answer.status_code, answer.json()["code"])
    assert {"sessions", "messages", "jobs", "users"} < tables_with(database_url, ada.word)


async def test_the_address_goes_from_jobs_in_sessions_of_others(
    api: httpx.AsyncClient, core: JobCore, database_url: str, tenant: TestTenant, ada: Person
) -> None:
    common = new_id()
    add(database_url, "sessions", tenant, id=common, title="everybody's")
    (key,) = rows(database_url, "SELECT id FROM api_keys WHERE user_id = %s", ada.id)
    acting = [Submitter(actor, ada.id, None, "192.0.2.1") for actor in (f"user:{ada.id}", f"key:{key['id']}", "system")]
    jobs = [await submit(core, turn(tenant, common, submitted_by=by)) for by in acting]
    assert 200 == (await api.post(f"/api/users/{ada.id}/erase", json={"confirm": ada.email})).status_code
    assert [None, None, "192.0.2.1"] == [job_row(database_url, job.job_id)["address"] for job in jobs]


async def test_the_last_active_owner_can_not_be_erased(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, boss: Json
) -> None:
    me = boss["user"]
    answer = await api.post("/api/users/me/erase", json={"confirm": me["email"]})
    assert (409, "This is the last active owner. Create another one first.") == (
        answer.status_code,
        answer.json()["detail"],
    )
    assert 200 == (await api.get("/api/users")).status_code
    make_user(database_url, tenant.id, role="owner")
    assert 200 == (await api.post("/api/users/me/erase", json={"confirm": me["email"]})).status_code


@pytest.mark.parametrize("confirm", ["someone@example.com", "ada", ""])
async def test_an_erasure_wants_the_email_of_who_is_to_go(
    api: httpx.AsyncClient, database_url: str, ada: Person, confirm: str
) -> None:
    for path, headers in (("me", ada.headers), (str(ada.id), {})):
        answer = await api.post(f"/api/users/{path}/erase", json={"confirm": confirm}, headers=headers)
        assert (400, "confirm") == (answer.status_code, answer.json()["errors"][0]["field"])
    assert 200 == await status_of(api, ada.token)


async def test_a_persons_key_exports_and_does_not_erase(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, ada: Person
) -> None:
    answer = await api.get("/api/users/me/export", headers=bearer(ada.key))
    assert (200, str(ada.id)) == (answer.status_code, answer.json()["user"]["id"])
    answer = await api.post("/api/users/me/erase", json={"confirm": ada.email}, headers=bearer(ada.key))
    assert (403, "forbidden") == (answer.status_code, answer.json()["code"])
    assert 403 == (await api.get("/api/users/me/export", headers=tenant.headers)).status_code


async def test_a_narrowed_key_exports_no_more_than_it_reads(
    api: httpx.AsyncClient, database_url: str, ada: Person
) -> None:
    change(database_url, """UPDATE api_keys SET scopes = '["chat"]' WHERE user_id = %s""", ada.id)
    assert 403 == (await api.get("/api/users/me/export", headers=bearer(ada.key))).status_code


async def test_members_export_and_erase_nobody_else(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, boss: Json, ada: Person
) -> None:
    other = boss["user"]
    assert 403 == (await api.get(f"/api/users/{other['id']}/export", headers=ada.headers)).status_code
    body = {"confirm": other["email"]}
    assert 403 == (await api.post(f"/api/users/{other['id']}/erase", json=body, headers=ada.headers)).status_code


async def test_people_of_another_tenant_are_not_there(
    api: httpx.AsyncClient, database_url: str, stranger: TestTenant, boss: Json
) -> None:
    email = some_email()
    for user_id in (make_user(database_url, stranger.id, email), uuid4()):
        answers = [
            await api.get(f"/api/users/{user_id}/export"),
            await api.post(f"/api/users/{user_id}/erase", json={"confirm": email}),
        ]
        assert [(404, "No such user. GET /api/users lists the users of your tenant.")] * 2 == [
            (a.status_code, a.json()["detail"]) for a in answers
        ]
