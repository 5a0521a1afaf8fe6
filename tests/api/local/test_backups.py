"""`backup` and `restore` on databases and folders: what is in a file, what is refused, and that a refusal changes nothing. The
whole drill, with processes, is in `tests/journeys/operations/test_restore.py`.
"""

import hashlib
import itertools
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from api.__main__ import main
from api.local.backup.archive import DATABASE, FILES, Backup, BackupWriter, Manifest
from api.local.backup.programs import connection_environment
from api.local.home import Home
from api.local.stores.local_stores import Stores
from api.local.stores.postgres import binaries
from schema.ids import new_id
from schema.installation.contents import connect, snapshot
from schema.postgres.logins import derived_password
from schema.queries.documents.file_removals import DUE_LOCK
from schema.vault import new_secret_key
from tests.conftest import TestTenant, _create_database, make_tenant
from tests.secret import SECRET_KEY, VAULT

LETTER = b"The gate lets the water in. " * 20_000
SEALED = "whsec_of_the_tenant"


@dataclass(frozen=True)
class Made:
    """A backup, the copy of its keys, and what it is of."""

    file: Path
    keys: Path
    database_url: str
    tenant: TestTenant


@pytest.fixture(scope="module")
def made(
    stores: Stores, database_url: str, tmp_path_factory: pytest.TempPathFactory, module_environment: pytest.MonkeyPatch
) -> Made:
    """The backup of a tenant with a file and a sealed secret."""
    tenant, folder = make_tenant(database_url, role="owner"), tmp_path_factory.mktemp("backup")
    stored_as = f"{tenant.id}/{new_id()}"
    sealed = VAULT.seal(SEALED, tenant_id=tenant.id, owner_id=tenant.id)
    with psycopg.connect(database_url) as db:
        db.execute(
            "INSERT INTO files (tenant_id, id, name, purpose, media_type, size_bytes, sha256, stored_as) "
            "VALUES (%s, %s, 'letter.txt', 'user_data', 'text/plain', %s, %s, %s)",
            (tenant.id, new_id(), len(LETTER), hashlib.sha256(LETTER).digest(), stored_as),
        )
        db.execute(
            "INSERT INTO callback_secrets (tenant_id, key_id, sealed) VALUES (%s, %s, %s)",
            (tenant.id, sealed.key_id, sealed.sealed),
        )
    (folder / "home/files" / str(tenant.id)).mkdir(parents=True)
    (folder / "home/files" / stored_as).write_bytes(LETTER)
    module_environment.setenv("HEADRACE_HOME", str(folder / "home"))
    module_environment.setenv("HEADRACE_DATABASE_URL", database_url)
    assert 0 == main(["backup", str(folder / "b.tar"), "--keys", str(folder / "b.keys")])
    return Made(folder / "b.tar", folder / "b.keys", database_url, tenant)


