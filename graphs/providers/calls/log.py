"""How the calls of the installation's model vendors went in the last minute. Each process counts its own and tells the watchdog
(`workers/health/reports.py`); calls with tenants' own keys say something of those keys alone, and don't count."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from graphs.providers.errors import (
    ProviderAddressRefused,
    ProviderCircuitOpen,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejectedKey,
    ProviderWrongBaseUrl,
)
from schema.errors import HeadraceError, ProviderError

SPAN_S, SLOT_S = 60.0, 10.0
_OPERATORS_FAULT = (ProviderRejectedKey, ProviderQuotaExhausted, ProviderWrongBaseUrl, ProviderAddressRefused)


@dataclass(slots=True)
class _Slot:
    ok: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class RecentCalls:
    """Calls of the last minute, how many failed since the last that succeeded, how many seconds ago the last of each sort and
    the first of those in a row was (None: never), and the last error's code."""

    ok: int
    failed: int
    in_row: int
    ok_ago_s: float | None
    failed_ago_s: float | None
    code: str
    row_ago_s: float | None = None


class CallLog:
    """Calls by vendor. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: dict[str, dict[int, _Slot]] = {}
        self._ok_at: dict[str, float] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._in_row: dict[str, int] = {}
        self._row_at: dict[str, float] = {}

    def note(self, name: str, error: BaseException | None) -> None:
        """Note how a call ended. What says nothing about the vendor, such as a bad request or a cancel, isn't counted."""
        now = self._clock()
        if error is None:
            self._slot(name, now).ok += 1
            self._ok_at[name], self._in_row[name] = now, 0
        elif isinstance(error, ProviderError) and is_vendors_fault(error):
            self.note_failure(name, error.code)

    def note_failure(self, name: str, code: str) -> None:
        """Note a call that failed."""
        now, before = self._clock(), self._in_row.get(name, 0)
        self._slot(name, now).failed += 1
        self._failed[name], self._in_row[name] = (now, code), before + 1
        if not before:
            self._row_at[name] = now

    def recent(self) -> dict[str, RecentCalls]:
        """Return the calls of every vendor that was ever called."""
        now = self._clock()
        return {name: self._recent(name, now) for name in self._slots}

    def forget(self) -> None:
        """Forget all calls."""
        for known in (self._slots, self._ok_at, self._failed, self._in_row, self._row_at):
            known.clear()

    def _recent(self, name: str, now: float) -> RecentCalls:
        slots = self._slots[name]
        for old in [number for number in slots if number * SLOT_S < now - SPAN_S]:
            del slots[old]
        ok_at, (failed_at, code) = self._ok_at.get(name), self._failed.get(name, (None, ""))
        in_row = self._in_row.get(name, 0)
        return RecentCalls(
            ok=sum(slot.ok for slot in slots.values()),
            failed=sum(slot.failed for slot in slots.values()),
            in_row=in_row,
            ok_ago_s=None if ok_at is None else now - ok_at,
            failed_ago_s=None if failed_at is None else now - failed_at,
            code=code,
            row_ago_s=now - self._row_at[name] if in_row else None,
        )

    def _slot(self, name: str, now: float) -> _Slot:
        return self._slots.setdefault(name, {}).setdefault(int(now // SLOT_S), _Slot())


def is_vendors_fault(error: ProviderError) -> bool:
    """Whether the vendor, or the operator's account there, doesn't work: not a busy one, nor a request that it refuses."""
    if isinstance(error, ProviderRateLimited | ProviderCircuitOpen):
        return False
    return error.retryable or isinstance(error, _OPERATORS_FAULT)


CALLS = CallLog()
"""Those of this process, like its metrics."""

EMBEDDER = "embedder"
"""The name under which texts that the installation's embedder embedded are noted."""


class noted_embedding:
    """`with noted_embedding():` around one call of the installation's embedder; whatever it raises but a request that is wrong
    is its fault."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, ProviderError):
            CALLS.note(EMBEDDER, error)
        elif isinstance(error, Exception) and not isinstance(error, HeadraceError):
            CALLS.note_failure(EMBEDDER, "embedder_failed")
