"""Keys are changed under load, in spite of kill -9, and without losing what is written meanwhile."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from schema.errors import SecretUnreadable
from schema.postgres.connections import Db
from schema.queries.identity.secrets import SEALED_TABLES, KeyUse, list_key_ids, list_stale, replace
from schema.vault import PLATFORM, Sealed, Vault, new_secret_key
from tests.conftest import make_tenant
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]
OLD, NEW = new_secret_key(), new_secret_key()
BEFORE, DURING, AFTER = Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])
MANY = 10_000 if os.environ.get("HEADRACE_TESTS") == "full" else 5_000

READ = "SELECT key_id, sealed FROM credentials WHERE tenant_id = %s AND id = %s"
WRITE = "UPDATE credentials SET key_id = %s, sealed = %s WHERE tenant_id = %s AND id = %s"
Row = tuple[UUID, UUID]


@pytest.fixture(autouse=True)
def _emptied(database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        db.execute(f"TRUNCATE {', '.join(SEALED_TABLES)} CASCADE")


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Db]:
    """A connection of the tables' owner. A statement that waits for a lock fails instead of hanging the test."""
    options = "-c lock_timeout=5000"
    async with await Db.connect(database_url, autocommit=True, row_factory=dict_row, options=options) as db:
        yield db


def add_credentials(database_url: str, count: int, *, vault: Vault = BEFORE, tenants: int = 1) -> dict[Row, str]:
    """Store credentials, and return their secrets by their rows."""
    owners = [make_tenant(database_url).id for _ in range(tenants)]
    secrets = {(owners[number % tenants], uuid4()): f"sk-{number}" for number in range(count)}
    columns = "COPY credentials (tenant_id, id, service, key_id, sealed) FROM STDIN"
    with psycopg.connect(database_url) as db, db.cursor().copy(columns) as copy:
        for number, ((tenant_id, owner_id), secret) in enumerate(secrets.items()):
            sealed = vault.seal(secret, tenant_id=tenant_id, owner_id=owner_id)
            copy.write_row((tenant_id, owner_id, f"service-{number}", sealed.key_id, sealed.sealed))
    return secrets


async def read_all(db: Db, vault: Vault) -> dict[Row, str]:
    """Every credential, opened with the keys of `vault`."""
    rows = await (await db.execute("SELECT tenant_id, id, key_id, sealed FROM credentials")).fetchall()
    return {(row["tenant_id"], row["id"]): open_row(vault, (row["tenant_id"], row["id"]), row) for row in rows}


def open_row(vault: Vault, at: Row, row: dict) -> str:
    return vault.open(Sealed(row["key_id"], row["sealed"]), tenant_id=at[0], owner_id=at[1])


async def write(db: Db, at: Row, secret: str, vault: Vault = DURING) -> None:
    sealed = vault.seal(secret, tenant_id=at[0], owner_id=at[1])
    await db.execute(WRITE, (sealed.key_id, sealed.sealed, *at))


async def start_rotation(database_url: str, *keys: str) -> asyncio.subprocess.Process:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    env = own | {"HEADRACE_DATABASE_URL": database_url, "HEADRACE_SECRET_KEYS": ",".join(keys)}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", "rotate-keys", cwd=ROOT, env=env, stdout=pipe, stderr=pipe
    )


async def rotate(database_url: str, *keys: str) -> tuple[int | None, str, str]:
    """Run the command to its end; its exit status and what it said."""
    process = await start_rotation(database_url, *keys)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, out.decode(), err.decode()


@dataclass
class Load:
    """What the rest of the system does meanwhile: open credentials all the time, and change one after the other."""

    database_url: str
    secrets: dict[Row, str]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reads: int = 0
    writes: int = 0
    failures: list[str] = field(default_factory=list)

    async def read(self) -> None:
        rows = list(self.secrets)
        async with opened(self.database_url) as db:
            while not self.stop.is_set():
                at = random.choice(rows)
                row = await (await db.execute(READ, at)).fetchone()
                try:
                    open_row(DURING, at, row or {})
                except SecretUnreadable as error:
                    self.failures.append(error.message)
                self.reads += 1

    async def write(self) -> None:
        rows = list(self.secrets)
        async with opened(self.database_url) as db:
            while not self.stop.is_set():
                at, secret = random.choice(rows), f"changed-{self.writes}"
                await write(db, at, secret)
                self.secrets[at] = secret
                self.writes += 1


@asynccontextmanager
async def under_load(database_url: str, secrets: dict[Row, str]) -> AsyncIterator[Load]:
    load = Load(database_url, secrets)
    async with asyncio.TaskGroup() as tasks:
        for work in (load.read, load.read, load.write):
            tasks.create_task(work())
        try:
            yield load
        finally:
            load.stop.set()


