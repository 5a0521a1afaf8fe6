"""Where the values of a process are kept: in a folder in memory that all processes of an installation on this machine share.

Each process has a slot there, `chat.0` or `api.1`: a lock, which the kernel lets go when the process is gone, and files of its
counters. The next process of that role takes the slot over and counts on, so a kill loses nothing, counters only grow, and
there are never more slots than processes that ran at once. Gauges begin anew; those of a slot that nobody holds are not read.

The files lie in /dev/shm where there is one: written to a disk, counting would now and then wait for it. They have their whole
size from the start, as a write to a page that there is no room for would kill the process. Without room for them, or a
folder, values are kept by the process alone, as in tests and where it is scraped by itself; then a scrape of the API
doesn't show it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Generator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog
from prometheus_client import mmap_dict, values

from schema.metrics.catalog import layout

log = structlog.get_logger()

MEMORY = Path("/dev/shm")  # noqa: S108 -- the folder inside is made for its owner alone, and checked
SIZES = {"counter": 128 * 1024, "histogram": 256 * 1024, "gauge_livesum": 8 * 1024, "gauge_livemax": 32 * 1024}
API_SIZES = SIZES | {"counter": 512 * 1024, "histogram": 2 * 1024 * 1024}
"""Bytes of the files of a slot: more than all labels take. Those of the API have each route."""
MAX_SLOTS = 256
TRIES = 20


@dataclass(frozen=True)
class Slot:
    """A process's place: `name` is its role and a number."""

    folder: Path
    name: str
    lock: IO[str]


@dataclass(frozen=True)
class SlotState:
    """A slot as others see it; `pid` is None if nobody holds it."""

    name: str
    pid: int | None


def shared_folder(installation: str) -> Path:
    """Return the folder of an installation's processes, which run as the same user and count by the same names."""
    base = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    known_by = hashlib.sha256(f"{installation} {layout()}".encode()).hexdigest()[:16]
    return base / f"headrace-{os.getuid()}-{known_by}"


def share_values(installation: str, role: str, environ: MutableMapping[str, str]) -> Slot | None:
    """Keep what this process counts from now on where others can read it; the library is told where in its environment.
    Returns None, and logs why, if that can't be."""
    folder = shared_folder(installation)
    try:
        _remove_abandoned(folder)
        slot = _take_slot(folder, role)
        try:
            _prepare_files(slot)
        except OSError:
            slot.lock.close()
            raise
    except OSError as error:
        log.warning("metrics_not_shared", reason=error.strerror or type(error).__name__)
        return None
    environ.update(PROMETHEUS_MULTIPROC_DIR=str(folder))
    library: Any = values
    library.ValueClass = library.MultiProcessValue(lambda: slot.name)
    return slot


def list_slots(folder: Path) -> list[SlotState]:
    """Return the slots of a folder with the processes that hold them."""
    return [SlotState(path.stem, _holder(path)) for path in sorted(folder.glob("*.lock"))]


def _holder(path: Path) -> int | None:
    try:
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError, ValueError):
            return int(path.read_text())
        return 0
    except OSError:
        return None
    return None


def _take_slot(folder: Path, role: str) -> Slot:
    for _ in range(TRIES):
        _make_folder(folder)
        for number in range(MAX_SLOTS):
            path = folder / f"{role}.{number}.lock"
            with contextlib.suppress(FileNotFoundError):
                lock = open(path, "a+")  # noqa: SIM115 -- held as long as the process lives
                if _lock(lock) and path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                    lock.truncate(0)
                    lock.write(str(os.getpid()))
                    lock.flush()
                    return Slot(folder, f"{role}.{number}", lock)
                lock.close()
            if not folder.exists():
                break  # another process has removed it, as nobody was in it
    raise OSError(f"no slot is free in {folder}")


def _lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(13, f"{folder} belongs to somebody else")


def _prepare_files(slot: Slot) -> None:
    """Make the files of a slot, or take over those of the process that had it before; its gauges are gone."""
    sizes = API_SIZES if slot.name.startswith("api.") else SIZES
    for kind, size in sizes.items():
        path = slot.folder / f"{kind}_{slot.name}.db"
        if kind.startswith("gauge") or not _is_readable(path):
            path.unlink(missing_ok=True)
        with open(path, "a+b") as file:
            if os.fstat(file.fileno()).st_size < size:
                os.posix_fallocate(file.fileno(), 0, size)


def _is_readable(path: Path) -> bool:
    try:
        library: Any = mmap_dict
        for key, *_ in library.MmapedDict.read_all_values_from_file(str(path)):
            json.loads(key)
    except (OSError, RuntimeError, ValueError, struct.error):
        return False
    return True


def _remove_abandoned(own: Path) -> None:
    """Remove the folders of other installations of which no process is left."""
    for folder in own.parent.glob(f"headrace-{os.getuid()}-*"):
        if folder != own:
            with contextlib.suppress(OSError), _all_locked(folder) as abandoned:
                if abandoned:
                    shutil.rmtree(folder)


@contextlib.contextmanager
def _all_locked(folder: Path) -> Generator[bool]:
    """Hold the locks of all slots, so that nobody takes one; False if somebody has one."""
    with contextlib.ExitStack() as stack:
        locks = [stack.enter_context(open(path, "a+")) for path in folder.glob("*.lock")]
        yield bool(locks) and all(_lock(lock) for lock in locks)
