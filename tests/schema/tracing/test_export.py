"""The way of spans to the collector: whoever ends a span never waits for it, and what is lost is counted."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from schema.metrics.catalog import TRACE_SPANS
from schema.tracing.export import QueuedExport
from schema.tracing.process import start_tracing
from schema.tracing.sdk import SdkRecorder
from schema.tracing.settings import TracingSettings
from schema.tracing.spans import entry_span, record_with
from tests.counterparts.otlp_collector import OtlpCollector
from tests.waiting import wait_until


class HeldExporter(SpanExporter):
    """Takes spans when it is let go."""

    def __init__(self) -> None:
        self.taken, self.let_go, self.called = list[ReadableSpan](), threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.called.set()
        self.let_go.wait()
        self.taken += spans
        return SpanExportResult.SUCCESS


def counted(outcome: str) -> float:
    child: Any = TRACE_SPANS.of(outcome)
    return child._value.get()


def test_what_a_frozen_collector_has_no_room_for_is_dropped_and_counted() -> None:
    exporter, before = HeldExporter(), (counted("exported"), counted("dropped"))
    queue = QueuedExport(exporter, queue_size=5, batch=2, delay_s=0.001)
    record_with(SdkRecorder(queue, {}, records_content=False))
    try:
        for _ in range(2):  # the first batch is on its way, and hangs
            with entry_span("first", "server"):
                pass
        exporter.called.wait()
        in_flight = 2 - len(queue._queue)
        for _ in range(20):
            with entry_span("more", "server"):
                pass
    finally:
        record_with(None)
        exporter.let_go.set()
        queue.close(60)
    taken = in_flight + 5
    assert taken == len(exporter.taken)
    assert (before[0] + taken, before[1] + 22 - taken) == (counted("exported"), counted("dropped"))


def test_the_end_of_a_process_does_not_wait_for_a_frozen_collector() -> None:
    exporter, before, exported = HeldExporter(), counted("dropped"), counted("exported")
    queue = QueuedExport(exporter, queue_size=10, batch=1, delay_s=60)
    record_with(SdkRecorder(queue, {}, records_content=False))
    with entry_span("on its way", "server"):
        pass
    exporter.called.wait()
    with entry_span("waits", "server"):
        pass
    record_with(None)
    queue.close(0.01)
    assert before + 1 == counted("dropped")
    exporter.let_go.set()
    wait_until(lambda: counted("exported") == exported + 1, "what was on its way has come")


@pytest.mark.parametrize("status", [200, 400])
def test_the_end_of_a_process_sends_what_waits(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exported, dropped = counted("exported"), counted("dropped")
    with OtlpCollector() as collector:
        collector.status = status
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        stop = start_tracing(TracingSettings(exporter="otlp", delay_s=60), "chat")
        with entry_span("request", "server", {"a": 1, "none": None, "list": ["b", "c"]}):
            pass
        stop()
        wait_until(lambda: counted("exported") + counted("dropped") == exported + dropped + 1, "it is counted")
        assert ["request"] * (status == 200) == [span.name for span in collector.spans]
        assert (status == 200) == (counted("exported") == exported + 1)
    for span in collector.spans:
        assert ("headrace-chat", {"a": 1, "list": ["b", "c"]}) == (span.service, span.attributes)
        assert span.instance.startswith("chat-")


def test_nobody_listens_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = counted("dropped")
    with OtlpCollector() as collector:
        url = collector.url
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    stop = start_tracing(TracingSettings(exporter="otlp", delay_s=60), "chat")
    with entry_span("request", "server"):
        pass
    stop()
    wait_until(lambda: counted("dropped") == dropped + 1, "it is counted")
