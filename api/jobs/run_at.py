"""`run_at` of requests that submit a job, or a header in its place: the job waits until then."""

from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
from litestar.datastructures import Headers

from api.http.query_params import default_to_utc
from schema.errors import InputError

Body = TypeVar("Body", bound=msgspec.Struct)

HEADER = "X-Headrace-Run-At"
MAX_RUN_AT_DAYS = 366
RUN_AT = """When to run the job, if not at once: it waits until then (`waiting_for` is `time`), and the answer is `202`.
Can't be combined with `session_id`."""


def check_run_at(run_at: datetime | None, session_id: UUID | None = None, *, field: str = "run_at") -> datetime | None:
    """Return when a job is to run. Raises InputError for a time in the past or far away, and for a session that exists:
    its next messages would wait for that time."""
    if run_at is None:
        return None
    at, now = default_to_utc(run_at), datetime.now(UTC)
    if not now - timedelta(seconds=60) <= at <= now + timedelta(days=MAX_RUN_AT_DAYS):
        raise InputError(
            f"{field} must be in the future, and within {MAX_RUN_AT_DAYS} days, such as {_example(now)}.", field=field
        )
    if session_id is not None:
        raise InputError(
            "run_at starts a session of its own, since messages of an existing one would wait for it. Omit session_id.",
            field=field,
        )
    return at


def read_run_at(headers: Headers, run_at: datetime | None = None) -> datetime | None:
    """Return when a job is to run: as the body says, or else the header. Raises InputError."""
    if run_at is not None or (text := headers.get(HEADER)) is None:
        return check_run_at(run_at)
    return check_run_at(parse_time(text, HEADER), field=HEADER)


def with_run_at(data: Body, headers: Headers) -> Body:
    """Return a body whose `run_at`, unless it has one, is the header's: so an idempotency key covers it, too. Raises
    InputError."""
    return msgspec.structs.replace(data, run_at=read_run_at(headers, getattr(data, "run_at", None)))


def refuse_run_at(
    headers: Headers, why: str = "is for requests that make a job; this one is answered at once."
) -> None:
    """Raise InputError for the header at a route that can't wait: whoever sent it expects the work later."""
    if HEADER in headers:
        raise InputError(f"{HEADER} {why} Omit it.", field=HEADER)


def parse_time(text: str, field: str) -> datetime:
    """Return a time that was sent as text. Raises InputError."""
    try:
        return msgspec.convert(text.strip(), datetime)
    except msgspec.ValidationError:
        raise InputError(
            f"{field} must be a time in ISO 8601, such as {_example(datetime.now(UTC))}.", field=field
        ) from None


def _example(now: datetime) -> str:
    return f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