async def kill_midway(process: asyncio.subprocess.Process, *, batches: int) -> None:
    """Let a rotation come so far, then end it as a power cut would."""
    assert process.stdout
    for _ in range(batches):
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        assert line.startswith(b"credentials: ")
    process.kill()
    await process.communicate()


async def test_credentials_change_keys_under_load_and_a_kill(database_url: str) -> None:
    secrets = add_credentials(database_url, MANY, tenants=3)
    async with opened(database_url) as db:
        async with under_load(database_url, secrets) as load:
            await kill_midway(await start_rotation(database_url, NEW, OLD), batches=5)
            half = {use.key_id: use.rows for use in await list_key_ids(db)}
            status, out, err = await rotate(database_url, NEW, OLD)
        assert half.keys() == {BEFORE.newest, AFTER.newest}
        assert half[AFTER.newest] >= 2000
        assert (0, "") == (status, err)
        assert f"Nothing uses {BEFORE.newest} any longer" in out
        assert [KeyUse("credentials", AFTER.newest, MANY)] == await list_key_ids(db)
        assert secrets == await read_all(db, AFTER)
    assert [] == load.failures
    assert load.reads > 500
    assert load.writes > 200


async def test_a_secret_that_changed_meanwhile_is_not_overwritten(database_url: str) -> None:
    secrets = add_credentials(database_url, 20)
    async with opened(database_url) as db:
        rows = await list_stale(db, "credentials", AFTER.newest)
        changed, gone = ((row.tenant_id, row.owner_id) for row in rows[3:5])
        secrets[changed] = "mine"
        await write(db, changed, "mine", BEFORE)
        await db.execute("DELETE FROM credentials WHERE id = %s", (gone[1],))
        del secrets[gone]
        fresh = [DURING.reseal(row.sealed, tenant_id=row.tenant_id, owner_id=row.owner_id) for row in rows]
        assert 18 == await replace(db, "credentials", rows, fresh)
        assert secrets == await read_all(db, DURING)
        assert [changed] == [(row.tenant_id, row.owner_id) for row in await list_stale(db, "credentials", AFTER.newest)]


async def test_a_row_that_is_being_written_is_not_waited_for(database_url: str) -> None:
    """Waiting while holding the batch's other locks is how two would wait for each other."""
    add_credentials(database_url, 3)
    async with opened(database_url) as db, opened(database_url) as other:
        rows = await list_stale(db, "credentials", AFTER.newest)
        fresh = [DURING.reseal(row.sealed, tenant_id=row.tenant_id, owner_id=row.owner_id) for row in rows]
        at = (rows[1].tenant_id, rows[1].owner_id)
        async with other.transaction():
            await write(other, at, "mine")
            assert 2 == await replace(db, "credentials", rows, fresh)
        assert "mine" == (await read_all(db, AFTER))[at]


async def test_batches_follow_one_another_without_a_gap(database_url: str) -> None:
    secrets = add_credentials(database_url, 25, tenants=3)
    found = []
    async with opened(database_url) as db:
        rows = await list_stale(db, "credentials", AFTER.newest, limit=10)
        while rows:
            found += [(row.tenant_id, row.owner_id) for row in rows]
            rows = await list_stale(db, "credentials", AFTER.newest, limit=10, after=rows[-1])
        assert [] == await list_stale(db, "credentials", BEFORE.newest)
    assert sorted(secrets) == found


