"""A Postgres and its standby, for tests and chaos: two servers of which one follows the other, by streaming replication.

    with postgres_pair(stores.postgres, folder) as pair:
        pair.fail_over(); pair.repair()

`pair.url` names both and asks for the one that takes writes, as an installation's setting would.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from api.local.home import Home, write_private
from api.local.launch import NOBODY
from api.local.stores.postgres import EmbeddedPostgres
from api.local.stores.postgres_data import DATABASE, USER
from tests.waiting import wait_until

PASSWORD = "postgres.password"


class PostgresPair:
    """`primary` is the server that takes writes now, `standby` follows it. With `synchronous`, each commit waits for it."""

    def __init__(self, primary: EmbeddedPostgres, standby: EmbeddedPostgres, *, synchronous: bool) -> None:
        self.primary, self.standby, self.synchronous = primary, standby, synchronous
        self._servers = (primary, standby)

    @property
    def url(self) -> str:
        """The URL of both."""
        places = ",".join(f"127.0.0.1:{server.port}" for server in self._servers)
        password = self.primary.home.secret(PASSWORD)
        return f"postgresql://{USER}:{password}@{places}/{DATABASE}?target_session_attrs=read-write"

    @property
    def pid(self) -> int | None:
        """The primary's process id while it runs."""
        return self.primary.pid

    def kill(self) -> None:
        """Kill the primary."""
        self.primary.kill()

    def start(self) -> None:
        """Start the primary again, which the standby then follows as before."""
        self.primary.start()

    def restart(self, *, clean: bool = True) -> None:
        """Stop or kill the primary and start it again."""
        self.primary.restart(clean=clean)

    def fail_over(self) -> float:
        """Kill the primary, make its standby the primary, and return how long that one took to take writes. Nobody follows
        it yet, so no commit waits for anybody."""
        self.primary.kill()
        self.primary, self.standby = self.standby, self.primary
        began = time.monotonic()
        self.promote()
        return time.monotonic() - began

    def promote(self) -> None:
        """Make the server that is now `primary` take writes; it is a standby so far."""
        with psycopg.connect(self.primary.url, autocommit=True) as db:
            db.execute("SELECT pg_promote(true, 60)")

    def repair(self) -> None:
        """Let the other server follow the primary, with a copy of its data."""
        self.standby.kill()
        _copy(self.primary, self.standby)
        self.standby.launch()
        wait_until(self._follows, "the standby follows the primary")
        if self.synchronous:
            self.set("synchronous_standby_names = '*'")

    def set(self, change: str) -> None:
        """Change a setting of the primary."""
        with psycopg.connect(self.primary.url, autocommit=True) as db:
            db.execute(f"ALTER SYSTEM SET {change}")  # type: ignore[arg-type]
            db.execute("SELECT pg_reload_conf()")

    def lone(self) -> None:
        """Let no commit wait for a standby any longer."""
        with psycopg.connect(self.primary.url, autocommit=True) as db:
            db.execute("ALTER SYSTEM RESET synchronous_standby_names")
            db.execute("SELECT pg_reload_conf()")

    def _follows(self) -> bool:
        with psycopg.connect(self.primary.url, autocommit=True) as db:
            found = db.execute("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'").fetchone()
        return found is not None


@contextlib.contextmanager
def postgres_pair(primary: EmbeddedPostgres, folder: Path, *, synchronous: bool = True) -> Iterator[PostgresPair]:
    """Let a second server, in a folder of its own, follow a running one. Use it in the main thread."""
    home = Home(folder)
    with home.locked():
        if not home.has_secret(PASSWORD):
            write_private(home.path / PASSWORD, primary.home.secret(PASSWORD))
        standby = EmbeddedPostgres(home, durable=primary.durable)
        pair = PostgresPair(primary, standby, synchronous=synchronous)
        try:
            pair.repair()
            yield pair
        finally:
            standby.stop()


def _copy(source: EmbeddedPostgres, target: EmbeddedPostgres) -> None:
    """Fill the data folder of `target`, a standby from its first start on."""
    shutil.rmtree(target.data, ignore_errors=True)
    target.data.mkdir(mode=0o700)
    command = [
        *(str(source._binaries / "pg_basebackup"), "-D", str(target.data), "-X", "stream", "-R", "-c", "fast"),
        *("--no-sync", "-d", f"host=127.0.0.1 port={source.port} user={USER} application_name=standby"),
    ]
    env = {**os.environ, "PGPASSWORD": source.home.secret(PASSWORD)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # What its own source waits for is not for it to wait for: nobody follows it.
    with (target.data / "postgresql.auto.conf").open("a") as settings:
        settings.write("synchronous_standby_names = ''\n")
    if target.mode == "nobody":
        for path in (target.data, *target.data.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
