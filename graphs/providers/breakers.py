"""Circuit breakers: a provider that fails again and again is left alone for a while, then tried by one call.

    closed ── 5 failures in a row ──▶ open ── 15 s ──▶ half-open: one probe ── it answers ──▶ closed
                                       ▲                      └── it fails ──▶ open again

Per process and in memory: each process finds out for itself, and nothing is lost when Redis is away. Only failures that may
pass count (5xx, timeouts, lost connections); a vendor that answers 429, 401 or 400 is there.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from graphs.providers.errors import ProviderRateLimited
from schema.errors import ProviderError

FAILURES = 5
PAUSE_S = 15.0

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Breaker:
    """What is known of one key that has failed; a key without trouble has none."""

    failures: int = 0
    opened_at: float | None = None
    probe: "Call | None" = None


class Breakers:
    """Breakers by key, such as `tenant/provider`. `now` is a clock in seconds."""

    def __init__(
        self, *, failures: int = FAILURES, pause_s: float = PAUSE_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures, self._pause_s, self._now = failures, pause_s, now
        self._breakers: dict[str, Breaker] = {}

    def enter(self, key: str) -> "Call | None":
        """The leave to call, or None while the breaker is open. Whoever gets one tells it how the call went."""
        call, breaker = Call(self, key), self._breakers.get(key)
        if breaker is None or breaker.opened_at is None:
            return call
        if self.opens_in_s(key) > 0 or breaker.probe is not None:
            return None
        breaker.probe = call
        return call

    def state(self, key: str) -> State:
        """For people and metrics."""
        breaker = self._breakers.get(key)
        if breaker is None or breaker.opened_at is None:
            return "closed"
        return "open" if self.opens_in_s(key) > 0 else "half_open"

    def opens_in_s(self, key: str) -> float:
        """Seconds until a probe may go; 0 when calls may go, or one is on its way."""
        breaker = self._breakers.get(key)
        if breaker is None or breaker.opened_at is None:
            return 0.0
        return max(0.0, breaker.opened_at + self._pause_s - self._now())

    def _closed(self, key: str) -> None:
        self._breakers.pop(key, None)

    def _failed(self, key: str, call: "Call") -> None:
        breaker = self._breakers.setdefault(key, Breaker())
        if breaker.opened_at is None:
            breaker.failures += 1
            if breaker.failures >= self._failures:
                breaker.opened_at = self._now()
        elif breaker.probe is call:  # a call from before it opened says nothing new
            breaker.opened_at, breaker.probe = self._now(), None

    def _left(self, key: str, call: "Call") -> None:
        breaker = self._breakers.get(key)
        if breaker is not None and breaker.probe is call:
            breaker.probe = None

    def _probed(self, key: str, call: "Call") -> bool:
        breaker = self._breakers.get(key)
        return breaker is not None and breaker.probe is call


class Call:
    """One call under way. `left` is due on every way out; the others only where they happen."""

    def __init__(self, breakers: Breakers, key: str) -> None:
        self._breakers, self._key = breakers, key

    def answering(self) -> None:
        """The first token came: if this was the probe, others may call again. Earlier failures still count."""
        if self._breakers._probed(self._key, self):
            self._breakers._closed(self._key)

    def succeeded(self) -> None:
        """The answer is whole."""
        self._breakers._closed(self._key)

    def failed(self, error: ProviderError) -> None:
        """It failed; an error that the vendor gave in good health closes the breaker."""
        if error.retryable and not isinstance(error, ProviderRateLimited):
            self._breakers._failed(self._key, self)
        else:
            self._breakers._closed(self._key)

    def left(self) -> None:
        """Nobody reads on: a probe that was cancelled makes room for another."""
        self._breakers._left(self._key, self)
