"""No process works with a connection that could see more than its tenant, whatever stands between it and Postgres."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from api.local.stores.local_stores import open_stores
from schema.errors import LoginRefused, Unavailable
from schema.ids import new_id
from schema.installation.migrate import migrate
from schema.postgres.connections import pool_for, tenant_tx
from schema.postgres.logins import (
    ROLES,
    SETTINGS,
    check_login,
    derived_password,
    ensure_logins,
    login_conninfo,
    url_from,
)
from tests.schema.postgres.poolers import PGBOUNCER, OptionsDropper, pgbouncer
from tests.system import ROOT, System


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this module's own, as users belong to a whole server."""
    with open_stores(Path(tmp_path_factory.mktemp("logins")), durable=False) as running:
        migrate(running.database_url)
        with psycopg.connect(running.database_url) as db:
            db.execute("INSERT INTO tenants (id, slug, name) VALUES (%s, 'one', 'One')", (new_id(),))
        yield running.database_url


FAULTS: dict[str, tuple[LiteralString, LiteralString]] = {
    "its user is a superuser": ("ALTER ROLE headrace_app SUPERUSER", "ALTER ROLE headrace_app NOSUPERUSER"),
    "BYPASSRLS": ("ALTER ROLE headrace_app BYPASSRLS", "ALTER ROLE headrace_app NOBYPASSRLS"),
    "can become pg_read_all_data": (
        "GRANT pg_read_all_data TO headrace_app",
        "REVOKE pg_read_all_data FROM headrace_app",
    ),
    "can become headrace_system": (
        "GRANT headrace_system TO headrace_app",
        "REVOKE headrace_system FROM headrace_app",
    ),
    "its user is headrace_app, its role headrace_system": (
        "GRANT headrace_system TO headrace_app; ALTER ROLE headrace_app SET role = headrace_system",
        "ALTER ROLE headrace_app RESET role; REVOKE headrace_system FROM headrace_app",
    ),
    "not in force: plan_cache_mode=force_generic_plan": (
        "ALTER ROLE headrace_app RESET plan_cache_mode",
        "ALTER ROLE headrace_app SET plan_cache_mode = force_generic_plan",
    ),
    "not in force: statement_timeout=30s": (
        "ALTER ROLE headrace_app SET statement_timeout = 0",
        "ALTER ROLE headrace_app SET statement_timeout = '30s'",
    ),
    "Postgres refused the user headrace_app": ("ALTER ROLE headrace_app NOLOGIN", "ALTER ROLE headrace_app LOGIN"),
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """What is wrong with the user of the processes."""
    breaks, mends = FAULTS[request.param]
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(breaks)
        try:
            yield request.param
        finally:
            db.execute(mends)


def test_a_process_does_not_start_with_a_user_that_sees_or_may_do_too_much(server: str, fault: str) -> None:
    with pytest.raises(LoginRefused) as refused:
        check_login(server, "headrace_app")
    assert fault in refused.value.message
    assert "PgBouncer" in refused.value.message
    assert "migrate" in refused.value.message


async def test_a_connection_that_fails_its_proof_is_never_used(server: str, fault: str) -> None:
    async with pool_for(server, "headrace_app", max_size=1) as pool:
        with pytest.raises(Unavailable):
            async with tenant_tx(pool, new_id()) as db:
                await db.execute("SELECT 1")


@pytest.mark.parametrize("command", [("api", "serve"), ("workers", "scheduler"), ("workers", "chat")])
def test_every_process_ends_with_status_2_and_says_what_to_do(
    server: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    env = System(server, "redis://127.0.0.1:1/0", folder=tmp_path).env
    with psycopg.connect(server, autocommit=True) as db:
        db.execute("ALTER ROLE headrace_app BYPASSRLS")
        try:
            ended = subprocess.run(
                [sys.executable, "-m", *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
            )
        finally:
            db.execute("ALTER ROLE headrace_app NOBYPASSRLS")
    assert (2, True) == (ended.returncode, "bypasses row-level security" in ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr


def test_migrate_prepares_users_whose_password_or_settings_are_gone(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as db:
        db.execute("ALTER ROLE headrace_app NOLOGIN PASSWORD NULL")
        db.execute("ALTER ROLE headrace_system RESET ALL")
    assert migrate(server) is False
    for role in ROLES:
        check_login(server, role)


def test_a_user_may_have_a_url_with_a_password_of_its_own(server: str) -> None:
    place = server.partition("@")[2]
    own = f"postgresql://headrace_app:chosen@{place}"
    try:
        ensure_logins(server, {"headrace_app": own})
        check_login(own, "headrace_app")
        assert (
            own
            == url_from({"HEADRACE_APP_DATABASE_URL": own}, "headrace_app", server)
            == login_conninfo(own, "headrace_app")
        )
    finally:
        ensure_logins(server, {})


def test_a_url_of_another_user_is_refused_without_quoting_its_password() -> None:
    env = {"HEADRACE_SYSTEM_DATABASE_URL": "postgresql://headrace:hunter2@127.0.0.1/headrace"}
    with pytest.raises(ValueError, match="must be a URL with the user headrace_system") as refused:
        url_from(env, "headrace_system", "")
    assert "hunter2" not in str(refused.value)


def test_the_passwords_of_the_users_differ_and_hide_the_owners() -> None:
    assert 3 == len({"secret", *(derived_password("secret", role) for role in ROLES)})


def test_an_outage_at_the_start_is_no_refusal() -> None:
    check_login("postgresql://headrace:secret@127.0.0.1:1/headrace", "headrace_app")


async def _check_confined(database_url: str) -> None:
    """An unknown tenant sees nothing, and every setting is in force."""
    async with pool_for(database_url, "headrace_app", max_size=1) as pool, tenant_tx(pool, new_id()) as db:
        tenants = await (await db.execute("SELECT id FROM tenants")).fetchall()
        keys = await (await db.execute("SELECT id FROM api_keys")).fetchall()
        settings = {}
        for name in SETTINGS:
            row = await (await db.execute("SELECT current_setting(%s) AS value", (name,))).fetchone()
            settings[name] = row and row["value"]
    assert ([], [], SETTINGS) == (tenants, keys, settings)


async def test_settings_hold_where_a_pooler_drops_the_options_of_a_connection(server: str) -> None:
    async with OptionsDropper(server) as pooler:
        await _check_confined(pooler.url)
        assert "headrace_app" in pooler.users
    await _check_confined(server)


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
async def test_behind_pgbouncer_a_tenant_sees_only_its_rows(server: str, tmp_path: Path) -> None:
    with pgbouncer(server, tmp_path) as pooler:
        check_login(pooler.url, "headrace_app")
        await _check_confined(pooler.url)


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
def test_behind_a_pgbouncer_that_connects_everyone_as_the_owner_nothing_starts(server: str, tmp_path: Path) -> None:
    with (
        pgbouncer(server, tmp_path, forced_user="headrace") as pooler,
        pytest.raises(LoginRefused, match=r"its user is headrace, .*superuser.*PgBouncer"),
    ):
        check_login(pooler.url, "headrace_app")
