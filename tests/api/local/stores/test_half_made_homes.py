"""A data folder that a start left half made, or that was damaged since, is mended; what can't be mended is named."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from api.local.errors import LocalError
from api.local.keys import demo_key, ensure_admin_key, secret_keys_file
from api.local.stores import postgres_data
from api.local.stores.local_stores import Stores, open_stores
from schema.vault import read_keys_file
from tests.conftest import _create_database


@contextmanager
def postgres_only(home: Path) -> Iterator[Stores]:
    with open_stores(home, durable=False, redis_url="redis://elsewhere") as running:
        yield running


@contextmanager
def valkey_only(home: Path) -> Iterator[Stores]:
    with open_stores(home, database_url="postgresql://elsewhere/db") as running:
        yield running


def test_a_server_without_our_database_gets_it(tmp_path: Path) -> None:
    with postgres_only(tmp_path) as running:
        other = f"{running.database_url.rpartition('/')[0]}/postgres"
        with psycopg.connect(other, autocommit=True) as db:
            db.execute("DROP DATABASE headrace")
    with postgres_only(tmp_path) as running, psycopg.connect(running.database_url) as db:
        assert ("headrace",) == db.execute("SELECT current_database()").fetchone()


@pytest.mark.parametrize("left", [["PG_VERSION"], ["base/1/112", "postgresql.conf"], []])
def test_a_folder_without_a_database_is_kept_aside_and_made_anew(
    left: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "postgres"
    data.mkdir(mode=0o700)
    for name in left:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("18\n")
    with postgres_only(tmp_path) as running, psycopg.connect(running.database_url) as db:
        assert db.execute("SELECT 1").fetchone()
    kept = tmp_path / "postgres.unusable.1"
    assert f"{data} was only half made; it is kept as {kept}." in capsys.readouterr().err
    assert {name.split("/")[0] for name in left} == {path.name for path in kept.iterdir()}


def test_a_lost_password_file_locks_nobody_out(tmp_path: Path) -> None:
    with postgres_only(tmp_path) as running, psycopg.connect(running.database_url, autocommit=True) as db:
        db.execute("CREATE TABLE kept (n int)")
    for lose in (Path.unlink, lambda file: file.write_text("")):
        lose(tmp_path / "postgres.password")
        with postgres_only(tmp_path) as running, psycopg.connect(running.database_url) as db:
            assert (0,) == db.execute("SELECT count(*) FROM kept").fetchone()


def test_data_of_another_major_version_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_only(tmp_path):
        pass
    monkeypatch.setattr(postgres_data, "major_version", lambda binaries: "19")
    expected = "was written by Postgres 18, and this headrace comes with Postgres 19, which can't read it. Dump it"
    with pytest.raises(LocalError, match=expected), postgres_only(tmp_path):
        pass


def test_data_without_its_version_is_not_replaced_by_an_empty_database(tmp_path: Path) -> None:
    with postgres_only(tmp_path):
        pass
    (tmp_path / "postgres" / "PG_VERSION").unlink()
    with pytest.raises(LocalError, match=r"PG_VERSION is missing\. Restore a backup"), postgres_only(tmp_path):
        pass
    assert (tmp_path / "postgres" / "global" / "pg_control").exists()


@pytest.mark.parametrize("damage", ["empty manifest", "cut base", "lost increment", "zeros in it"])
def test_valkeys_damaged_files_are_kept_aside_and_it_starts(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with valkey_only(tmp_path) as running, redis.Redis.from_url(running.redis_url) as client:
        client.set("kept", "no")
    folder = tmp_path / "valkey" / "appendonlydir"
    base, increment = (next(folder.glob(f"*.{kind}.*")) for kind in ("base", "incr"))
    match damage:
        case "empty manifest":
            next(folder.glob("*.manifest")).write_text("")
        case "cut base":
            base.write_bytes(base.read_bytes()[:40])
        case "lost increment":
            increment.unlink()
        case _:
            increment.write_bytes(bytes(300) + increment.read_bytes())
    with valkey_only(tmp_path) as running, redis.Redis.from_url(running.redis_url) as client:
        assert client.ping()
    assert "Valkey's files were damaged; it starts without them" in capsys.readouterr().err
    assert (tmp_path / "valkey.unusable.1").is_dir()


def test_empty_key_files_are_filled(tmp_path: Path) -> None:
    for name in ("demo.key", "secret.keys"):
        (tmp_path / name).write_text("")
    assert demo_key(tmp_path).startswith("hr_")
    assert 1 == len(read_keys_file(secret_keys_file(tmp_path)))


def test_an_admins_key_that_could_not_be_written_is_not_lost(
    stores: Stores, migrated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the key is in the database already."""
    url = _create_database(stores.database_url, "admin_key_lost", template=migrated.rpartition("/")[2])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", raise_full)
        with pytest.raises(OSError, match="full"):
            ensure_admin_key(tmp_path, url)
    ensure_admin_key(tmp_path, url)
    key = (tmp_path / "admin.key").read_text()
    assert key.startswith("hr_")
    assert not (tmp_path / "new.admin.key").exists()


def raise_full(*_: object) -> None:
    raise OSError("full")
