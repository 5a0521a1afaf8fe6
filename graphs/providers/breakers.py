"""Circuit breakers: a provider that keeps failing isn't called for a while, then probed with one call.

    closed ── 5 failures in a row ──▶ open ── 15 s ──▶ half-open: one probe ── it answers ──▶ closed
                                       ▲                      └── it fails ──▶ open again

Per process and in memory: each process finds out for itself, and Redis isn't needed. Only transient failures count (5xx,
timeouts, lost connections); a vendor that answers 429, 401 or 400 is up.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from graphs.providers.errors import ProviderRateLimited
from schema.errors import ProviderError
from schema.metrics.catalog import BREAKERS_OPEN

MAX_FAILURES = 5
PAUSE_S = 15.0

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Breaker:
    """The state of a key that has failed; a healthy key has none."""

    failures: int = 0
    opened_at: float | None = None
    probe: "BreakerCall | None" = None


class Breakers:
    """Breakers by key, such as `tenant/provider`. `now` is a clock in seconds."""

    def __init__(
        self, *, failures: int = MAX_FAILURES, pause_s: float = PAUSE_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures, self._pause_s, self._now = failures, pause_s, now
        self._breakers: dict[str, Breaker] = {}

    def acquire(self, key: str) -> "BreakerCall | None":
        """Return the call to make, or None while the breaker is open. The caller reports to it how the call went."""
        call, breaker = BreakerCall(self, key), self._breakers.get(key)
        if breaker is None or breaker.opened_at is None:
            return call
        if self.retry_after_s(key) > 0 or breaker.probe is not None:
            return None
        breaker.probe = call
        return call

    def state(self, key: str) -> State:
        """Return the state for people and metrics."""
        breaker = self._breakers.get(key)
        if breaker is None or breaker.opened_at is None:
            return "closed"
        return "open" if self.retry_after_s(key) > 0 else "half_open"

    def retry_after_s(self, key: str) -> float:
        """Return the seconds until a probe may be made; 0 if calls are allowed or a probe is under way."""
        breaker = self._breakers.get(key)
        if breaker is None or breaker.opened_at is None:
            return 0.0
        return max(0.0, breaker.opened_at + self._pause_s - self._now())

    def let_through(self, key: str) -> None:
        """Allow calls again at once: somebody else has seen that the provider works."""
        self._close(key)

    def _close(self, key: str) -> None:
        breaker = self._breakers.pop(key, None)
        if breaker is not None and breaker.opened_at is not None:
            BREAKERS_OPEN.of(_provider(key)).dec()

    def _record_failure(self, key: str, call: "BreakerCall") -> None:
        breaker = self._breakers.setdefault(key, Breaker())
        if breaker.opened_at is None:
            breaker.failures += 1
            if breaker.failures >= self._failures:
                breaker.opened_at = self._now()
                BREAKERS_OPEN.of(_provider(key)).inc()
        elif breaker.probe is call:  # calls from before it opened are ignored
            breaker.opened_at, breaker.probe = self._now(), None

    def _released(self, key: str, call: "BreakerCall") -> None:
        breaker = self._breakers.get(key)
        if breaker is not None and breaker.probe is call:
            breaker.probe = None

    def _is_probe(self, key: str, call: "BreakerCall") -> bool:
        breaker = self._breakers.get(key)
        return breaker is not None and breaker.probe is call


def _provider(key: str) -> str:
    return key.rpartition("/")[2]


class BreakerCall:
    """One call under way. Call `released` in any case at the end; the other methods when they apply."""

    def __init__(self, breakers: Breakers, key: str) -> None:
        self._breakers, self._key = breakers, key

    def first_token(self) -> None:
        """The first token arrived: if this was the probe, close the breaker. Otherwise, earlier failures still count."""
        if self._breakers._is_probe(self._key, self):
            self._breakers._close(self._key)

    def succeeded(self) -> None:
        """The answer is complete."""
        self._breakers._close(self._key)

    def failed(self, error: ProviderError) -> None:
        """The call failed; an error from a healthy vendor closes the breaker."""
        if error.retryable and not isinstance(error, ProviderRateLimited):
            self._breakers._record_failure(self._key, self)
        else:
            self._breakers._close(self._key)

    def released(self) -> None:
        """The call is over: a cancelled probe makes room for another."""
        self._breakers._released(self._key, self)
