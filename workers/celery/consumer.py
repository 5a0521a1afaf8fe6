"""A consumer that sends task events to Flower in batches, a few times a second.

Celery publishes each task event at once and blocks the thread that it occurs on, which took 2 of the 6.5 ms between a
doorbell and the first token. Here events stay in Celery's buffer, and are sent together from the consumer's thread.
`worker_consumer` is a documented setting, and bootsteps are how Celery is extended.
"""

from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.events import Events

FLUSH_S = 0.25
BUFFER_LIMIT = 10_000  # Celery flushes a full buffer at once, on the event loop; FLUSH_S is too short to fill this one


class BufferingConsumer(Consumer):
    """A consumer that buffers task events; `FlushEvents` sends them."""

    def on_send_event_buffered(self) -> None:
        """Do nothing, so that the event stays in the buffer."""


class FlushEvents(bootsteps.StartStopStep):
    """Flushes the buffer at intervals, from the consumer's thread."""

    requires = (Events,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        """Start flushing; Celery calls this for every connection to the broker."""
        self.stop(parent)
        if parent.event_dispatcher is not None:
            parent.event_dispatcher.buffer_limit = BUFFER_LIMIT
        self._timer = parent.timer.call_repeatedly(FLUSH_S, parent._flush_events)

    def stop(self, parent: Any) -> None:
        """Stop flushing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