async def test_every_sealed_table_changes_keys(database_url: str) -> None:
    tenant_id = make_tenant(database_url).id
    ids = {name: uuid4() for name in SEALED_TABLES} | {"callback_secrets": tenant_id}
    bound = {name: (tenant_id if table.has_tenant else PLATFORM, ids[name]) for name, table in SEALED_TABLES.items()}
    sealed = {name: BEFORE.seal(name, tenant_id=at[0], owner_id=at[1]) for name, at in bound.items()}
    secret = {name: (ids[name], one.key_id, one.sealed) for name, one in sealed.items()}
    provider = "INSERT INTO identity_providers (tenant_id, id, name, issuer, audience, key_id, sealed) VALUES "
    async with opened(database_url) as db:
        await db.execute("SET session_replication_role = replica")  # the job of the token need not be there
        await db.execute(
            "INSERT INTO credentials (tenant_id, id, service, key_id, sealed) VALUES (%s, %s, 'openai', %s, %s)",
            (tenant_id, *secret["credentials"]),
        )
        await db.execute(provider + "(%s, %s, 'a', 'a', 'a', %s, %s)", (tenant_id, *secret["identity_providers"]))
        await db.execute(provider + "(%s, %s, 'b', 'b', 'b', NULL, NULL)", (tenant_id, uuid4()))
        await db.execute(
            "INSERT INTO job_secrets (tenant_id, job_id, key_id, sealed) VALUES (%s, %s, %s, %s)",
            (tenant_id, *secret["job_secrets"]),
        )
        await db.execute(
            "INSERT INTO signing_keys (id, key_id, sealed, public) VALUES (%s, %s, %s, '{}')", secret["signing_keys"]
        )
        certificate = "INSERT INTO certificates (id, key_id, sealed, name, origin, names, key_kind) VALUES "
        await db.execute(certificate + "(%s, %s, %s, 'n', 'uploaded', '[]', 'rsa_2048')", secret["certificates"])
        account = "INSERT INTO acme_accounts (id, key_id, sealed, directory, account) VALUES (%s, %s, %s, 'd', '{}')"
        await db.execute(account, secret["acme_accounts"])
        tool = "INSERT INTO tools (tenant_id, id, name, kind, definition, key_id, sealed) VALUES "
        await db.execute(tool + "(%s, %s, 'a', 'HTTP_GET', '{}', %s, %s)", (tenant_id, *secret["tools"]))
        source = "INSERT INTO data_sources (tenant_id, id, name, tables, key_id, sealed) VALUES "
        await db.execute(source + "(%s, %s, 'a', '[]', %s, %s)", (tenant_id, *secret["data_sources"]))
        hook = "INSERT INTO webhook_endpoints (tenant_id, id, url, events, key_id, sealed) VALUES (%s, %s, 'u', '[]', %s, %s)"
        await db.execute(hook, (tenant_id, *secret["webhook_endpoints"]))
        trigger = "INSERT INTO triggers (tenant_id, id, name, created_by, issuer, kind, job, compiled, auth, calls_per_minute, "
        trigger += "key_id, sealed) VALUES (%s, %s, 'n', 'c', 'i', 'chat', '{}', '{}', 'secret', 1, %s, %s)"
        await db.execute(trigger, (tenant_id, *secret["triggers"]))
        callbacks = "INSERT INTO callback_secrets (tenant_id, key_id, sealed) VALUES (%s, %s, %s)"
        await db.execute(callbacks, secret["callback_secrets"])
        assert (0, "") == (await rotate(database_url, NEW, OLD))[::2]
        assert [KeyUse(name, AFTER.newest, 1) for name in sorted(SEALED_TABLES)] == await list_key_ids(db)
        for name in SEALED_TABLES:
            (row,) = await list_stale(db, name, "none")
            assert bound[name] == (row.tenant_id, row.owner_id)
            assert name == AFTER.open(row.sealed, tenant_id=row.tenant_id, owner_id=row.owner_id)


def test_no_table_with_sealed_secrets_is_forgotten(database_url: str) -> None:
    """Its rows would be lost with the old key. A `key_id` that is a UUID is an API key's."""
    sql = """SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type <> 'uuid'
             GROUP BY table_name HAVING bool_or(column_name = 'sealed') OR bool_or(column_name = 'key_id')"""
    with psycopg.connect(database_url) as db:
        assert set(SEALED_TABLES) == {name for (name,) in db.execute(sql)}


async def test_nothing_is_changed_while_a_key_is_unknown(database_url: str) -> None:
    stranger = Vault([new_secret_key()])
    add_credentials(database_url, 3)
    secrets = add_credentials(database_url, 2, vault=stranger)
    async with opened(database_url) as db:
        before = await list_key_ids(db)
        status, out, err = await rotate(database_url, NEW, OLD)
        assert (1, "") == (status, out)
        assert f"2 rows of credentials need {stranger.newest}." in err
        assert "Nothing was changed" in err
        assert before == await list_key_ids(db)
    assert 2 == len(secrets)


async def test_what_cannot_be_opened_is_named_and_left_and_the_rest_goes_on(database_url: str) -> None:
    secrets = add_credentials(database_url, 600)
    (first, copied), (other, damaged), *_ = secrets
    async with opened(database_url) as db:
        sealed = BEFORE.seal("sk-canary", tenant_id=PLATFORM, owner_id=copied)
        await db.execute(WRITE, (sealed.key_id, sealed.sealed, first, copied))
        await db.execute(WRITE, (sealed.key_id, b"broken", other, damaged))
        status, _, err = await rotate(database_url, NEW, OLD)
        assert 1 == status
        assert f"credentials: row {copied} of tenant {first}: A stored secret was encrypted for another row" in err
        assert f"credentials: row {damaged} of tenant {other}: A stored secret is damaged" in err
        assert "2 secrets can't be decrypted" in err
        assert "sk-canary" not in err
        assert {BEFORE.newest: 2, AFTER.newest: 598} == {use.key_id: use.rows for use in await list_key_ids(db)}


async def test_a_second_rotation_has_nothing_to_do(database_url: str) -> None:
    add_credentials(database_url, 3, vault=AFTER)
    status, out, _ = await rotate(database_url, NEW)
    assert (0, f"Every stored secret is encrypted with the newest key, {AFTER.newest}.\n") == (status, out)
