"""Celery's consumer, telling Flower what happens a few times a second instead of at once.

Celery publishes each task event as it comes, blocking whichever thread it came on; between the doorbell and the first
token that was 2 of 6.5 ms. Here events gather (Celery's own buffer) and go out together, always from the consumer's thread.
`worker_consumer` is a documented setting, and bootsteps are how Celery is extended.
"""

from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.events import Events

FLUSH_S = 0.25
BUFFERED = 10_000  # Celery flushes a full buffer at once, on the event loop; this many never gather in FLUSH_S


class GatheringConsumer(Consumer):
    """The consumer; `GatherEvents` does what this no longer does for every event."""

    def on_send_event_buffered(self) -> None:
        """Leave the event in the buffer."""


class GatherEvents(bootsteps.StartStopStep):
    """Flushes the buffer now and then, from the consumer's thread."""

    requires = (Events,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        """Called for every connection to the broker."""
        self.stop(parent)
        if parent.event_dispatcher is not None:
            parent.event_dispatcher.buffer_limit = BUFFERED
        self._timer = parent.timer.call_repeatedly(FLUSH_S, parent._flush_events)

    def stop(self, parent: Any) -> None:
        """Stop flushing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
