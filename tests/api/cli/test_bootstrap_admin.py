"""The first admin of an installation: made once, told once, kept by the embedded stack."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from api.cli.env import exports, shell_exports
from api.cli.up import banner
from api.local.keys import admin_key, ensure_admin_key
from api.local.stack import RunningStack
from api.local.stack_settings import settings_from, without_own_exports
from schema.identity.api_keys import new_api_key, read_api_key
from schema.installation.bootstrap import (
    add_platform_admin,
    ensure_api_key,
    ensure_demo_tenant,
    ensure_platform_admin,
    ensure_tenant,
)
from schema.vault import PLATFORM
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def nobody(database_url: str) -> None:
    """As on a new installation."""
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM api_keys")


def roles(database_url: str, key: str) -> list[tuple[object, ...]]:
    parts = read_api_key(key)
    assert parts is not None
    with psycopg.connect(database_url) as db:
        sql = "SELECT tenant_id, role FROM api_keys WHERE find = %s AND digest = %s AND revoked_at IS NULL"
        return db.execute(sql, (parts.find, parts.digest)).fetchall()


def revoke(database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE api_keys SET revoked_at = now()")


def migrate(home: Path, database_url: str, *arguments: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    done = subprocess.run(
        [sys.executable, "-m", "api", "migrate", *arguments],
        env=own | {"HEADRACE_HOME": str(home), "HEADRACE_DATABASE_URL": database_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout


def key_in(text: str) -> str | None:
    return next((word for word in text.split() if word.startswith("hr_")), None)


def test_the_first_admin_is_made_once(database_url: str) -> None:
    made = ensure_platform_admin(database_url)
    assert made is not None
    assert [(PLATFORM, "admin")] == roles(database_url, made)
    assert ensure_platform_admin(database_url) is None


def test_an_installation_whose_admin_keys_are_all_revoked_gets_a_fresh_one(database_url: str) -> None:
    old = ensure_platform_admin(database_url)
    assert old is not None
    revoke(database_url)
    fresh = ensure_platform_admin(database_url, old)
    assert fresh not in (None, old)
    assert [] == roles(database_url, old)


def test_a_key_that_another_tenant_has_never_becomes_an_admins(database_url: str) -> None:
    key = new_api_key()
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, ensure_tenant(db, "mill", "Mill"), key, name="theirs")
    made = ensure_platform_admin(database_url, key)
    assert made not in (None, key)
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, PLATFORM, key, name="stolen", role="admin")
    assert ["member"] == [role for _, role in roles(database_url, key)]


def test_the_stack_keeps_the_key_where_only_its_owner_reads_it(database_url: str, tmp_path: Path) -> None:
    ensure_admin_key(tmp_path, database_url)
    kept = admin_key(tmp_path)
    assert kept is not None
    assert "600" == oct((tmp_path / "admin.key").stat().st_mode)[-3:]
    ensure_admin_key(tmp_path, database_url)
    assert (kept, [(PLATFORM, "admin")]) == (admin_key(tmp_path), roles(database_url, kept))


def test_a_database_that_was_made_anew_takes_the_kept_key_again(database_url: str, tmp_path: Path) -> None:
    ensure_admin_key(tmp_path, database_url)
    kept = admin_key(tmp_path)
    assert kept is not None
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM api_keys")
    ensure_admin_key(tmp_path, database_url)
    assert (kept, [(PLATFORM, "admin")]) == (admin_key(tmp_path), roles(database_url, kept))


def test_a_stack_on_a_database_that_has_an_admin_makes_no_other(database_url: str, tmp_path: Path) -> None:
    add_platform_admin(database_url)
    ensure_admin_key(tmp_path, database_url)
    assert admin_key(tmp_path) is None


def test_migrate_tells_the_key_once_and_makes_another_when_asked(database_url: str, tmp_path: Path) -> None:
    first = key_in(migrate(tmp_path, database_url))
    assert first is not None
    assert key_in(migrate(tmp_path, database_url)) is None
    second = key_in(migrate(tmp_path, database_url, "--new-admin-key"))
    assert second not in (None, first)
    assert [(PLATFORM, "admin")] == roles(database_url, first) == roles(database_url, second or "")


def test_the_demo_tenant_may_use_every_model_and_its_key_is_an_owners(database_url: str) -> None:
    key = new_api_key()
    for _ in range(2):
        ensure_demo_tenant(database_url, key)
    with psycopg.connect(database_url) as db:
        sql = "SELECT g.kind, g.name FROM grants g JOIN tenants t ON t.id = g.tenant_id WHERE t.slug = 'demo'"
        assert [("model", "*")] == db.execute(sql).fetchall()
    assert ["owner"] == [role for _, role in roles(database_url, key)]


def test_env_hands_the_admins_key_over_and_up_only_says_where_it_is() -> None:
    running = RunningStack(pid=1, url="http://x", flower_url="http://y", key="hr_demo", admin_key="hr_admin")
    assert "export HEADRACE_ADMIN_KEY=hr_admin" in shell_exports(exports(running)).splitlines()
    shown = banner(running, settings_from({"HEADRACE_HOME": "/nowhere"}))
    assert ("hr_admin" in shown, "/nowhere/admin.key" in shown) == (False, True)


def test_the_processes_of_a_stack_are_not_told_the_admins_key() -> None:
    evaluated = {"HEADRACE_URL": "http://x", "OPENAI_BASE_URL": "http://x/v1", "HEADRACE_ADMIN_KEY": "hr_"}
    assert {"HEADRACE_URL": "http://x"} == without_own_exports(evaluated)
