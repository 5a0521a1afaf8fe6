"""The embedded stores, as real processes."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from api.local.errors import HomeInUse, LocalError
from api.local.home import Home, free_port, is_free
from api.local.processes import is_alive
from api.local.stores.local_stores import Stores, open_stores
from api.local.stores.postgres_data import remove_stale_pid
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with open_stores(tmp_path_factory.mktemp("running")) as both:
        yield both


def test_postgres_has_pgvector_and_the_promised_settings(running: Stores) -> None:
    with psycopg.connect(running.database_url, autocommit=True) as db:
        db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        assert ("[1,2]",) == db.execute("SELECT '[1,2]'::vector::text").fetchone()
        names = ["max_connections", "shared_buffers", "synchronous_commit", "fsync", "server_encoding"]
        values = [db.execute(f"SHOW {name}").fetchone() for name in names]
    assert [("200",), ("128MB",), ("on",), ("on",), ("UTF8",)] == values


def test_both_stores_want_their_password(running: Stores) -> None:
    assert running.postgres
    assert running.valkey
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://headrace:wrong@127.0.0.1:{running.postgres.port}/headrace", connect_timeout=5)
    with redis.Redis(port=running.valkey.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_passwords_are_neither_in_the_process_list_nor_readable_by_others(running: Stores) -> None:
    assert running.postgres
    assert running.valkey
    home = running.postgres.home.path
    secrets = [(home / name).read_text() for name in ("postgres.password", "valkey.password")]
    for store in (running.postgres, running.valkey):
        words = Path(f"/proc/{store.pid}/cmdline").read_bytes() + Path(f"/proc/{store.pid}/environ").read_bytes()
        assert not [secret for secret in secrets if secret.encode() in words]
    for name in ("postgres.password", "valkey.password", "valkey.conf"):
        assert 0o600 == stat.S_IMODE((home / name).stat().st_mode)


def test_committed_rows_survive_kill_9_of_postgres(running: Stores) -> None:
    assert running.postgres
    with psycopg.connect(running.database_url, autocommit=True) as db:
        db.execute("CREATE TABLE kept (n int)")
        db.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    before = running.postgres.pid

    running.postgres.restart(clean=False)

    assert before != running.postgres.pid
    with psycopg.connect(running.database_url) as db:
        assert (1000,) == db.execute("SELECT count(*) FROM kept").fetchone()


def test_keys_survive_kill_9_of_valkey(running: Stores) -> None:
    assert running.valkey
    with redis.Redis.from_url(running.redis_url) as client:
        client.set("kept", "yes")

    running.valkey.restart(clean=False)

    with redis.Redis.from_url(running.redis_url) as client:
        assert b"yes" == client.get("kept")


def test_a_killed_store_is_gone_until_it_is_started(running: Stores) -> None:
    assert running.valkey
    running.valkey.kill()
    assert running.valkey.pid is None
    assert is_free(running.valkey.port)
    running.valkey.start()
    assert running.valkey.pid is not None


def test_a_second_start_says_at_once_that_the_folder_is_in_use_and_by_whom(running: Stores) -> None:
    assert running.postgres
    with pytest.raises(HomeInUse, match=f"in use by process {os.getpid()}"), open_stores(running.postgres.home.path):
        pass


def test_data_and_ports_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    with open_stores(tmp_path, durable=False) as first, psycopg.connect(first.database_url, autocommit=True) as db:
        db.execute("CREATE TABLE kept (n int)")
    with open_stores(tmp_path, durable=False) as second, psycopg.connect(second.database_url) as db:
        assert (0,) == db.execute("SELECT count(*) FROM kept").fetchone()
    assert first.database_url == second.database_url
    assert first.redis_url == second.redis_url


def test_a_database_folder_that_was_cut_off_in_the_making_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18")
    with (
        open_stores(tmp_path, durable=False, redis_url="redis://elsewhere") as both,
        psycopg.connect(both.database_url) as db,
    ):
        assert ("headrace",) == db.execute("SELECT current_database()").fetchone()
    assert not (tmp_path / "postgres.new").exists()


def test_a_given_url_replaces_that_store_only(tmp_path: Path) -> None:
    with open_stores(tmp_path, database_url="postgresql://elsewhere/db") as both:
        assert both.postgres is None
        assert "postgresql://elsewhere/db" == both.database_url
        with redis.Redis.from_url(both.redis_url) as client:
            assert client.ping()
    assert not (tmp_path / "postgres").exists()


def test_a_pid_file_that_names_a_foreign_process_does_not_stop_the_start(tmp_path: Path) -> None:
    with open_stores(tmp_path, durable=False, redis_url="redis://elsewhere") as both:
        assert both.postgres
        both.postgres.kill()
        file = tmp_path / "postgres" / "postmaster.pid"
        first, *rest = file.read_text().splitlines(keepends=True)
        file.write_text("".join([first.replace(first.strip(), str(os.getppid())), *rest]))
        both.postgres.start()
        with psycopg.connect(both.database_url) as db:
            assert db.execute("SELECT 1").fetchone()


def test_a_pid_file_of_a_server_that_works_on_the_folder_is_left_alone(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=tmp_path)
    with server:
        (tmp_path / "postmaster.pid").write_text(f"{server.pid}\n{tmp_path}\n")
        with pytest.raises(LocalError, match=f"process {server.pid}"):
            remove_stale_pid(tmp_path)
        server.kill()
    assert (tmp_path / "postmaster.pid").exists()


def test_a_port_that_somebody_took_is_replaced_and_the_new_one_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.locked():
        first = home.port("valkey")
        assert first == home.port("valkey")
        import socket

        with socket.create_server(("127.0.0.1", first)):
            second = home.port("valkey")
        assert first != second
        assert second == home.port("valkey")


def test_kill_9_of_the_launcher_takes_the_stores_along_and_frees_the_folder(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, signal\n"
        "from api.local.stores.local_stores import open_stores\n"
        "with open_stores(pathlib.Path(sys.argv[1]), durable=False) as s:\n"
        "    print(s.postgres.pid, s.valkey.pid, flush=True)\n"
        "    signal.pause()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as launcher:
        assert launcher.stdout
        pids = [int(word) for word in launcher.stdout.readline().split()]
        assert 2 == len(pids)
        launcher.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), "both stores are gone")
    with open_stores(tmp_path, durable=False, wait_s=10) as both, psycopg.connect(both.database_url) as db:
        assert db.execute("SELECT 1").fetchone()


def test_a_store_that_cannot_start_says_why_with_the_end_of_its_log(tmp_path: Path) -> None:
    with open_stores(tmp_path, durable=False, redis_url="redis://elsewhere"):
        pass
    (tmp_path / "postgres" / "postgresql.conf").write_text("no such setting = 1\n")
    expected = re.compile(r"embedded postgres exited while starting.*postgresql\.conf", re.DOTALL)
    with pytest.raises(LocalError, match=expected), open_stores(tmp_path, durable=False):
        pass
    assert not Home(tmp_path).is_locked()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="HEADRACE_HOME"), open_stores(tmp_path / "file" / "home"):
        pass


def test_free_ports_are_not_those_of_outgoing_connections() -> None:
    assert 20_000 <= free_port() < 32_000
