"""Clients are judged by time in which somebody listened: while the event loop stood still, nobody did."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.http.connections import STOOD_STILL_S, RunningClock, check_connections, connection_class

HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"


class Transport(asyncio.Transport):
    """What a connection writes to: `unread` bytes wait in it for the client, who reads nothing."""

    def __init__(self, unread: int = 0) -> None:
        super().__init__()
        self.unread, self.sent, self.closed, self.socket = unread, b"", False, socket.socket()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        self.closed = True

    close = abort


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


def connected(time: Time, transport: Transport) -> tuple[Any, RunningClock]:
    clock = RunningClock(time)
    protocol = connection_class(head_s=10, body_s=15, unread_s=30, hangs_up_on=lambda _: False, clock=clock)
    config = uvicorn.Config(never, lifespan="off", log_config=None)
    config.load()
    connection = protocol(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(transport)
    return connection, clock


def run_for(time: Time, connection: Any, clock: RunningClock, seconds: int) -> None:
    for _ in range(4 * seconds):
        time.now += 0.25
        check_connections([connection], clock)


@pytest.mark.parametrize(
    ("said", "unread", "limit_s", "answer"),
    [(b"POST /x", 0, 10, b"408"), (HEAD, 0, 15, b"408"), (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 5000, 30, b"")],
    ids=["a head", "a body", "a response"],
)
async def test_a_client_has_its_whole_time_although_the_server_stood_still(
    said: bytes, unread: int, limit_s: int, answer: bytes
) -> None:
    time, transport = Time(), Transport(unread)
    connection, clock = connected(time, transport)
    connection.data_received(said)
    run_for(time, connection, clock, limit_s // 2)
    time.now += 3600
    check_connections([connection], clock)
    run_for(time, connection, clock, limit_s // 2 - 1)
    assert (b"", False) == (transport.sent, transport.closed)
    run_for(time, connection, clock, 4)
    assert bool(transport.sent) is bool(answer)
    assert answer in transport.sent[:20]
    assert transport.closed or answer
    transport.socket.close()
    for task in connection.tasks:
        task.cancel()


def test_a_tick_that_is_a_little_late_counts() -> None:
    time = Time()
    clock = RunningClock(time)
    before = clock()
    for _ in range(10):
        time.now += STOOD_STILL_S
        clock.tick()
    assert 10 * STOOD_STILL_S == clock() - before
