"""What can go wrong around a backup, as sentences for who runs the command."""

import contextlib
from collections.abc import Generator
from pathlib import Path

import psycopg

from api.local.disk_space import is_full
from api.local.errors import LocalError


@contextlib.contextmanager
def as_sentences(folder: Path) -> Generator[None]:
    """Turn errors of Postgres and of the operating system into LocalErrors; `folder` is what is written to."""
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise LocalError("Another backup of this database is running. Wait for its end.") from error
    except psycopg.Error as error:
        raise LocalError(f"Can't use Postgres: {str(error).strip()}") from error
    except OSError as error:
        if is_full(folder, error):
            raise LocalError(f"The disk of {folder} is full. Nothing was changed.") from error
        raise LocalError(f"{error.filename or folder}: {error.strerror or error}.") from error