@pytest.fixture(scope="module")
def module_environment(redis_url: str) -> Iterator[pytest.MonkeyPatch]:
    """The settings of this module: none but these."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
            patch.delenv(name)
        patch.setenv("HEADRACE_REDIS_URL", redis_url)
        patch.setenv("HEADRACE_SECRET_KEYS", SECRET_KEY)
        yield patch


@pytest.fixture(scope="module")
def empty(stores: Stores) -> str:
    """A database with nothing in it, which no test changes."""
    return _create_database(stores.database_url, "restored", template="template0")


@pytest.fixture
def home(made: Made, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another installation's data folder, which doesn't exist yet; its database is the empty one."""
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_DATABASE_URL", empty)
    return tmp_path / "home"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command says that must fail."""
    assert 1 == main([str(argument) for argument in arguments])
    return capsys.readouterr().err


def tables(database_url: str) -> int:
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert row is not None
        return row[0]


def files(home: Path) -> list[bytes]:
    """What the storage of a data folder holds."""
    return [path.read_bytes() for path in (home / "files").glob("*-*/*")]


def test_a_backup_holds_files_but_no_key_and_is_its_owners_only(made: Made) -> None:
    content = made.file.read_bytes()
    assert (True, False, False) == (LETTER in content, SECRET_KEY.encode() in content, SEALED.encode() in content)
    assert [SECRET_KEY] == made.keys.read_text().split()
    assert [0o600, 0o600] == [path.stat().st_mode & 0o777 for path in (made.file, made.keys)]
    assert {made.file, made.keys, made.file.with_name("home")} == set(made.file.parent.iterdir())


def test_files_in_a_bucket_are_not_in_it_and_that_is_said(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_STORAGE", "s3://acme/documents")
    monkeypatch.setenv("HEADRACE_S3_ENDPOINT", "http://127.0.0.1:9")
    assert 0 == main(["backup", str(tmp_path / "b.tar")])
    assert "files     NOT in it: 1 file in s3://acme/documents" in capsys.readouterr().out
    assert LETTER not in (tmp_path / "b.tar").read_bytes()


def flipped(content: bytes, share: float) -> bytes:
    at = int(len(content) * share)
    return content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda content: b"", "is not whole"),
        (lambda content: b"PK\3\4" * 1000, "is not a backup"),
        (lambda content: content[: len(content) // 3], "is damaged or was cut off"),
        (lambda content: content[: content.index(b"manifest.json")], "is not whole"),
        (lambda content: flipped(content, 0.3), "is damaged"),
        (lambda content: content.replace(b"The gate lets", b"The gate gets"), "is damaged"),
        (lambda content: content.replace(b'"policies"', b'"policiez"'), "is damaged"),
        (lambda content: content.replace(b"files/", b"/files", 1), "is damaged"),
    ],
)
def test_a_damaged_file_changes_nothing(
    damage: Callable[[bytes], bytes],
    told: str,
    made: Made,
    home: Path,
    empty: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken.tar"
    broken.write_bytes(damage(made.file.read_bytes()))
    assert told in refused(capsys, "restore", broken)
    assert (0, False) == (tables(empty), home.exists())


def test_keys_that_do_not_open_the_secrets_are_refused(
    made: Made,
    home: Path,
    empty: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = new_secret_key()
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", other)
    said = refused(capsys, "restore", made.file)
    assert "The keys that open the secrets of this backup are not here, so nothing was changed" in said
    assert other not in said
    assert "--keys is for a data folder" in refused(capsys, "restore", made.file, "--keys", made.keys)
    monkeypatch.delenv("HEADRACE_SECRET_KEYS")
    (tmp_path / "odd.keys").write_text("not a key\n")
    assert "is no file of keys" in refused(capsys, "restore", made.file, "--keys", tmp_path / "odd.keys")
    assert (0, False) == (tables(empty), home.exists())


def without_secrets(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, database=msgspec.structs.replace(manifest.database, key_ids={}))


def test_keys_of_another_installation_are_told_also_when_there_is_no_secret(
    made: Made, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = rewritten(made, tmp_path / "plain.tar", without_secrets)
    assert (0, "") == (main(["restore", str(plain), "--check"]), capsys.readouterr().err)
    monkeypatch.setenv("HEADRACE_SECRET_KEYS", new_secret_key())
    assert 0 == main(["restore", str(plain), "--check"])
    assert "none of those that the backed up installation had" in capsys.readouterr().err
    older = rewritten(made, tmp_path / "older.tar", lambda m: msgspec.structs.replace(without_secrets(m), keys=()))
    assert (0, "") == (main(["restore", str(older), "--check"]), capsys.readouterr().err)


def test_a_running_stack_is_told_before_anything_else(
    home: Path, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home(home).locked():
        state = {"pid": os.getpid(), "url": "http://127.0.0.1:8000", "flower_url": "http://127.0.0.1:5555"}
        (home / "state.json").write_text(json.dumps(state))
        said = refused(capsys, "restore", tmp_path / "no such backup.tar", "--keys", tmp_path / "none.keys")
    assert said.startswith("headrace: headrace is running at http://127.0.0.1:8000")
    assert "Stop it first" in said
    assert 0 == tables(empty)


def rewritten(made: Made, target: Path, change: Callable[[Manifest], Manifest]) -> Path:
    """The backup with another manifest, which is as whole as the first."""
    backup = Backup.open(made.file)
    with target.open("wb") as out:
        writer = BackupWriter(out)
        stored = ((FILES + name, pieces) for name, pieces in backup.files())
        for name, pieces in itertools.chain([(DATABASE, backup.database())], stored):
            with writer.member(name) as write:
                for piece in pieces:
                    write(piece)
        writer.finish(change(backup.manifest))
    return target


def of_another_revision(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, database=msgspec.structs.replace(manifest.database, revision="9999"))


def with_a_row_more(manifest: Manifest) -> Manifest:
    counts = {**manifest.database.tables, "files": 2}
    return msgspec.structs.replace(manifest, database=msgspec.structs.replace(manifest.database, tables=counts))


def test_a_backup_of_a_newer_headrace_is_refused(
    made: Made, home: Path, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = rewritten(made, tmp_path / "newer.tar", of_another_revision)
    assert "is of a newer headrace (schema 9999)" in refused(capsys, "restore", newer)
    assert (0, False) == (tables(empty), home.exists())


def test_a_check_reads_all_of_a_file_and_changes_nothing(
    made: Made, home: Path, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["restore", "--check", str(made.file)])
    assert "is whole and can be restored here" in capsys.readouterr().out
    assert (0, False) == (tables(empty), home.exists())


def tenants(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as db:
        return [slug for (slug,) in db.execute("SELECT slug FROM tenants ORDER BY slug")]


def test_what_is_there_is_replaced_only_when_told_and_only_by_all_of_a_backup(
    made: Made,
    stores: Stores,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    occupied = _create_database(stores.database_url, "occupied", template="headrace_template")
    make_tenant(occupied)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", occupied)
    before = tenants(occupied)
    assert "The database is not empty" in refused(capsys, "restore", made.file)
    password = str(conninfo_to_dict(occupied)["password"])
    process = occupied.replace(f"headrace:{password}@", f"headrace_app:{derived_password(password, 'headrace_app')}@")
    with psycopg.connect(process):
        assert "Processes of headrace use this database" in refused(capsys, "restore", made.file, "--replace")
    short = rewritten(made, tmp_path / "short.tar", with_a_row_more)
    assert "the table files has 1 rows, and had 2" in refused(capsys, "restore", short, "--replace")
    assert (before, []) == (tenants(occupied), files(home))

    assert 0 == main(["restore", str(made.file), "--replace"])
    assert tenants(made.database_url) == tenants(occupied)
    assert [LETTER] == files(home)
    assert schema_of(made.database_url) == schema_of(occupied)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", process)
    assert "is subject to row-level security" in refused(capsys, "backup", tmp_path / "half.tar")
    assert not (tmp_path / "half.tar").exists()


def schema_of(database_url: str) -> list[str]:
    """The tables, functions, policies, owners and grants of a database, as pg_dump writes them, without casts: Postgres adds
    some where it reads a constraint again."""
    env = connection_environment(database_url, os.environ)
    line = [binaries() / "pg_dump", "--schema-only"]
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=True)
    lines = [text for text in done.stdout.splitlines() if "restrict" not in text]
    return [re.sub(r"::[a-z ]+(\[\])?|[()]", "", text) for text in lines]


def test_no_stored_file_is_removed_while_a_backup_reads_them(made: Made) -> None:
    with connect(made.database_url) as db, snapshot(db) as moment, psycopg.connect(made.database_url) as other:
        moment.end()
        assert (False,) == other.execute("SELECT pg_try_advisory_xact_lock(%s)", (DUE_LOCK,)).fetchone()


def test_a_backup_replaces_no_other_and_keys_are_no_part_of_it(
    made: Made, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = made.file.read_bytes()
    assert "exists already" in refused(capsys, "backup", made.file)
    same = made.file.with_name("c.tar")
    assert "can't be in the backup itself" in refused(capsys, "backup", same, "--keys", same)
    assert "There is no folder" in refused(capsys, "backup", same.parent / "none" / "c.tar")
    assert "There is nothing to back up" in refused(capsys, "backup", same)
    assert (content, False) == (made.file.read_bytes(), same.exists())
