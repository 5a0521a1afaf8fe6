"""The Redis client and connection: replies in order, errors as errors, and no caller ever hangs."""

import asyncio

import pytest

from tests.waiting import PATIENCE_S
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RedisConnection, ReplyError
from workers.stream.pubsub import Subscriber


async def test_replies_come_in_the_order_of_the_requests(redis_url: str) -> None:
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    answers = await asyncio.gather(*(redis_client.send([("SET", f"k{n}", n), ("GET", f"k{n}")]) for n in range(200)))
    assert [[b"OK", str(n).encode()] for n in range(200)] == answers
    await redis_client.close()


async def test_an_error_reply_reaches_only_its_caller(redis_url: str) -> None:
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    bad, good = await redis_client.send([("HGET", "only-a-key"), ("PING",)])
    assert (True, b"PONG") == (isinstance(bad, ReplyError), good)
    with pytest.raises(ReplyError):
        await redis_client.call("NO-SUCH-COMMAND")
    await redis_client.close()


async def test_a_redis_that_is_down_fails_at_once(unused_tcp_port: int) -> None:
    redis_client = RedisClient(RedisAddress(port=unused_tcp_port))
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(500):
            with pytest.raises(RedisUnavailable):
                await redis_client.call("PING")


async def test_a_frozen_redis_does_not_block_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.redis.connection.REPLY_TIMEOUT_S", 0.2)
    disconnected = asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        disconnected.set()

    server = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    redis_client = RedisClient(RedisAddress(host="127.0.0.1", port=server.sockets[0].getsockname()[1]))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(RedisUnavailable):
            await redis_client.call("PING")
        await redis_client.close()
        server.close()
        await disconnected.wait()


async def test_a_lost_connection_is_reopened(redis_url: str) -> None:
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    await redis_client.call("PING")
    assert redis_client._connection is not None
    redis_client._connection.abort()
    assert b"PONG" == await redis_client.call("PING")
    await redis_client.close()


async def test_a_wrong_password_is_reported_as_unavailable(redis_url: str) -> None:
    address = RedisAddress.from_url(redis_url)
    redis_client = RedisClient(RedisAddress(host=address.host, port=address.port, password="wrong"))
    with pytest.raises(RedisUnavailable):
        await redis_client.call("PING")
    await redis_client.close()


async def test_a_subscriber_with_a_wrong_password_keeps_trying(redis_url: str) -> None:
    address = RedisAddress.from_url(redis_url)
    subscriber = Subscriber(RedisAddress(host=address.host, port=address.port, password="wrong"), print)
    subscriber.start()
    assert not await subscriber.subscribe("a", timeout_s=0.1)
    subscriber._address = address
    async with asyncio.timeout(PATIENCE_S):
        while not await subscriber.subscribe("a"):
            pass
    await subscriber.close()


async def test_a_reply_without_a_request_closes_the_connection() -> None:
    async def reject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR max number of clients reached\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(reject, "127.0.0.1", 0) as server:
        address = RedisAddress(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        connection = await RedisConnection.open(address)
        async with asyncio.timeout(PATIENCE_S):
            await connection.closed.wait()
        with pytest.raises(ConnectionError):
            await connection.request(b"", 1)


def test_the_password_is_not_in_the_repr() -> None:
    assert "s3cret" not in repr(RedisAddress.from_url("redis://:s3cret@localhost:1/2"))


async def test_a_subscriber_reconnects_and_reports_a_gap(redis_url: str) -> None:
    address = RedisAddress.from_url(redis_url)
    received: asyncio.Queue[bytes] = asyncio.Queue()
    gap = asyncio.Event()
    subscriber, redis_client = (
        Subscriber(address, lambda _, data: received.put_nowait(data), gap.set),
        RedisClient(address),
    )
    subscriber.start()
    assert await subscriber.subscribe("a")
    await redis_client.call("PUBLISH", "a", "one")
    assert subscriber._connection is not None
    async with asyncio.timeout(PATIENCE_S):
        assert b"one" == await received.get()
        subscriber._connection.abort()
        await gap.wait()
        await redis_client.call("PUBLISH", "a", "two")
        assert b"two" == await received.get()
    await subscriber.close()
    await redis_client.close()


@pytest.mark.parametrize("error", ["READONLY You can't write", "LOADING in memory", "NOAUTH Authentication required."])
async def test_a_redis_that_is_no_longer_the_right_one_is_left(error: str) -> None:
    """A client that stayed connected would never reach the replica that was promoted."""
    answers, connections = [f"-{error}\r\n".encode()], 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(1000):
            writer.write(answers[-1])
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        redis_client = RedisClient(RedisAddress(host="127.0.0.1", port=server.sockets[0].getsockname()[1]))
        with pytest.raises(RedisUnavailable):
            await redis_client.call("SET", "a", "b")
        answers.append(b"+OK\r\n")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert b"OK" == await redis_client.call("SET", "a", "b")
                    break
                except RedisUnavailable:
                    await asyncio.sleep(0.01)
        assert 2 == connections
        await redis_client.close()


@pytest.mark.parametrize("error", ["OOM command not allowed", "MISCONF Redis is configured to save RDB snapshots"])
async def test_a_redis_that_takes_no_writes_is_unavailable_and_can_still_be_read(error: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(b"+read\r\n" if b"GET" in data else f"-{error}\r\n".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        redis_client = RedisClient(RedisAddress(host="127.0.0.1", port=server.sockets[0].getsockname()[1]))
        with pytest.raises(RedisUnavailable):
            await redis_client.call("SET", "a", "b")
        assert b"read" == await redis_client.call("GET", "a")
        await redis_client.close()


async def test_a_frozen_redis_is_skipped_until_it_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, writers = True, list[asyncio.StreamWriter]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while data := await reader.read(1000):
            if not silent:
                writer.write(b"+PONG\r\n" * data.count(b"PING"))
        writer.close()

    monkeypatch.setattr("workers.redis.connection.REPLY_TIMEOUT_S", 0.1)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE_S):
        redis_client = RedisClient(RedisAddress(host="127.0.0.1", port=server.sockets[0].getsockname()[1]))
        with pytest.raises(RedisUnavailable):
            await redis_client.call("PING")
        monkeypatch.setattr("workers.redis.connection.REPLY_TIMEOUT_S", 10 * PATIENCE_S)  # who waits now fails
        for _ in range(100):
            with pytest.raises(RedisUnavailable):
                await redis_client.call("PING")
            await asyncio.sleep(0.01)
        silent = False
        for writer in writers:
            writer.close()
        while True:
            try:
                assert b"PONG" == await redis_client.call("PING")
                break
            except RedisUnavailable:
                await asyncio.sleep(0.01)
        await redis_client.close()


async def test_what_speaks_another_protocol_is_unavailable_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()  # until the other side has gone
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE_S):
        port = server.sockets[0].getsockname()[1]
        connection = await RedisConnection.open(RedisAddress(host="127.0.0.1", port=port))
        with pytest.raises(ConnectionError, match="does not speak Redis' protocol"):
            await connection.request(b"PING\r\n", 1)
        await connection.close()
        await asyncio.sleep(0)
    assert "Traceback" not in caplog.text
