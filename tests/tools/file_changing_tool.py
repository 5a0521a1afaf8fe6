"""A LangChain tool that tries to change files, in each way that Python and the kernel have. None of headrace's may."""

import ctypes
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from langchain_core.tools import BaseTool


class FileChanger(BaseTool):
    name: str = "changer"
    description: str = "Changes a folder"

    def _run(self, folder: str, way: str = "") -> str:
        if way == "null":
            return _open(Path(os.devnull), "w")
        if way:
            WAYS[way](Path(folder))
            return "done"
        return ", ".join(name for name, change in WAYS.items() if _works(change, Path(folder)))


def _works(change: Callable[[Path], object], folder: Path) -> bool:
    try:
        change(folder)
    except (OSError, sqlite3.Error):
        return False
    return True


def _open(file: Path, mode: str) -> str:
    with open(file, mode) as opened:
        return str(opened.write("x"))


def _in_c(name: str, *arguments: object) -> None:
    given = [str(one).encode() if isinstance(one, Path) else one for one in arguments]
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*given) < 0:
        raise OSError(ctypes.get_errno(), name)


def _fork_in_c() -> None:
    pid = ctypes.CDLL(None).fork()
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError("fork")


def _in_a_database(folder: Path) -> None:
    with sqlite3.connect(folder / "new.db") as db:
        db.execute("CREATE TABLE kept (a)")


WAYS: dict[str, Callable[[Path], object]] = {
    "write": lambda folder: _open(folder / "kept", "w"),
    "append": lambda folder: _open(folder / "kept", "a"),
    "update": lambda folder: _open(folder / "kept", "r+"),
    "create": lambda folder: _open(folder / "new", "x"),
    "write_text": lambda folder: (folder / "kept").write_text("x"),
    "open_truncating": lambda folder: os.open(folder / "kept", os.O_RDONLY | os.O_TRUNC),
    "truncate": lambda folder: os.truncate(folder / "kept", 0),
    "remove": lambda folder: os.remove(folder / "kept"),
    "rename": lambda folder: os.rename(folder / "kept", folder / "new"),
    "replace": lambda folder: os.replace(folder / "other", folder / "kept"),
    "copy": lambda folder: shutil.copyfile(folder / "other", folder / "kept"),
    "make_folder": lambda folder: os.mkdir(folder / "new"),
    "remove_folder": lambda folder: os.rmdir(folder / "empty"),
    "remove_all": shutil.rmtree,
    "link": lambda folder: os.link(folder / "kept", folder / "new"),
    "symlink": lambda folder: os.symlink(folder / "kept", folder / "new"),
    "fifo": lambda folder: os.mkfifo(folder / "new"),
    "mode": lambda folder: os.chmod(folder / "kept", 0o777),
    "times": lambda folder: os.utime(folder / "kept", (0, 0)),
    "attribute": lambda folder: os.setxattr(folder / "kept", "user.a", b"x"),
    "database": _in_a_database,
    "in C: creat": lambda folder: _in_c("creat", folder / "kept", 0o600),
    "in C: truncate": lambda folder: _in_c("truncate", folder / "kept", 0),
    "in C: unlink": lambda folder: _in_c("unlink", folder / "kept"),
    "in C: rename": lambda folder: _in_c("rename", folder / "kept", folder / "new"),
    "in C: mkdir": lambda folder: _in_c("mkdir", folder / "new", 0o700),
    "in C: chmod": lambda folder: _in_c("chmod", folder / "kept", 0o777),
    "in C: fork": lambda _: _fork_in_c(),
}
