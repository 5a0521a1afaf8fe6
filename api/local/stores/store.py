"""The lifecycle that both embedded stores share: start, stop, kill, restart."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from api.local.errors import LocalError
from api.local.home import Home, is_free
from api.local.processes import Mode, kill_tree, start_child
from workers.storage.private_files import private_opener

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
POLL_S = 0.01


class EmbeddedStore:
    """A database server as our child, on one loopback port for its whole life.

    Subclasses say how to prepare its files, which command runs it, and when it is ready. Make and start it inside
    `home.locked()`, from the main thread.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    """Stops the server cleanly; also sent when this process dies."""

    mode: Mode = "same"

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.port = home.port(self.name)
        self.data = home.path / self.name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How the server ended, if it did by itself; None while it runs and after it was stopped."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        """Start the server and return when it answers. Raises LocalError with the end of its log if it doesn't."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the server without waiting for it."""
        if self.pid is not None:
            return
        self.prepare()
        with open(self.home.rotated_log(self.name), "ab", opener=private_opener) as log:
            self._process = start_child(
                self.command(),
                death_signal=self.stop_signal,
                mode=self.mode,
                log=log,
                keep_fds=(self.home.lock_fd,),
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not self.is_ready():
            if self.pid is None and (mended := self.mend()):
                print(f"headrace: {mended}", file=sys.stderr, flush=True)
                self.launch()
            elif self.pid is None:
                raise LocalError(self._failure_message("exited while starting"))
            if time.monotonic() > deadline:
                raise LocalError(self._failure_message(f"was not ready after {START_LIMIT_S:.0f} s"))
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the server cleanly; what it holds is on disk afterwards."""
        if self._process is None:
            return
        if self.pid is not None:
            self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End the server and its children with SIGKILL, as a power cut would."""
        if self._process is not None:
            kill_tree(self._process.pid)
            self._process.wait()
            self._process = None

    def signal_kill(self) -> None:
        """Send SIGKILL to the server and its children; how it ended is then seen as of any other exit."""
        if self.pid is not None:
            kill_tree(self.pid)

    def last_output(self) -> list[str]:
        """The end of its log."""
        return self.log_file.read_text(errors="replace").splitlines()[-5:] if self.log_file.exists() else []

    def restart(self, *, clean: bool = True) -> None:
        """Stop (or kill) the server and start it again on the same port with the same data."""
        if clean:
            self.stop()
        else:
            self.kill()
        self.start()

    @property
    def log_file(self) -> Path:
        return self.home.log(self.name)

    def prepare(self) -> None:
        raise NotImplementedError

    def mend(self) -> str:
        """After an exit: put aside what makes a start impossible and isn't needed. Returns what was done, if anything."""
        return ""

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def _failure_message(self, what: str) -> str:
        if self.pid is None and not is_free(self.port):
            what += f": port {self.port} has just been taken by another program; try again"
        lines = self.last_output()
        self.kill()
        return "\n    ".join([f"The embedded {self.name} {what}. Last lines of {self.log_file}:", *lines])
