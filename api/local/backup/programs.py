"""Postgres's own programs that copy a database: `pg_dump`, `pg_restore` and `psql`.

Those of the embedded Postgres come with headrace. They can't speak TLS, so for a server that is reached by it, and for a newer
one, programs that are installed on this machine are taken.
"""

# ruff: noqa: S603 (the commands are ours, never a user's text)

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psycopg
from psycopg.conninfo import conninfo_to_dict

from api.local.errors import LocalError
from api.local.stores.postgres import binaries
from schema.installation.contents import EXTENSIONS, Snapshot

DEBIAN = Path("/usr/lib/postgresql")
CHUNK_BYTES = 1 << 20
SHOWN_LINES = 3
PSQL = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--file=-")


@dataclass(frozen=True)
class Programs:
    """The programs of one major version of Postgres, and the environment in which they reach one database."""

    folder: Path
    major: int
    env: Mapping[str, str] = field(repr=False)

    def dump(self, snapshot: Snapshot) -> Iterator[bytes]:
        """The database at that moment in Postgres's custom format, piece by piece. Raises LocalError if it fails."""
        others = [f'--exclude-schema="{name}"' for name in snapshot.other_schemas]
        extensions = [f"--extension={name}" for name in EXTENSIONS]
        options = [f"--snapshot={snapshot.id}", "--format=custom", "--no-publications", "--no-subscriptions"]
        with TemporaryFile() as said:
            program = self._start("pg_dump", [*options, *extensions, *others], stdin=subprocess.DEVNULL, said=said)
            assert program.stdout is not None
            with _ended(program):
                while piece := program.stdout.read(CHUNK_BYTES):
                    yield piece
            if program.returncode:
                raise LocalError(f"The database could not be read:\n{_last_lines(said)}")

    def replay(self, dump: Iterator[bytes], *, before: str, after: str) -> None:
        """Run `before`, the dump and `after` as one script, whose transaction `after` commits. Raises LocalError with what
        Postgres said if anything fails; then the database is as it was."""
        whole = False
        with TemporaryFile() as said, TemporaryFile() as unreadable:
            psql = self._start("psql", PSQL, stdin=subprocess.PIPE, said=said, stdout=subprocess.DEVNULL)
            assert psql.stdin is not None
            with _ended(psql), suppress(BrokenPipeError), psql.stdin as script:  # broken: then psql has said why
                script.write(before.encode())
                script.flush()
                self._write_script(dump, script, unreadable)
                script.write(after.encode())
                whole = True
            if psql.returncode or not whole:
                raise LocalError(f"The database was not restored, and is as it was:\n{_last_lines(said)}")

    def _write_script(self, dump: Iterator[bytes], to: IO[bytes], said: IO[bytes]) -> None:
        """Write the SQL that the dump consists of. Raises LocalError if it can't be read to its end."""
        options = ["--no-owner", "--no-comments", "--no-tablespaces", "--file=-"]
        program = self._start("pg_restore", options, stdin=subprocess.PIPE, said=said, stdout=to)
        assert program.stdin is not None
        with _ended(program), suppress(BrokenPipeError), program.stdin:
            for piece in dump:
                program.stdin.write(piece)
        if program.returncode > 0:
            raise LocalError(
                f"The dump in the backup can't be read, and the database is as it was:\n{_last_lines(said)}"
            )
        if program.returncode:  # a signal, as nobody read on
            raise BrokenPipeError

    def _start(
        self,
        name: str,
        options: Sequence[str],
        *,
        stdin: int,
        said: IO[bytes],
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> "subprocess.Popen[bytes]":
        command = [str(self.folder / name), *options]
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=said, env=dict(self.env))


class _ended:
    """Waits for a program at the end, and ends it if we leave by an error."""

    def __init__(self, program: "subprocess.Popen[bytes]") -> None:
        self._program = program

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and kind is not BrokenPipeError:
            self._program.kill()
        if self._program.stdout is not None:
            self._program.stdout.close()
        self._program.wait()


def find_programs(
    db: psycopg.Connection[object], database_url: str, environ: Mapping[str, str], *, at_least: int = 0
) -> Programs:
    """Return the programs for a database that `db` is connected to, of its major version (or `at_least`) or a newer one.
    Raises LocalError that says what to install."""
    wanted, tls = max(db.info.server_version // 10_000, at_least), bool(db.pgconn.ssl_in_use)
    for folder in _folders(environ, tls=tls):
        if (major := _major(folder / "pg_dump")) >= wanted and all(
            (folder / name).exists() for name in ("psql", "pg_restore")
        ):
            return Programs(folder, major, connection_environment(database_url, environ))
    why = ", which can speak TLS (those that come with headrace can't)" if tls else ""
    raise LocalError(
        f"This needs pg_dump, pg_restore and psql of Postgres {wanted} or newer{why}. Install them, such as with "
        f"apt install postgresql-client-{wanted} from apt.postgresql.org."
    )


def connection_environment(database_url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Postgres's programs: a password on their command line could be read by every user."""
    names = {each.keyword.decode(): each.envvar.decode() for each in psycopg.pq.Conninfo.get_defaults() if each.envvar}
    parts = {name: str(value) for name, value in conninfo_to_dict(database_url).items() if value is not None}
    kept = {name: value for name, value in environ.items() if not name.startswith("HEADRACE_")}
    return {
        **kept,
        **{names[name]: value for name, value in parts.items() if name in names},
        "PGCLIENTENCODING": "UTF8",
    }


def _folders(environ: Mapping[str, str], *, tls: bool) -> Iterator[Path]:
    if not tls:
        with suppress(LocalError):
            yield binaries()
    if found := shutil.which("pg_dump", path=environ.get("PATH")):
        yield Path(found).parent
    yield from sorted(DEBIAN.glob("*/bin"), reverse=True)


def _major(program: Path) -> int:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0


def _last_lines(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read()[-10_000:].decode(errors="replace").splitlines()
    wrong = [line for line in lines if "error:" in line.lower()] or lines
    return "\n".join(f"    {line[:300]}" for line in wrong[-SHOWN_LINES:])
