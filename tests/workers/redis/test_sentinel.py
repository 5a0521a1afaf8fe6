"""Whom sentinels are believed to call the master, and what becomes of a connection to one that is replaced."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from tests.waiting import PATIENCE_S
from workers.redis import sentinel
from workers.redis.address import RedisAddress, Sentinels
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.sentinel import MasterUnknown, find_master

MASTER = ("10.0.0.1", 6379)
REPLACED = ("10.0.0.2", 6379)


@asynccontextmanager
async def server(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """Something that answers what it is asked; returns its port."""

    writers = list[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(answer(data))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as opened:
        yield opened.sockets[0].getsockname()[1]
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def naming(place: tuple[str, int] | None) -> Callable[[bytes], bytes]:
    """A sentinel that says that the master is there."""
    if place is None:
        return lambda _: b"*-1\r\n"
    host, port = place[0], str(place[1])
    reply = f"*2\r\n${len(host)}\r\n{host}\r\n${len(port)}\r\n{port}\r\n".encode()
    return lambda _: reply


def called(role: str) -> Callable[[bytes], bytes]:
    """A server that says so of itself."""
    return lambda data: f"*1\r\n${len(role)}\r\n{role}\r\n".encode() if b"ROLE" in data else b"+PONG\r\n"


async def found(stack: AsyncExitStack, *answers: Callable[[bytes], bytes], ports: tuple[int, ...] = ()) -> RedisAddress:
    """The address of sentinels that answer so, and of others."""
    asked = [*ports, *[await stack.enter_async_context(server(answer)) for answer in answers]]
    return RedisAddress(sentinels=Sentinels(tuple(("127.0.0.1", port) for port in asked), "mymaster"))


async def test_one_that_is_cut_off_from_the_others_is_not_believed() -> None:
    async with AsyncExitStack() as stack:
        address = await found(stack, naming(REPLACED), naming(MASTER), naming(MASTER))
        assert MASTER == await find_master(address)


async def test_one_is_enough_where_the_others_are_away_or_watch_nobody(unused_tcp_port: int) -> None:
    async with AsyncExitStack() as stack:
        address = await found(stack, naming(None), naming(MASTER), ports=(unused_tcp_port,))
        assert MASTER == await find_master(address)


async def test_a_sentinel_that_says_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinel, "ASK_TIMEOUT_S", 2 * PATIENCE_S)
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        address = await found(stack, lambda _: b"", naming(MASTER), naming(MASTER))
        assert MASTER == await find_master(address)


async def test_without_a_sentinel_that_knows_it_there_is_no_master(unused_tcp_port: int) -> None:
    async with AsyncExitStack() as stack:
        address = await found(
            stack, naming(None), lambda _: b"-NOAUTH Authentication required.\r\n", ports=(unused_tcp_port,)
        )
        with pytest.raises(MasterUnknown):
            await find_master(address)


@pytest.mark.parametrize(("role", "answers"), [("master", True), ("slave", False), ("sentinel", False)])
async def test_what_the_sentinels_name_must_call_itself_a_master(role: str, answers: bool) -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(server(called(role)))
        redis = RedisClient(await found(stack, *[naming(("127.0.0.1", port))] * 3))
        stack.push_async_callback(redis.close)
        if answers:
            assert b"PONG" == await redis.call("PING")
        else:
            with pytest.raises(RedisUnavailable):
                await redis.call("PING")


async def test_a_master_that_was_replaced_and_runs_on_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut off from its sentinels, but not from us: nobody else would tell us."""
    monkeypatch.setattr(sentinel, "CHECK_EVERY_S", 0.05)
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        old, new = [await stack.enter_async_context(server(called("master"))) for _ in range(2)]
        named = [naming(("127.0.0.1", old))]

        def name_the_latest(asked: bytes) -> bytes:
            return named[-1](asked)

        redis = RedisClient(await found(stack, *[name_the_latest] * 3))
        stack.push_async_callback(redis.close)
        assert b"PONG" == await redis.call("PING")
        first = redis._connection
        assert first is not None
        named.append(naming(("127.0.0.1", new)))
        await first.closed.wait()
        assert b"PONG" == await redis.call("PING")
        assert redis._connection is not None
        assert new == redis._connection._transport.get_extra_info("peername")[1]
