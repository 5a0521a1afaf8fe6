"""Where the output of the stack's processes goes: a terminal, with a name before each line, or files."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from workers.storage.private_files import make_private_folder, private_opener

COLOURS = (36, 33, 35, 32, 34, 31)


class TerminalOutput:
    """Lines on one stream, each after the name of its process; in colour only for people who want it."""

    def __init__(self, names: list[str], *, stream: TextIO | None = None, environ: Mapping[str, str]) -> None:
        self._stream = stream or sys.stdout
        self._width = max(map(len, [*names, "headrace"]))
        self._colours = (
            dict(zip(names, COLOURS * len(names), strict=False)) if wants_colour(self._stream, environ) else {}
        )

    def write(self, name: str, line: str) -> None:
        label = f"{name:{self._width}} │"
        if colour := self._colours.get(name):
            label = f"\033[{colour}m{label}\033[0m"
        try:
            print(label, line, file=self._stream, flush=True)
        except (BrokenPipeError, OSError):
            # The terminal went away; the stack ends by its signal, not by its log.
            return


class FileOutput:
    """One file per process in a folder, begun anew each time, for when the screen is needed for something else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begun: set[str] = set()
        make_private_folder(folder)

    def write(self, name: str, line: str) -> None:
        mode = "a" if name in self._begun else "w"
        with open(self._folder / f"{name}.log", mode, opener=private_opener) as file:
            file.write(f"{line}\n")
        self._begun.add(name)


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """See no-color.org: any value of NO_COLOR but the empty one switches colour off."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
