"""A consumer whose thread is woken by messages only, and that sends task events to Flower in batches, a few times a second.

Celery publishes each task event at once and blocks the thread that it occurs on, which took 2 of the 6.5 ms between a
doorbell and the first token. Here events stay in Celery's buffer, and are sent together from the consumer's thread.
`worker_consumer` is a documented setting, and bootsteps are how Celery is extended.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.events import Events

log = structlog.get_logger()

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 2.0
FLUSH_S = 0.25
BUFFER_LIMIT = 10_000  # Celery flushes a full buffer at once, on the event loop; FLUSH_S is too short to fill this one


class QuietConsumer(Consumer):
    """A consumer that buffers task events, which `FlushEvents` sends, acknowledges where the task has ended, and does not wait
    long for a broker that was away."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying every two seconds: Celery's own pauses grow to half a minute, and each of its tries is a line."""
        conn.ensure_connection = partial(_connect, conn.ensure_connection)
        return super().ensure_connected(conn)

    def on_send_event_buffered(self) -> None:
        """Do nothing, so that the event stays in the buffer."""

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Acknowledge a message, on the event loop's thread. Without acknowledgements in Redis that only counts a slot as free
        (in a set of kombu's), so the consumer's thread is woken only if it may wait for one."""
        pool: Any = self.pool
        if pool.has_few_slots:
            return super().call_soon_ack(p, *args, **kwargs)
        try:
            p(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 -- of a connection that is gone, and its count with it
            log.debug("acknowledgement_dropped", error=type(error).__name__)
        return p


def _connect(connect: Callable[..., Any], _: Callable[..., None], max_retries: int | None, **options: Any) -> Any:
    """Connect by kombu's `connect`, in whose parameters the first is what is called after each failure."""
    pauses = {"interval_start": FIRST_RETRY_S, "interval_step": FIRST_RETRY_S, "interval_max": LAST_RETRY_S}
    return connect(_on_failure, max_retries, **options, **pauses)


def _on_failure(error: Exception, _: float) -> None:
    log.warning("broker_unavailable", error=type(error).__name__)


class AmqpConsumer(QuietConsumer):
    """The same over RabbitMQ, where an acknowledgement is written to a connection that is the consumer's thread's alone."""

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Acknowledge a message, on the consumer's thread."""
        return Consumer.call_soon_ack(self, p, *args, **kwargs)


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
