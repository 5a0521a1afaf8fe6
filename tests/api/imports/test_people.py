"""`users.json` and `persona.json`: people sign in with the passwords that they had; nobody is there by halves."""

import asyncio
import json
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import psycopg
import pytest

from api.__main__ import main
from tests.api.people import log_in, make_user
from tests.conftest import TestTenant

LONG = "ä" * 50  # 100 bytes, of which bcrypt knew the first 72
HASHES = {text: bcrypt.hashpw(text.encode()[:72], bcrypt.gensalt(4)).decode() for text in ("old password", LONG)}
ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
PEOPLE: dict[str, dict[str, Any]] = {
    "Alice@Example.com": {
        "hashed_password": HASHES["old password"].replace("$2b$", "$2y$"),
        "name": "Alice",
        "role": "admin",
    },
    BOB: {"password": HASHES[LONG], "role": "user"},
    CAROL: {"name": "Carol", "password_hash": None},
}


@pytest.fixture(autouse=True)
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database_url)


def stored(database_url: str, tenant: TestTenant) -> dict[str, tuple[str, str, str | None]]:
    with psycopg.connect(database_url) as db:
        sql = "SELECT email, name, role, password_hash FROM users WHERE tenant_id = %s"
        return {email: (name, role, hashed) for email, name, role, hashed in db.execute(sql, (tenant.id,))}


def imported(path: Path, tenant: TestTenant, *more: str) -> int:
    return main(["import", str(path), "--tenant", tenant.slug, *more])


async def test_imported_people_sign_in_with_their_passwords_which_are_argon2id_from_then_on(
    database_url: str, tenant: TestTenant, api: httpx.AsyncClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "users.json").write_text(json.dumps(PEOPLE))
    chat = {"id": "s1", "email": BOB, "messages": [{"role": "user", "content": "Hello?"}]}
    (tmp_path / "s1.json").write_text(json.dumps(chat))
    assert 0 == await asyncio.to_thread(imported, tmp_path, tenant, "--check")
    assert {} == stored(database_url, tenant)
    assert 0 == await asyncio.to_thread(imported, tmp_path, tenant)
    said = capsys.readouterr().out
    assert ("3 people would be added" in said, "3 people were added" in said, "1 conversation with" in said) == (
        True,
    ) * 3
    assert "left out: people without a password (1)" in said
    kept = {email: each[:2] for email, each in stored(database_url, tenant).items()}
    assert {ALICE: ("Alice", "owner"), BOB: ("", "member"), CAROL: ("Carol", "member")} == kept

    assert 401 == (await log_in(api, tenant, ALICE, "a wrong one")).status_code
    assert 401 == (await log_in(api, tenant, CAROL, "old password")).status_code
    for email, password in ((ALICE, "old password"), (BOB, LONG)):
        assert stored(database_url, tenant)[email][2].startswith("$2")  # type: ignore[union-attr]
        assert 200 == (await log_in(api, tenant, email, password)).status_code
        assert stored(database_url, tenant)[email][2].startswith("$argon2id$")  # type: ignore[union-attr]
        assert 200 == (await log_in(api, tenant, email, password)).status_code
    assert 401 == (await log_in(api, tenant, BOB, LONG[:36])).status_code  # the same 72 bytes are no longer enough

    before = stored(database_url, tenant)
    assert 0 == await asyncio.to_thread(imported, tmp_path, tenant)
    assert "0 people were added" in capsys.readouterr().out
    assert before == stored(database_url, tenant)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"password": "old password"}, "dave@example.com: what stands for the password is no hash of bcrypt"),
        ({"password": HASHES["old password"][:-1]}, "is no hash of bcrypt"),
        ({"password": ""}, "is no hash of bcrypt"),
        ({"password": 7}, "is no hash of bcrypt"),
        ({"password": "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAA"}, "is no hash of bcrypt"),
        ({"password": HASHES["old password"].replace("$04$", "$31$")}, "the hash has a cost of 31"),
        ({"password": None, "role": "god"}, "the role 'god' is unknown"),
        ({"password": None, "email": "dave"}, "dave: it is no email address"),
        ({"password": None, "email": BOB.upper()}, "bob@example.com: it stands there twice"),
    ],
)
def test_whoever_cannot_be_taken_is_named_and_nobody_is_taken(
    broken: dict[str, Any],
    told: str,
    database_url: str,
    tenant: TestTenant,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    people = [{"email": email, **fields} for email, fields in PEOPLE.items()]
    (tmp_path / "users.json").write_text(json.dumps({"users": [*people, {"email": "dave@example.com", **broken}]}))
    assert 1 == imported(tmp_path, tenant)
    said = capsys.readouterr().err
    assert (told in said, "old password" in said, "$2" in said) == (True, False, False), said
    assert {} == stored(database_url, tenant)


def test_who_is_there_keeps_name_role_and_password(
    database_url: str, tenant: TestTenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_user(database_url, tenant.id, ALICE, role="viewer")
    before = stored(database_url, tenant)[ALICE]
    (tmp_path / "users.json").write_text(json.dumps(PEOPLE))
    assert 0 == imported(tmp_path / "users.json", tenant)
    said = capsys.readouterr().out
    assert ("2 people were added to" in said, "1 more is there already" in said) == (True, True)
    assert before == stored(database_url, tenant)[ALICE]


def test_a_persona_becomes_the_tenants_and_leaves_its_other_settings(
    database_url: str, tenant: TestTenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database_url) as db:
        sql = "INSERT INTO configurations (tenant_id, settings) VALUES (%s, '{\"offered_tools\": 3}')"
        db.execute(sql, (tenant.id,))
    file = tmp_path / "persona.json"
    file.write_text(json.dumps({"name": "Ada", "system_prompt": "You work for Acme.", "traits": ["brief"]}))
    assert (0, 0) == (imported(file, tenant), imported(file, tenant))
    said = capsys.readouterr().out
    assert [f"The persona of {tenant.slug} {how}." for how in ("was set", "is set already")] == said.splitlines()[::2]
    assert "left out: fields of the persona that are none here (1)" in said
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT settings FROM configurations WHERE tenant_id = %s", (tenant.id,)).fetchone()
    wanted = {"offered_tools": 3, "persona": {"system_prompt": "You work for Acme.", "traits": ["brief"]}}
    assert (wanted,) == row
    file.write_text(json.dumps({"system_prompt": "x" * 8001}))
    assert 1 == imported(file, tenant)
    assert "it is no persona" in capsys.readouterr().err
