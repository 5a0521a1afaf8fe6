"""The metrics of one process, from its start on: shared with the API on this machine, or served by the process itself."""

import hmac
import threading
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.core import Metric

from schema.errors import MetricsPortTaken
from schema.metrics.catalog import begin_at_zero
from schema.metrics.exposition import CONTENT_TYPE, read_families, render
from schema.metrics.settings import MetricsSettings
from schema.metrics.shared_values import Slot, share_values

PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class ProcessMetrics:
    """What is read of this process, whose role it is; with a `slot`, of all on this machine."""

    role: str
    slot: Slot | None = None
    token: str = field(default="", repr=False)

    def read(self) -> list[Metric]:
        """Return all metrics with their values. Takes milliseconds and reads files: to be called in a thread."""
        return read_families(self.slot, self.role)

    def accepts(self, credentials: str) -> bool:
        """Whether a value of the header `Authorization` is the scraper's."""
        scheme, _, token = credentials.partition(" ")
        return bool(self.token) and scheme.lower() == "bearer" and same(token.strip(), self.token)


def same(one: str, other: str) -> bool:
    """Compare in a time that doesn't tell how much of it is right."""
    return hmac.compare_digest(one.encode(), other.encode())


def start_metrics(
    settings: MetricsSettings, redis_url: str, role: str, environ: MutableMapping[str, str]
) -> ProcessMetrics:
    """Keep what this process counts where it is read; called once, before anything is counted. Raises MetricsPortTaken."""
    if settings.port is None:
        slot = share_values(_installation(redis_url), role, environ)
        begin_at_zero()
        return ProcessMetrics(role, slot, settings.token)
    begin_at_zero()
    metrics = ProcessMetrics(role, None, settings.token)
    _serve(metrics, settings.host, settings.port)
    return metrics


def _installation(redis_url: str) -> str:
    """Return what the processes of an installation have in common: their Redis, without its password."""
    place, _, query = redis_url.partition("://")[2].partition("?")
    return f"{place.rpartition('@')[2]}?{query}"


def _serve(metrics: ProcessMetrics, host: str, port: int) -> None:
    try:
        server = ThreadingHTTPServer((host, port), _handler(metrics))
    except OSError as error:
        raise MetricsPortTaken(
            f"HEADRACE_METRICS_PORT={port} can't be listened on at {host} ({error.strerror}). Each process of a machine needs "
            "a port of its own; without this setting, a scrape of the API shows all processes of its machine."
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _handler(metrics: ProcessMetrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # of a client that sends nothing

        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in ("/metrics", "/metrics/prometheus"):
                self.answer(404, PLAIN, b"Metrics are at /metrics.\n")
            elif metrics.token and not metrics.accepts(self.headers.get("Authorization", "")):
                self.answer(401, PLAIN, b"Send the token of HEADRACE_METRICS_TOKEN.\n")
            else:
                self.answer(200, CONTENT_TYPE, render(metrics.read()))

        def answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    return Handler
