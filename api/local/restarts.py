"""When a process that ended is started again, and what is said about it. The same for the stores and for the Procfile."""

import signal
import time
from collections.abc import Sequence

RESTART_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before the first, second … restart in a row; the last delay repeats."""

STABLE_AFTER_S = 10.0
"""A process that ran this long was stable: its next exit counts as the first."""

CRASH_LOOP_EXITS = 3
"""From this many exits in a row on, the message quotes the last output of the process."""


WRONG_SETTINGS = 2
"""The exit status of a process whose settings are wrong: it would end the same way again."""


class Restarts:
    """The exits of one process. Call `note_start` and `note_exit` in turn."""

    def __init__(self, name: str) -> None:
        self.name, self.consecutive_exits = name, 0
        self._started = 0.0

    @property
    def is_crash_loop(self) -> bool:
        return self.consecutive_exits >= CRASH_LOOP_EXITS

    def note_start(self) -> None:
        self._started = time.monotonic()

    def note_exit(self) -> float:
        """Count the exit and return how many seconds to wait before the next start."""
        lived = time.monotonic() - self._started
        self.consecutive_exits = 1 if lived >= STABLE_AFTER_S else self.consecutive_exits + 1
        return RESTART_DELAYS_S[min(self.consecutive_exits, len(RESTART_DELAYS_S)) - 1]

    def message(self, exit_code: int, delay: float, last_output: Sequence[str]) -> str:
        """What to say about the exit; it quotes the last output once the process is in a crash loop."""
        how, again = describe_exit(exit_code), f"in {delay:g} s" if delay else "now"
        if not self.is_crash_loop:
            return f"{self.name} {how}; restarting {again}."
        quoted = "".join(f"\n    {line}" for line in last_output) or " none."
        times = f"{self.consecutive_exits} times in a row"
        return f"{self.name} {how}, {times}; restarting {again}. Last output:{quoted}"


def refusal_message(name: str, last_output: Sequence[str]) -> str:
    """What to say of a process that is not started again, because its settings are wrong."""
    quoted = "".join(f"\n    {line}" for line in last_output)
    return f"{name} {describe_exit(WRONG_SETTINGS)} and isn't restarted: its settings are wrong. Last output:{quoted}"


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    return f"was killed by {signal.Signals(-code).name}"
