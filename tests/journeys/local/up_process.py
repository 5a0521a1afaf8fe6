"""`./headrace up` as a process, for tests of what a person on one machine has."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.system import ROOT, free_port
from tests.waiting import PATIENCE_S, wait_until

BANNER = "headrace is up:"


class Up:
    """One `up` over a data folder; its output is a file beside it. Use as `with`, which waits until it is up."""

    def __init__(self, home: Path, *, umask: int = -1, **environ: str) -> None:
        self.home, self._umask = home, umask
        self._log = home.with_name(f"{home.name}.log")
        own = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "OPENAI_"))}
        ports = {"HEADRACE_PORT": str(free_port()), "HEADRACE_FLOWER_PORT": str(free_port())}
        self._env = own | ports | {"HEADRACE_HOME": str(home)} | environ

    def __enter__(self) -> "Up":
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api", "up", "--grace", "3"],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=self._umask,
            )
        wait_until(lambda: BANNER in self.output or self.process.poll() is not None, "headrace is up")
        assert self.process.poll() is None, self.output
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def url(self) -> str:
        return json.loads((self.home / "state.json").read_text())["url"]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.home / 'demo.key').read_text().strip()}"}
