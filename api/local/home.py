"""The data folder `.headrace/`: its lock, its secrets, and the ports that stay the same across restarts."""

import contextlib
import fcntl
import itertools
import json
import os
import random
import re
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from api.local.errors import HomeInUse, LocalError
from workers.storage.private_files import close_to_others, make_private_folder, private_opener

PORTS = range(20_000, 32_000)
"""Below what Linux gives to outgoing connections (32768…), so that none of those takes a stopped store's port."""

LOG_LIMIT_BYTES = 10_000_000


FILE_NAMES = re.compile(
    r"lock|install\.lock|logs|files|(postgres|valkey)(\.new|\.unusable\.\d+)?|valkey\.conf|ports\.json|state\.json|handbook\.ingested"
    r"|constraints\.draft|\.?[a-z]+\.(password|keys?)|\..+\.\d+"
)
"""What headrace itself puts into the folder."""


class Home:
    """One data folder, held by one process at a time.

    Not inside: what the stores keep (`postgres/`, `valkey/`), which their own files look after.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None

    @contextlib.contextmanager
    def locked(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the folder's lock. Raises HomeInUse, naming the holder, if it is not free within `wait_s`.

        The stores inherit the lock's file, so it is free only when the last of them is gone too: after a kill -9 of
        the holder nobody starts a second Postgres or Valkey on the same files.
        """
        self._make()
        lock = open(self.path / "lock", "a+", opener=private_opener)  # noqa: SIM115 (closed below)
        try:
            self._acquire(lock, wait_s)
            self._close_to_others()
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self._lock = lock
            yield
        finally:
            self._lock = None
            lock.close()

    @property
    def lock_fd(self) -> int:
        if self._lock is None:
            raise RuntimeError("the data folder is not locked")
        return self._lock.fileno()

    def is_locked(self) -> bool:
        """Whether some process works on this folder now."""
        try:
            with open(self.path / "lock", "a+", opener=private_opener) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def secret(self, name: str) -> str:
        """A password made at first use and kept in a file that only its owner reads."""
        return read_or_create(self.path / name, lambda: secrets.token_hex(20))

    def has_secret(self, name: str) -> bool:
        return bool(read_text(self.path / name))

    def port(self, name: str) -> int:
        """The port of a store: the one it had, or another if somebody else took it meanwhile."""
        file = self.path / "ports.json"
        ports: dict[str, int] = read_json(file)
        taken = {port for other, port in ports.items() if other != name}
        if not is_free(ports.get(name, 0)):
            ports[name] = free_port(avoid=taken)
            write_private(file, json.dumps(ports))
        return ports[name]

    def log(self, name: str) -> Path:
        """The file for a process's output."""
        folder = self.path / "logs"
        make_private_folder(folder)
        return folder / f"{name}.log"

    def rotated_log(self, name: str) -> Path:
        """The same for a process that starts now: an overlong file is put aside."""
        file = self.log(name)
        if file.exists() and file.stat().st_size > LOG_LIMIT_BYTES:
            file.replace(file.with_suffix(".log.old"))
        return file

    def _make(self) -> None:
        try:
            make_private_folder(self.path)
        except OSError as error:
            raise LocalError(
                f"The data folder {self.path} can't be created ({error.strerror}). "
                "Set HEADRACE_HOME to a writable folder."
            ) from error

    def _close_to_others(self) -> None:
        """Take from other users of the machine what older versions let them read. The folder itself is closed unless it
        holds something else too: somebody may have named `/tmp`, or their own folder."""
        foreign = False
        for entry in self.path.iterdir():
            if FILE_NAMES.fullmatch(entry.name):
                close_to_others(entry)
            else:
                foreign = True
        if not foreign:
            close_to_others(self.path)

    def _acquire(self, lock: IO[str], wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise HomeInUse(_in_use_message(self.path, lock)) from None
            time.sleep(0.05)


def _in_use_message(path: Path, lock: IO[str]) -> str:
    lock.seek(0)
    holder = lock.read().strip()
    return (
        f"The data folder {path} is in use by process {holder or 'unknown'}. "
        "Stop that process, or set HEADRACE_HOME to another folder."
    )


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on that port now, at the loopback address or another one of this machine."""
    return bool(port) and listening_error(port, host) is None


def listening_error(port: int, host: str) -> OSError | None:
    """Return why no server could listen there now, None if one could."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as probe:
            # As servers do; without it, connections that ended a moment ago would make the port look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def free_port(*, avoid: set[int] | None = None) -> int:
    """A free loopback port that outgoing connections don't use."""
    for port in random.SystemRandom().sample(PORTS, 200):
        if port not in (avoid or set()) and is_free(port):
            return port
    raise LocalError(f"No free port found between {PORTS.start} and {PORTS.stop} on 127.0.0.1.")


def write_private(file: Path, text: str, *, like: os.stat_result | None = None) -> None:
    """Write a file that only its owner can read, whole or not at all, even if the power fails.

    `like` gives it the owner and the mode of the file that it replaces, less what all users of the machine may do.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(draft, "w", opener=private_opener) as out:
            if like is not None:
                os.fchown(out.fileno(), like.st_uid, like.st_gid)
                os.fchmod(out.fileno(), stat.S_IMODE(like.st_mode) & ~stat.S_IRWXO)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(file.parent)


def read_or_create(file: Path, make: Callable[[], str]) -> str:
    """The text of a private file, which is made if it is missing or empty, as a full disk may have left it."""
    if not read_text(file):
        write_private(file, make())
    return read_text(file)


def read_text(file: Path) -> str:
    """A file's text without the space around it; empty when the file is missing."""
    return file.read_text().strip() if file.exists() else ""


def set_aside(folder: Path) -> Path:
    """Rename a folder that can't be used to the first free name beside it, and return that."""
    names = (folder.with_name(f"{folder.name}.unusable.{number}") for number in itertools.count(1))
    kept = next(name for name in names if not name.exists())
    folder.rename(kept)
    return kept


def _sync_folder(folder: Path) -> None:
    """Bring new names in a folder to the disk: a lost file of keys would take all that they sealed with it."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def read_json(file: Path) -> dict:
    """A JSON object from a file; empty when the file is missing or was cut short."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
