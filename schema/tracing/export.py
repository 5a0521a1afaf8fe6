"""Sends spans that have ended to the collector, from a thread of its own: whoever ends a span never waits.

At most `queue_size` spans wait. What comes while that many do, and what the collector doesn't take, is dropped and counted
(`trace_spans_total`). OpenTelemetry's own processor doesn't count, has no bound for its end, and starts threads in forked
children.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from schema.metrics.catalog import TRACE_SPANS

log = structlog.get_logger()


class QueuedExport(SpanProcessor):
    """The processor of a process. `delay_s` is how long a span waits for others, `batch` how many are sent at once."""

    def __init__(self, exporter: SpanExporter, *, queue_size: int, batch: int, delay_s: float) -> None:
        self._exporter, self._queue_size, self._batch, self._delay_s = exporter, queue_size, batch, delay_s
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._lost_at: float | None = None
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only spans that have ended are sent."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        if len(self._queue) >= self._queue_size or self._closing:
            TRACE_SPANS.of("dropped").inc()
            return
        self._queue.append(span)
        if len(self._queue) >= self._batch:
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Send what waits, for no longer than that; the rest is dropped."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        left = len(self._take(self._queue_size))
        if left:
            TRACE_SPANS.of("dropped").inc(left)
            log.warning("traces_dropped", spans=left)
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._delay_s)
            self._wake.clear()
            self._send_batch()
            while len(self._queue) >= self._batch:
                self._send_batch()
        while self._queue:
            self._send_batch()

    def _send_batch(self) -> None:
        spans = self._take(self._batch)
        if spans:
            sent = self._send(spans)
            TRACE_SPANS.of("exported" if sent else "dropped").inc(len(spans))
            self._note(sent, len(spans))

    def _take(self, most: int) -> list[ReadableSpan]:
        spans = list[ReadableSpan]()
        with suppress(IndexError):  # none is left; the thread and the end of the process may both take
            while len(spans) < most:
                spans.append(self._queue.popleft())
        return spans

    def _send(self, spans: Sequence[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 -- an edge: nothing that an exporter does may end the thread
            return False

    def _note(self, sent: bool, spans: int) -> None:
        """Log when the collector is lost, and when it is back."""
        if not sent:
            self._lost += spans
            if self._lost_at is None:
                self._lost_at = time.monotonic()
                log.warning("traces_not_exported", spans=spans)
        elif self._lost_at is not None:
            log.info("traces_exported_again", after_s=round(time.monotonic() - self._lost_at, 1), dropped=self._lost)
            self._lost_at, self._lost = None, 0
