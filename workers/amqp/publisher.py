"""Publishes doorbells to RabbitMQ, each confirmed: who rings must know whether the broker has it, or give the job back.

While RabbitMQ is unavailable, calls fail at once and a later one connects again, as with `workers/redis/client.py`: no caller
ever hangs. Queues are declared with each connection, so one that was deleted is back with the next. Not here: who consumes
(Celery), and what a doorbell says (`workers/queue/doorbell.py`).
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from schema.job_kinds import QUEUES
from workers.amqp.address import CONNECT_S, HEARTBEAT_S, QUEUE_ARGUMENTS, split, tls_context

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

log = structlog.get_logger()

CONFIRM_S = 3.0
"""How long RabbitMQ may take to confirm; one that is short of memory or disk confirms nothing."""
RETRY_S = 0.5


class BrokerUnavailable(ConnectionError):
    """RabbitMQ does not answer, or has not confirmed. A message may have arrived all the same."""


class Message(msgspec.Struct, frozen=True):
    """What is published to a queue: a Celery task in its second protocol."""

    queue: str
    id: str
    body: bytes
    headers: dict[str, Any]


class AmqpPublisher:
    """One connection and channel for all coroutines of a process."""

    def __init__(self, url: str) -> None:
        self._urls = split(url)
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._lock: asyncio.Lock = asyncio.Lock()
        self._retry_at = 0.0
        self._is_lost = False

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when the broker has all of them. Raises BrokerUnavailable; then it may have some."""
        channel = await self._open()
        try:
            async with asyncio.timeout(CONFIRM_S):
                sent = [self._publish(channel, message) for message in messages]
                results = await asyncio.gather(*sent, return_exceptions=True)
        except TimeoutError:
            results = [BrokerUnavailable("not confirmed")]
        if failed := next((result for result in results if isinstance(result, BaseException)), None):
            await self._lose(failed)
            raise BrokerUnavailable("RabbitMQ has not taken a doorbell.") from failed

    async def _publish(self, channel: "AbstractChannel", message: Message) -> None:
        import aio_pika

        await channel.default_exchange.publish(
            aio_pika.Message(
                message.body,
                headers=message.headers,
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=aio_pika.DeliveryMode.NOT_PERSISTENT,
                correlation_id=message.id,
            ),
            routing_key=message.queue,
        )

    async def count_waiting(self) -> dict[str, int]:
        """Return how many doorbells wait in each queue. Raises BrokerUnavailable."""
        channel = await self._open()
        counts = dict[str, int]()
        try:
            async with asyncio.timeout(CONFIRM_S):
                for name in QUEUES:
                    queue = await channel.declare_queue(name, durable=True, arguments=QUEUE_ARGUMENTS)
                    counts[name] = queue.declaration_result.message_count or 0
        except _errors() as error:
            await self._lose(error)
            raise BrokerUnavailable("RabbitMQ does not answer.") from error
        return counts

    async def server_properties(self) -> Mapping[str, Any]:
        """Return what the server says of itself, such as its `version`. Raises BrokerUnavailable."""
        await self._open()
        transport = None if self._connection is None else self._connection.transport
        return {} if transport is None else dict(transport.connection.server_properties)

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._close()

    async def _open(self) -> "AbstractChannel":
        if self._channel is not None and not self._channel.is_closed:
            return self._channel
        async with self._lock:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            if time.monotonic() < self._retry_at:
                raise BrokerUnavailable("RabbitMQ is unavailable.")
            await self._close()
            self._channel = await self._connect()
            if self._is_lost:
                log.info("broker_back")
                self._is_lost = False
            return self._channel

    async def _connect(self) -> "AbstractChannel":
        """Connect to the first node that answers, and make sure that the queues are there."""
        import aio_pika

        error: BaseException | None = None
        for url in self._urls:
            try:
                async with asyncio.timeout(CONNECT_S):
                    self._connection = await aio_pika.connect(url, ssl_context=tls_context(url), heartbeat=HEARTBEAT_S)
                    channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                    for name in QUEUES:
                        await channel.declare_queue(name, durable=True, arguments=QUEUE_ARGUMENTS)
                    return channel
            except _errors() as failed:
                error = failed
                await self._close()
        self._retry_at = time.monotonic() + RETRY_S
        self._note_lost(error)
        raise BrokerUnavailable("RabbitMQ is unavailable.") from error

    async def _lose(self, error: BaseException) -> None:
        self._note_lost(error)
        async with self._lock:
            await self._close()

    def _note_lost(self, error: BaseException | None) -> None:
        if not self._is_lost:  # one line of an outage; its message may name the user
            log.warning("broker_lost", error=type(error).__name__)
            self._is_lost = True

    async def _close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(*_errors()):
                async with asyncio.timeout(1):
                    await connection.close()


def _errors() -> tuple[type[BaseException], ...]:
    from aio_pika.exceptions import AMQPError
    from aiormq.exceptions import ChannelInvalidStateError

    return (AMQPError, ChannelInvalidStateError, OSError, TimeoutError)
