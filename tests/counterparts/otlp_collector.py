"""A collector of traces: takes what OpenTelemetry's exporters send over HTTP, and keeps it. Use as `with`."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

FAILED = 2


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it came; ids are hex. `links` are (trace, span)."""

    service: str
    instance: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, Any]
    failed: bool
    began_ns: int
    ended_ns: int


class OtlpCollector:
    """Listens at `url`. `status` is what it answers, `delay_s` how long it takes to; `raw` are all bytes that came. With
    `unread` it keeps nothing."""

    def __init__(self, *, unread: bool = False) -> None:
        self._unread = unread
        self.spans: list[CollectedSpan] = []
        self.raw: list[bytes] = []
        self.status, self.delay_s = 200, 0.0
        self._closing = threading.Event()

    def __enter__(self) -> "OtlpCollector":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        """The spans of a trace."""
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    def take(self, body: bytes) -> int:
        """Keep what a request says; return the status to answer with."""
        if self.delay_s:
            self._closing.wait(self.delay_s)
        if self.status == 200 and not self._unread:
            self.raw.append(body)
            self.spans += _read(body)
        return self.status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                status = collector.take(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler


def _read(body: bytes) -> Iterator[CollectedSpan]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    service=resource["service.name"],
                    instance=resource.get("service.instance.id", ""),
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    attributes=_attributes(span.attributes),
                    failed=span.status.code == FAILED,
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None


def serve_forever(*, unread: bool) -> None:
    """Print what comes: `python -m tests.counterparts.otlp_collector`; nothing of it with `--unread`."""
    with OtlpCollector(unread=unread) as collector:
        print(f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.url}", flush=True)
        shown = 0
        while True:
            time.sleep(0.2)
            for span in collector.spans[shown:]:
                took_ms = (span.ended_ns - span.began_ns) / 1e6
                print(f"{span.trace_id[:8]} {span.service:18} {took_ms:8.1f} ms  {span.name}", flush=True)
                shown += 1


if __name__ == "__main__":
    serve_forever(unread="--unread" in sys.argv)
