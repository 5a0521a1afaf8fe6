"""Logs of every process: for people on a terminal, JSON elsewhere (O6). A line is an event name `noun_verbed` and ids in
keywords; keys, prompts and answers have no place in one, and what looks like a key is masked (X8).
"""

import logging
import os
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

QUIET = (
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
SECRET_NAME = re.compile(r"(?i)(^|_)((api_?key|password|secret|credential|cookie)s?|token|authorization)$")
SECRET = re.compile(
    r"hr_[0-9A-Za-z]{16,}|\b(?:sk|pk|hf|gsk|xai|whsec)[-_][\w-]{8,}|(?i:bearer)\s+\S+|(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"
)
MASK = "***"


def configure_logging(process: str, *, style: str | None = None, level: int = logging.INFO) -> None:
    """Set up structlog and the standard library's logging for this process, to stderr; its name and pid are in all lines.

    `style` is HEADRACE_LOGS: `people` or `json`; anything else means people on a terminal and JSON elsewhere.
    """
    people = style == "people" or (style != "json" and sys.stderr.isatty())
    renderer = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one shows what variables held
        )
        if people
        else structlog.processors.JSONRenderer()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _name_process(process),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Redaction comes last before the line is written, so that nothing that an earlier step adds escapes it.
    finish: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        renderer,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
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
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _name_process(process: str) -> Any:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        event.setdefault("pid", os.getpid())
        return event

    return add


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask values that have a secret's name, and whatever looks like a key in any text."""
    return {name: MASK if SECRET_NAME.search(name) else _masked(value) for name, value in event.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return SECRET.sub(MASK, value)
    if isinstance(value, dict):
        return {key: MASK if SECRET_NAME.search(str(key)) else _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value
