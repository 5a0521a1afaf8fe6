"""Logging of every process: readable on a terminal, JSON elsewhere. A line has an event name `noun_verbed`, and ids as
keywords. Keys, prompts and answers must not be logged, and what looks like a key is masked.

An error is logged with its frames, but its message only if that is safe: libraries quote their input in errors.
"""

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from schema.postgres.outage_log import quiet_pools
from schema.tracing.spans import current
from workers.outage_lines import OutageLines

QUIET_LOGGERS = (
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "aiohttp",
    "asyncio",
    "litestar",
    "kombu",
    "amqp",
    "urllib3",
    "celery.redirected",
    "uvicorn.error",
)
REQUESTS = logging.getLogger("headrace.requests")
"""A line for each request, in JSON only: people on a terminal would see little else. It doesn't pass the processors, which
take ten times as long as the line itself."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
BROKER_LOGGERS = ("aiormq", "aio_pika")
"""They log an error for each attempt to connect; `broker_lost` says it once (`workers/amqp/publisher.py`)."""

SECRET_NAME = re.compile(
    r"(?i)(^|[_-])((api|secret|private|access)[_-]?keys?|(password|passwd|secret|credential|cookie)s?|token|jwt|authorization)$"
)
SECRET = re.compile(
    "|".join(
        (
            r"(?<![0-9A-Za-z])hr[rsc]?_[\w-]{16,}",  # our API keys, refresh tokens, cookies and codes
            r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}",  # a JWT, also a part of one
            r"(?<![\w-])[\w-]{43}=(?![\w=])",  # a Fernet key
            r"\bgAAAA[\w-]{20,}=*",  # what a Fernet key has sealed
            r"\b(?:sk|pk|rk|hf|gsk|xai|csk|nvapi|pplx|whsec|hrt|gh[pousr]|github_pat|xox[abeprs]|api_org|tgp_v1)[-_][\w-]{8,}",
            r"\bAIza[\w-]{16,}|\bAQ\.[\w-]{16,}|\b(?:AKIA|ASIA)[0-9A-Z]{12,}",  # Google's and Amazon's
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.)*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            r"(?i:\bbearer)\s+[\w.~+/=-]{6,}|(?i:\bbasic)\s+[\w+/=-]{16,}",
            r"(?<=://)[^/@\s:]*:[^@\s]+(?=@)",  # user and password in a URL
            r"(?<=[?&])(?i:api[_-]?key|key|token|access_token|refresh_token|password|secret|sig|signature)=[^&\s\"']+",
            r"(?:Failing row contains |Key \([^)]*\)=)\(.*",  # Postgres tells what is in a row that it refuses
            r"(?<=exception=)[\w.]+\((?s:.)*\)(?=>)",  # asyncio tells of a task what its error says
        )
    )
)
MASK = "***"
ID_OR_TIME = re.compile(r"[0-9a-fTZ:.-]*")  # none of its characters begins a secret: SECRET would look at each
SHORT = 32
"""Texts under this length are mostly names of events, processes and states, and looked at once."""
PACKAGES_QUOTING_INPUT = {
    "psycopg",
    "psycopg_pool",
    "sqlalchemy",
    "pydantic",
    "pydantic_core",
    "msgspec",
    "langchain_core",
    "yarl",
}
"""Packages whose errors quote values of their input."""


def configure_logging(process: str, *, style: str | None = None, level: str | None = None) -> None:
    """Configure structlog and the standard library's logging to write to stderr, with process name and pid in each line.

    `style` is HEADRACE_LOGS: `people` or `json`; by default it is `people` on a terminal, and `json` elsewhere.
    `level` is HEADRACE_LOG_LEVEL, one of LEVELS; by default `info`.
    """
    people = style == "people" or (style != "json" and sys.stderr.isatty())
    renderer = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # its input is made by `describe_error`
        )
        if people
        else structlog.processors.JSONRenderer()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _name_span,
        structlog.stdlib.add_log_level,
        _name_process(process),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Redaction comes last before rendering, so that it covers what earlier steps add.
    finish: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.ExceptionRenderer(describe_error),
        redact,
        renderer,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            OutageLines(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=finish))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level or "info"])
    REQUESTS.propagate = False
    REQUESTS.handlers[:] = [logging.StreamHandler(sys.stderr)]
    REQUESTS.setLevel(logging.CRITICAL if people else LEVELS[level or "info"])
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in BROKER_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet_pools()


class RequestLog:
    """Logs what became of requests. Its facts are of our own making, but for `request_id`, which a client may have chosen."""

    def info(self, event: str, *, request_id: str, **facts: str | float) -> None:
        """Log one request."""
        if REQUESTS.isEnabledFor(logging.INFO):
            at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            own = {"event": event, "level": "info", "process": "api", "pid": os.getpid(), "timestamp": at}
            line = {**facts, "request_id": masked(request_id), **own}
            REQUESTS.info("%s", msgspec.json.encode(line).decode())


def log_uncaught() -> None:
    """Log uncaught exceptions of all threads, which Python would write to stderr unredacted."""

    def log_error(kind: type[BaseException], error: BaseException | None, frames: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error or kind(), frames)
        elif error is not None and not issubclass(kind, SystemExit):
            structlog.get_logger().critical("error_uncaught", exc_info=(kind, error, frames))

    sys.excepthook = log_error
    threading.excepthook = lambda thrown: log_error(thrown.exc_type, thrown.exc_value, thrown.exc_traceback)
    sys.unraisablehook = lambda thrown: log_error(thrown.exc_type, thrown.exc_value, thrown.exc_traceback)


def describe_error(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """Return the traceback of an error with its causes. Errors that quote values have only their type and place."""
    return "".join(_parts(exc_info[1], set())).rstrip("\n")


def _parts(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _parts(before, seen)
        how = "was the direct cause of" if before is error.__cause__ else "was being handled during"
        yield f"\nThe error above {how} this one:\n\n"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {_safe_message(error)}\n"
    for number, inner in enumerate(getattr(error, "exceptions", ()), 1):
        if isinstance(inner, BaseException) and id(inner) not in seen:
            yield f"\nError {number} of the group:\n\n"
            yield from _parts(inner, seen)


def _safe_message(error: BaseException) -> str:
    """Return the message of an error, or only where it occurred if the message may quote data."""
    if not any(kind.__module__.partition(".")[0] in PACKAGES_QUOTING_INPUT for kind in type(error).__mro__):
        return str(error)
    place = getattr(error, "diag", None)
    about = {
        "sqlstate": getattr(error, "sqlstate", None),
        "table": getattr(place, "table_name", None),
        "column": getattr(place, "column_name", None),
        "constraint": getattr(place, "constraint_name", None),
    }
    known = ", ".join(f"{name} {value}" for name, value in about.items() if value)
    return f"({known or 'its message may hold data and is not logged'})"


def _name_process(process: str) -> Any:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        event.setdefault("pid", os.getpid())
        return event

    return add


def _name_span(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add the ids of the current span, by which a viewer of traces finds the lines that belong to it."""
    if (here := current()) is not None:
        event.setdefault("trace_id", here.trace_id)
        event.setdefault("span_id", here.span_id)
    return event


def masked(text: str) -> str:
    """Return a text in which whatever looks like a key, a token or a password is masked."""
    if ID_OR_TIME.fullmatch(text):
        return text
    return _masked_word(text) if len(text) < SHORT else SECRET.sub(MASK, text)


@lru_cache(1024)
def _masked_word(text: str) -> str:
    return SECRET.sub(MASK, text)


@lru_cache(1024)
def _is_secret_name(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask values whose names are those of secrets, and whatever looks like a key in any text."""
    return {name: MASK if _is_secret_name(name) else _masked(value) for name, value in event.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: MASK if SECRET_NAME.search(str(key)) else _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value
