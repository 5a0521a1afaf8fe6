"""The ERP's one action: sends a customer a reminder, once per tenant and Idempotency-Key.

`calls` counts requests with the same key: more than one means that the caller retried and nothing happened twice.
"""

import threading
from dataclasses import asdict, dataclass
from typing import Any

MAX_REMINDERS_PER_TENANT = 10_000


class IdempotencyKeyReused(Exception):
    """The same key was used with a different body."""


@dataclass
class Reminder:
    """A reminder that was sent. `number` counts from 1 within a tenant."""

    number: int
    tax_code: str
    message: str
    key: str
    calls: int = 1


class Reminders:
    """All reminders, by tenant; in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, list[Reminder]] = {}
        self._by_key: dict[tuple[str, str], Reminder] = {}

    def send(self, tenant_id: str, tax_code: str, message: str, key: str) -> tuple[dict[str, Any], bool]:
        """Return the reminder, and whether it is new. Raises KeyReused."""
        with self._lock:
            known = self._by_key.get((tenant_id, key)) if key else None
            if known is not None:
                if (known.tax_code, known.message) != (tax_code, message):
                    raise IdempotencyKeyReused
                known.calls += 1
                return asdict(known), False
            sent = self._sent.setdefault(tenant_id, [])
            if len(sent) >= MAX_REMINDERS_PER_TENANT:
                self._by_key.pop((tenant_id, sent.pop(0).key), None)
            reminder = Reminder((sent[-1].number if sent else 0) + 1, tax_code, message, key)
            sent.append(reminder)
            if key:
                self._by_key[(tenant_id, key)] = reminder
            return asdict(reminder), True

    def list(self, tenant_id: str) -> list[dict[str, Any]]:
        """A tenant's reminders, oldest first."""
        with self._lock:
            return [asdict(each) for each in self._sent.get(tenant_id, [])]
