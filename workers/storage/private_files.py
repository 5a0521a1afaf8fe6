"""Files and folders that only their owner can read, whatever umask a process was started with."""

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_opener(path: str, flags: int) -> int:
    """For `open(..., opener=private_opener)`: a file that this creates has mode 0600."""
    return os.open(path, flags, FILE_MODE)


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents with mode 0700. One that exists keeps its mode. Raises OSError."""
    if not folder.parent.is_dir():
        make_private_folder(folder.parent)
    folder.mkdir(FOLDER_MODE, exist_ok=True)


def close_to_others(path: Path) -> None:
    """Take from group and others every right to a folder and to what is in it, or to a file, as older versions left them.

    A closed subfolder is not searched, since nobody reaches what is in it; so this costs nothing after the first time.
    A folder is closed after its content, so that a run that is cut off is repeated. Symbolic links, and what belongs to
    another user, are left alone.
    """
    with suppress(FileNotFoundError, PermissionError):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & OTHERS:
            return
        for entry in path.iterdir() if stat.S_ISDIR(mode) else ():
            close_to_others(entry)
        path.chmod(stat.S_IMODE(mode) & ~OTHERS)
