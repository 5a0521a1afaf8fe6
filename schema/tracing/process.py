"""The traces of one process, from its start to its end."""

import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import structlog

from schema.tracing.settings import TracingSettings
from schema.tracing.spans import record_with

log = structlog.get_logger()

FLUSH_S = 3.0
"""How long the end of a process may wait for the collector."""


def do_nothing() -> None:
    """How traces end where none were begun."""


def start_tracing(settings: TracingSettings, role: str) -> Callable[[], None]:
    """Record spans of this process, if the settings ask for it. Return what ends that: it sends what was recorded, which takes
    FLUSH_S at most."""
    for name in settings.unused:
        log.warning("otel_setting_unused", setting=name)
    if settings.exporter is None:
        return do_nothing
    from schema.tracing.export import QueuedExport
    from schema.tracing.sdk import SdkRecorder

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `export.py` says what went wrong, once
    exporter = _exporter(settings.exporter)
    queue = QueuedExport(exporter, queue_size=settings.queue_size, batch=settings.batch, delay_s=settings.delay_s)
    record_with(SdkRecorder(queue, _resource(settings, role), records_content=settings.content))

    def stop() -> None:
        record_with(None)
        queue.close(FLUSH_S)

    return stop


def _exporter(name: str) -> Any:
    if name == "console":
        import sys

        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _resource(settings: TracingSettings, role: str) -> dict[str, Any]:
    """Return what all spans of the process have in common; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    return {
        "service.name": settings.service or f"headrace-{role}",
        "service.instance.id": f"{role}-{os.getpid()}@{socket.gethostname()}",
        "process.pid": os.getpid(),
    }
