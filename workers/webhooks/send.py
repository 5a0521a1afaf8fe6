"""Sends one message through the egress guard. Whatever the receiver does, this ends within SEND_S and reads little of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2

from schema.errors import HeadraceError
from workers.webhooks.schedule import read_retry_after

SEND_S = 15.0
"""From the DNS lookup to the last byte of the answer."""
MAX_READ_BYTES = 64 * 1024
MAX_STORED = 1024
"""Characters of an answer that are kept."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a receiver answered: a `status`, or the code and sentence of what went wrong, or both if the answer broke off."""

    started_at: datetime
    duration_s: float
    status: int | None = None
    error: str | None = None
    detail: str | None = None
    response: str | None = None
    retry_after_s: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken the message: only a whole answer with a 2xx says so."""
        return self.error is None and self.status is not None and 200 <= self.status < 300


async def send(client: httpx2.AsyncClient, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Post a message and return the answer; never raises for what the receiver does."""
    started_at, began = datetime.now(UTC), time.monotonic()
    status: int | None = None
    retry_after_s: float | None = None
    error: str | None = None
    detail: str | None = None
    read = bytearray()
    try:
        async with client.stream("POST", url, headers=dict(headers), content=body) as response:
            status = response.status_code
            retry_after_s = read_retry_after(response.headers.get("retry-after", ""), started_at)
            async for chunk in response.aiter_raw():
                read += chunk[: max(0, 4 * MAX_STORED - len(read))]
    except HeadraceError as failure:
        error, detail = failure.code, failure.message
    if error is None and status is not None and not 200 <= status < 300:
        error, detail = f"status_{status}", _explain(status)
    return Answer(
        started_at=started_at,
        duration_s=time.monotonic() - began,
        status=status,
        error=error,
        detail=detail,
        response=_storable(bytes(read)),
        retry_after_s=retry_after_s,
    )


def _explain(status: int) -> str:
    if 300 <= status < 400:
        return "The receiver redirects. Redirects are not followed; change the URL of the endpoint."
    if status == 410:
        return "The receiver wants no more messages (410)."
    return f"The receiver answered with status {status}; only 2xx is a success."


def _storable(read: bytes) -> str | None:
    """Return the beginning of an answer as text that Postgres can store."""
    text = read.decode("utf-8", "replace").replace("\0", "")[:MAX_STORED]
    return text or None
