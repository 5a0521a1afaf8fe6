"""What the processes hold open and what they have logged, judged after a case: no descriptor leaks, no secret in a log."""

import asyncio
import time
from pathlib import Path
from subprocess import Popen

SPARE_FILES = 48  # pools of connections grow to their size once
CLOSED_S = 20.0


def count_files(processes: dict[str, "Popen[bytes]"]) -> dict[int, tuple[str, int]]:
    """Return how many files and sockets each running process holds open, by its pid."""
    counts: dict[int, tuple[str, int]] = {}
    for name, process in processes.items():
        try:
            counts[process.pid] = (name, len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
        except OSError:
            continue
    return counts


async def judge_files(processes: dict[str, "Popen[bytes]"], before: dict[int, tuple[str, int]]) -> list[str]:
    """Return which of the processes that lived through the case hold much more open than before it."""
    give_up = time.monotonic() + CLOSED_S
    while True:
        now = count_files(processes)
        grown = [
            f"{name} had {before[pid][1]} files open, and has {count}"
            for pid, (name, count) in now.items()
            if pid in before and count > before[pid][1] + SPARE_FILES
        ]
        if not grown or time.monotonic() > give_up:
            return grown
        await asyncio.sleep(0.5)


class Logs:
    """The logs of all processes, from where they ended when this was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began = {path: path.stat().st_size for path in self._paths()}

    def _paths(self) -> list[Path]:
        return [path for path in self._folder.glob("*.log") if path.name != "model.log"]

    def find(self, secrets: dict[str, str]) -> list[str]:
        """Return which secrets, by what they are, stand in which log."""
        found: list[str] = []
        for path in self._paths():
            with path.open("rb") as log:
                log.seek(self._began.get(path, 0))
                text = log.read()
            found += [f"{what} is in {path.name}" for what, secret in secrets.items() if secret.encode() in text]
        return found
