"""Names the disk when a start fails because it is full; the programs that notice it first often say something else."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from api.local.errors import HomeInUse, LocalError
from schema.errors import HeadraceError

FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("no space left on device", "disk quota exceeded")
FULL_BELOW_BYTES = 1_000_000
FIRST_START_BYTES = 200_000_000
"""What the stores take on a first day: 50 MB for a new database, and up to 80 MB for Postgres's write-ahead log."""


@contextlib.contextmanager
def naming_a_full_disk(folder: Path) -> Iterator[None]:
    """Turn whatever fails because the disk of `folder` is full, and any other error of the operating system, into a LocalError
    that says so; other errors pass."""
    import psycopg

    try:
        yield
    except HomeInUse:
        raise
    except (OSError, HeadraceError, psycopg.Error) as error:
        if is_full(folder, error):
            raise LocalError(f"{full_disk_message(folder)}\n    {_last_lines(error)}") from error
        if isinstance(error, OSError):
            raise LocalError(f"{error.filename or folder}: {error.strerror or error}.") from error
        raise


def is_full(folder: Path, error: BaseException) -> bool:
    """Whether an error comes from a full disk: it says so, or there is no room now."""
    if isinstance(error, OSError) and error.errno in FULL_ERRNOS:
        return True
    return any(word in str(error).lower() for word in FULL_WORDS) or _has_no_room(existing(folder))


def full_disk_message(folder: Path) -> str:
    place = existing(folder)
    usage = shutil.disk_usage(place)
    rooms = f"{usage.free / 1e6:.1f} MB free of {usage.total / 1e6:.0f} MB"
    if not os.statvfs(place).f_favail:
        rooms += ", and no more files can be created on it"
    return (
        f"The disk of {folder} is full: {rooms}. A first start needs about {FIRST_START_BYTES / 1e6:.0f} MB. Free some space, "
        "or set HEADRACE_HOME to a folder on another disk, and run the same command again; it continues where this one stopped."
    )


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _has_no_room(folder: Path) -> bool:
    state = os.statvfs(folder)
    # Some file systems count no files at all, and report 0 of 0.
    return state.f_bavail * state.f_frsize < FULL_BELOW_BYTES or bool(state.f_files and not state.f_favail)


def _last_lines(error: BaseException) -> str:
    return "\n    ".join(line.strip() for line in str(error).splitlines()[-4:])
