"""The raw Redis connection: replies in order, errors as errors, and never a caller that hangs."""

import asyncio

import pytest

from tests.waiting import PATIENCE_S
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RedisAddress, RedisConnection, ReplyError
from workers.stream.pubsub import Subscriber


async def test_replies_come_in_the_order_of_the_requests(redis_url: str) -> None:
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    answers = await asyncio.gather(*(redis_client.send([("SET", f"k{n}", n), ("GET", f"k{n}")]) for n in range(200)))
    assert [[b"OK", str(n).encode()] for n in range(200)] == answers
    await redis_client.close()


async def test_an_error_reply_is_the_callers_and_nobody_elses(redis_url: str) -> None:
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


async def test_a_frozen_redis_does_not_hold_its_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.redis.connection.REPLY_S", 0.2)
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    redis_client = RedisClient(RedisAddress(host="127.0.0.1", port=silent.sockets[0].getsockname()[1]))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(RedisUnavailable):
            await redis_client.call("PING")
        await redis_client.close()
        silent.close()
        await left.wait()


async def test_a_lost_connection_is_made_again(redis_url: str) -> None:
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    await redis_client.call("PING")
    assert redis_client._connection is not None
    redis_client._connection.abort()
    assert b"PONG" == await redis_client.call("PING")
    await redis_client.close()


async def test_a_wrong_password_is_down_and_not_a_crash(redis_url: str) -> None:
    address = RedisAddress.from_url(redis_url)
    redis_client = RedisClient(
        RedisAddress(host=address.host, port=address.port, hello=(("AUTH", "default", "wrong"),))
    )
    with pytest.raises(RedisUnavailable):
        await redis_client.call("PING")
    await redis_client.close()


async def test_a_subscriber_with_a_wrong_password_goes_on_trying(redis_url: str) -> None:
    address = RedisAddress.from_url(redis_url)
    ear = Subscriber(RedisAddress(host=address.host, port=address.port, hello=(("AUTH", "default", "wrong"),)), print)
    ear.start()
    assert not await ear.subscribe("a", timeout_s=0.1)
    ear._address = address
    async with asyncio.timeout(PATIENCE_S):
        while not await ear.subscribe("a"):
            pass
    await ear.close()


async def test_a_reply_to_nothing_ends_the_connection() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR max number of clients reached\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as full:
        address = RedisAddress(host="127.0.0.1", port=full.sockets[0].getsockname()[1])
        connection = await RedisConnection.open(address)
        async with asyncio.timeout(PATIENCE_S):
            await connection.gone.wait()
        with pytest.raises(ConnectionError):
            await connection.request(b"", 1)


def test_the_password_is_in_no_repr() -> None:
    assert "s3cret" not in repr(RedisAddress.from_url("redis://:s3cret@localhost:1/2"))


async def test_an_ear_hears_again_after_a_lost_connection_and_says_that_it_missed_something(redis_url: str) -> None:
    address = RedisAddress.from_url(redis_url)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    missed = asyncio.Event()
    ear, redis_client = Subscriber(address, lambda _, data: heard.put_nowait(data), missed.set), RedisClient(address)
    ear.start()
    assert await ear.subscribe("a")
    await redis_client.call("PUBLISH", "a", "one")
    assert ear._connection is not None
    async with asyncio.timeout(PATIENCE_S):
        assert b"one" == await heard.get()
        ear._connection.abort()
        await missed.wait()
        await redis_client.call("PUBLISH", "a", "two")
        assert b"two" == await heard.get()
    await ear.close()
    await redis_client.close()
