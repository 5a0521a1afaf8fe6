"""What may stand between a process and Postgres: PgBouncer, if it is installed, and a relay that drops options as it does."""

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from schema.postgres.logins import ROLES, URL_SETTINGS, derived_password
from tests.system import free_port
from tests.waiting import wait_until

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
NOBODY = 65534


class OptionsDropper:
    """Relays connections to the server at `url` without their start-up parameter `options`, as PgBouncer does with
    `ignore_startup_parameters = options`. `users` are those who connected. Use as `async with`."""

    def __init__(self, url: str) -> None:
        self._server_url = url
        self.users: set[str] = set()

    async def __aenter__(self) -> "OptionsDropper":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        there = str(conninfo_to_dict(self._server_url)["port"])
        self.url = self._server_url.replace(f":{there}/", f":{port}/")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            there = conninfo_to_dict(self._server_url)
            far_reader, far_writer = await asyncio.open_connection(str(there["host"]), int(str(there["port"])))
            far_writer.write(await self._start_up(reader, writer))
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    async def _start_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            if body[:4] == struct.pack("!i", 196608):  # protocol 3.0
                break
            writer.write(b"N")  # neither TLS nor GSS
        names = body[4:].rstrip(b"\0").split(b"\0")
        parameters = dict(zip(names[::2], names[1::2], strict=True))
        parameters.pop(b"options", None)
        self.users.add(parameters[b"user"].decode())
        kept = body[:4] + b"".join(name + b"\0" + value + b"\0" for name, value in parameters.items()) + b"\0"
        return struct.pack("!i", len(kept) + 4) + kept


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def pgbouncer(
    url: str, folder: Path, *, forced_user: str | None = None, mode: str = "session", prepared: int = 0
) -> Iterator["PgBouncer"]:
    """Run PgBouncer before the server at `url` as most of its guides advise, and yield it. `forced_user` is who connects
    to the server, whoever asks; `prepared` is how many prepared statements it tracks, if it can."""
    assert PGBOUNCER is not None
    there, port = conninfo_to_dict(url), free_port()
    owner, password = str(there["user"]), str(there["password"])
    passwords = {owner: password, **{role: derived_password(password, role) for role in ROLES}}
    users = folder / "userlist.txt"
    users.write_text("".join(f'"{user}" "{secret}"\n' for user, secret in passwords.items()))
    forced = f" user={forced_user} password={password}" if forced_user else ""
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={there['host']} port={there['port']}{forced}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\nauth_file = {users}\n"
        f"unix_socket_dir =\npool_mode = {mode}\nignore_startup_parameters = options\nmax_client_conn = 1000\n"
        "default_pool_size = 30\nserver_login_retry = 1\nlog_connections = 0\nlog_disconnections = 0\n"
        + (f"max_prepared_statements = {prepared}\n" if TRACKS_STATEMENTS else "")
    )
    as_user: dict[str, int] = {}
    if os.geteuid() == 0:  # which PgBouncer refuses to run as
        as_user = {"user": NOBODY, "group": NOBODY}
        for path in (folder, *folder.parents):
            if path.stat().st_uid == 0 and not path.stat().st_mode & 0o001:
                path.chmod(path.stat().st_mode | 0o011)
        users.chmod(0o644)
        settings.chmod(0o644)
    pooler = PgBouncer(
        settings, folder / "pgbouncer.log", port, as_user, url.replace(f":{there['port']}/", f":{port}/")
    )
    try:
        pooler.start()
        yield pooler
    finally:
        pooler.kill()


class PgBouncer:
    """A running PgBouncer. `url` is that of the server behind it, at its own port."""

    def __init__(self, settings: Path, log: Path, port: int, as_user: dict[str, int], url: str) -> None:
        self._settings, self._log, self._as_user = settings, log, as_user
        self.port, self.url = port, url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        assert PGBOUNCER is not None
        with self._log.open("ab") as log:
            command = [PGBOUNCER, str(self._settings)]
            self._process = process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user)  # type: ignore[call-overload]
        wait_until(lambda: _listens(self.port) or process.poll() is not None, "PgBouncer listens")
        assert process.poll() is None, self._log.read_text()

    def kill(self) -> None:
        """End it at once, and with it all connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def role_urls(self, owner_url: str) -> dict[str, str]:
        """The settings of processes that reach the database of `owner_url` through it."""
        there = conninfo_to_dict(owner_url)
        return {
            URL_SETTINGS[role]: f"postgresql://{role}:{derived_password(str(there['password']), role)}"
            f"@127.0.0.1:{self.port}/{there['dbname']}"
            for role in ROLES
        }


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _version() -> tuple[int, ...]:
    if PGBOUNCER is None:
        return (0,)
    said = subprocess.run([PGBOUNCER, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(part) for part in said.split()[1].split(".")) if said.startswith("PgBouncer") else (0,)


TRACKS_STATEMENTS = _version() >= (1, 21)
NOT_INSTALLED = "PgBouncer is not installed (apt-get install pgbouncer)"
TOO_OLD = "PgBouncer 1.21 or newer is not installed; older ones don't track prepared statements"
