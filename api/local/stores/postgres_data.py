"""The data folder of the embedded Postgres: made whole or not at all, and checked before the server starts on it."""

# ruff: noqa: S603 (the commands are ours, never a user's text)

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from api.local.errors import LocalError
from api.local.home import Home, set_aside, write_private
from api.local.launch import NOBODY
from api.local.processes import Mode, is_alive, launch_command

DATABASE = USER = "headrace"
CONTROL_FILE_BYTES = 8192
VERSION_CHECK_S = 30.0


@dataclass(frozen=True)
class PostgresData:
    """The folder `data` and the programs that may work on it. For the holder of the home's lock."""

    home: Home
    data: Path
    binaries: Path
    mode: Mode
    durable: bool
    password: str = field(repr=False)
    password_is_new: bool = False

    def prepare(self) -> None:
        """Make the folder, or check the one that is there. Raises LocalError that says what to do."""
        if self._is_half_made():
            kept = set_aside(self.data)
            print(f"headrace: {self.data} was only half made; it is kept as {kept}.", file=sys.stderr, flush=True)
        if not self.data.exists():
            self._create()
        else:
            self._check_version()
            remove_stale_pid(self.data)
            if self.password_is_new:  # somebody removed the file
                self._run_sql(self.data, f"ALTER ROLE {USER} PASSWORD '{self.password}'")

    def _is_half_made(self) -> bool:
        """Whether initdb never came to its end here: without a control file there is no database in it."""
        control = self.data / "global" / "pg_control"
        return self.data.exists() and (not control.is_file() or control.stat().st_size < CONTROL_FILE_BYTES)

    def _check_version(self) -> None:
        file = self.data / "PG_VERSION"
        written_by = file.read_text().strip() if file.exists() else ""
        if not written_by:
            raise LocalError(
                f"The database in {self.data} is damaged: PG_VERSION is missing. Restore a backup of the folder, or move it "
                "away to start with an empty database."
            )
        if written_by != (ours := major_version(self.binaries)):
            raise LocalError(
                f"The database in {self.data} was written by Postgres {written_by}, and this headrace comes with "
                f"Postgres {ours}, which can't read it. Dump it with the headrace that wrote it, move the folder away, start "
                'this one and restore the dump: see "Upgrading the embedded Postgres" in docs/operations.md.'
            )

    def _create(self) -> None:
        """Make the folder beside its place and rename it when whole, so that a cut-off run leaves no half."""
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._initdb(draft)
        # A single-user server, so that no moment exists in which the folder is there and the database isn't.
        self._run_sql(draft, f"CREATE DATABASE {DATABASE}")
        found = self._run_sql(draft, f"SELECT datname FROM pg_database WHERE datname = '{DATABASE}'")
        if f'"{DATABASE}"' not in found:
            raise LocalError(f"Postgres could not create its database in {self.data}:\n    {found.strip()}")
        draft.rename(self.data)

    def _initdb(self, draft: Path) -> None:
        password = self.home.path / ".initdb.password"
        write_private(password, self.password)
        if self.mode == "nobody":
            os.chown(draft, NOBODY, NOBODY)
            os.chown(password, NOBODY, NOBODY)
        # Signing in takes longer than most tests' queries, and a throw-away password needs no protection against guessing.
        sync = [] if self.durable else ["--no-sync", "-c", "scram_iterations=1"]
        try:
            self._run(
                [
                    *(str(self.binaries / "initdb"), "-D", str(draft), "-U", USER, f"--pwfile={password}"),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                    *sync,
                ]
            )
        finally:
            password.unlink(missing_ok=True)

    def _run_sql(self, data: Path, statement: str) -> str:
        """Run one statement on a server of its own and return what it printed. Raises LocalError if it failed, of which the
        server's exit status says nothing."""
        options = [] if self.durable else ["-c", "fsync=off"]
        command = [str(self.binaries / "postgres"), "--single", *options, "-D", str(data), "postgres"]
        done = self._run(command, text=f"{statement}\n")
        if re.search(r"\b(ERROR|FATAL|PANIC):", done.stderr):
            raise self._failure(done)
        return done.stdout

    def _run(self, command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            launch_command(command, death_signal=signal.SIGTERM, mode=self.mode),
            input=text,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if done.returncode:
            raise self._failure(done)
        return done

    def _failure(self, done: subprocess.CompletedProcess[str]) -> LocalError:
        # Not the statement, which may hold the password.
        lines = [line for line in (done.stderr or done.stdout).splitlines() if "STATEMENT:" not in line]
        last = "\n    ".join(lines[-5:])
        return LocalError(f"Postgres could not create its data folder {self.data}:\n    {last}")


def major_version(binaries: Path) -> str:
    """The major version of the server, as PG_VERSION names it."""
    command = [str(binaries / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_CHECK_S, check=False)
    found = re.search(r"\) (\d+)", done.stdout)
    if not found:
        raise LocalError(f"{command[0]} can't be run: {(done.stderr or done.stdout).strip()}")
    return found[1]


def remove_stale_pid(data: Path) -> None:
    """Remove a pid file whose number belongs to some other program now; Postgres itself would refuse to start.

    Only for the holder of the folder's lock. If the process is gone, the file stays: it names the shared memory by
    which Postgres makes sure that no old backend is left. One without a number is what a full disk leaves.
    """
    lines = pid_file_lines(data)
    if not lines or not lines[0].isdigit():
        (data / "postmaster.pid").unlink(missing_ok=True)
        return
    if not is_alive(pid := int(lines[0])):
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
