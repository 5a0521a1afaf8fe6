"""Connections on which requests come slowly, in pieces, too large or not at all are ended; slow but honest ones are served."""

import asyncio
import json
import select
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import psutil
import pytest

from api.local.local_stores import Stores
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.journeys.conftest import running
from tests.system import ModelProcess, System
from tests.waiting import PATIENCE_S, wait_for

SHORT = {"HEADRACE_HEADER_TIMEOUT_S": "1", "HEADRACE_BODY_TIMEOUT_S": "1", "HEADRACE_SLOW_CLIENT_S": "3"}
LARGE = b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
"""Its answer has 1 MB, and systems keep some MB of what nobody reads."""

CHUNKED = "Transfer-Encoding: chunked"


class Answer(NamedTuple):
    """What came before the connection ended. `status` is 0 if nothing did."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        return json.loads(self.body)


class Wire:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader, self._writer, self._key = reader, writer, key

    def send(self, data: str | bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data.encode() if isinstance(data, str) else data)

    def begin(self, line: str, *headers: str) -> None:
        """Send a whole head."""
        lines = (line, "Host: x", f"Authorization: Bearer {self._key}", *headers)
        self.send("".join(f"{line}\r\n" for line in lines) + "\r\n")

    def post(self, *headers: str, path: str = "/api/sessions") -> None:
        self.begin(f"POST {path} HTTP/1.1", "Content-Type: application/json", *headers)

    async def answer(self) -> Answer:
        """Return one response, of which the length is known."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, _, rest = head.decode().partition("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in rest.split("\r\n") if line)
            return Answer(
                int(status.split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))
            )

    async def rest(self) -> bytes:
        """Return what comes until the connection ends."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read()
        except ConnectionResetError:
            return b""

    async def dribble(self, piece: bytes, every_s: float) -> None:
        """Send a piece now and then, until the other side has had enough."""
        while not self._reader.at_eof() and not self._writer.is_closing():
            self.send(piece)
            await asyncio.sleep(every_s)

    def close(self) -> None:
        self._writer.close()


@pytest.fixture(scope="module")
def impatient(
    stores: Stores,
    shared: System,
    shared_url: str,
    provider: ModelProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """Another API process of the shared system, which waits for a second only."""
    folder = tmp_path_factory.mktemp("impatient")
    with running(
        System(shared_url, stores.redis_url, folder=folder, model_url=provider.base_url, roles=("api",), settings=SHORT)
    ) as api:
        yield api


@pytest.fixture
async def wires(impatient: System, tenant: TestTenant) -> AsyncIterator["Wires"]:
    """Connections to the impatient API process."""
    made = Wires(impatient.ports["api"], tenant.key)
    yield made
    for wire in made.all:
        wire.close()


class Wires:
    def __init__(self, port: int, key: str) -> None:
        self.port, self.key, self.all = port, key, list[Wire]()

    async def connect(self) -> Wire:
        self.all.append(Wire(*await asyncio.open_connection("127.0.0.1", self.port), self.key))
        return self.all[-1]


async def test_half_sent_headers_are_408(wires: Wires) -> None:
    wire = await wires.connect()
    wire.send("GET /api/jobs HTTP/1.1\r\nHost: x\r\nX-A: b")
    answer = await wire.answer()
    assert (answer.status, answer.problem["code"], answer.headers["connection"]) == (408, "request_timeout", "close")
    assert answer.headers["x-request-id"] == answer.problem["request_id"]
    assert (answer.headers["x-content-type-options"], answer.problem["instance"]) == ("nosniff", "/api/jobs")
    assert b"" == await wire.rest()


async def test_headers_that_come_byte_by_byte_are_408(wires: Wires) -> None:
    wire = await wires.connect()
    wire.send("GET /v1/models HTTP/1.1\r\n")
    dribbling = asyncio.create_task(wire.dribble(b"X-A: b\r\n", 0.1))
    answer = await wire.answer()
    assert (answer.status, answer.problem["error"]["code"]) == (408, "request_timeout")
    await wire.rest()
    dribbling.cancel()


@pytest.mark.parametrize("piece", [b"", b"\r\n"])
async def test_a_connection_without_a_request_is_closed(wires: Wires, piece: bytes) -> None:
    wire = await wires.connect()
    wire.send(piece)
    told = await wire.rest()
    assert told[:12] in (b"", b"HTTP/1.1 408")


async def test_blank_lines_keep_no_connection_open_after_a_response(wires: Wires) -> None:
    wire = await wires.connect()
    wire.begin("GET /health/ready HTTP/1.1")
    assert 200 == (await wire.answer()).status
    dribbling = asyncio.create_task(wire.dribble(b"\r\n", 0.1))
    assert 408 == (await wire.answer()).status
    await wire.rest()
    dribbling.cancel()


@pytest.mark.parametrize("path", ["/api/sessions", "/api/documents"])
@pytest.mark.parametrize("head", ["Content-Length: 1000000", CHUNKED])
async def test_a_body_that_stays_out_is_408(wires: Wires, head: str, path: str) -> None:
    wire = await wires.connect()
    wire.post(head, path=path)
    wire.send(b'5\r\n{"tit' if head == CHUNKED else b'{"tit')
    answer = await wire.answer()
    assert (answer.status, answer.problem["code"]) == (408, "request_timeout")
    assert b"" == await wire.rest()


async def test_a_body_that_dribbles_is_408(wires: Wires) -> None:
    wire = await wires.connect()
    wire.post("Content-Length: 1000000")
    dribbling = asyncio.create_task(wire.dribble(b" ", 0.1))
    assert 408 == (await wire.answer()).status
    await wire.rest()
    dribbling.cancel()


async def test_a_slow_body_is_taken_as_long_as_it_makes_progress(wires: Wires) -> None:
    """Slower than any mobile network, and three times as long as silence may be."""
    wire = await wires.connect()
    body = json.dumps({"title": "x" * 100}).encode() + b" " * 6000
    wire.post(f"Content-Length: {len(body)}")
    for start in range(0, len(body), 200):
        wire.send(body[start : start + 200])
        await asyncio.sleep(0.1)
    assert 201 == (await wire.answer()).status


async def test_a_client_that_waits_for_100_continue_is_not_called_slow(wires: Wires) -> None:
    wire = await wires.connect()
    wire.post("Content-Length: 2", "Expect: 100-continue")
    async with asyncio.timeout(PATIENCE_S):
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == await wire._reader.readuntil(b"\r\n\r\n")
    wire.send("{}")
    assert 201 == (await wire.answer()).status


async def test_the_rest_of_a_body_that_was_refused_early_does_not_hold_the_connection(wires: Wires) -> None:
    """The client gets its answer, and may finish sending."""
    wire = await wires.connect()
    wire.send("POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + "x" * 500)
    assert 401 == (await wire.answer()).status
    wire.send(b"x" * 500)
    wire.begin("GET /health/ready HTTP/1.1")
    assert 200 == (await wire.answer()).status


@pytest.mark.parametrize(
    "head",
    [
        "X-A: " + "a" * 70_000,
        "Cookie: " + "a=b; " * 20_000,
        "\r\n".join(f"X-{n}: a" for n in range(201)),
        "X-A: " + "a" * 2_000_000,
    ],
    ids=["long", "cookie", "many", "2 MB"],
)
async def test_large_headers_are_431(wires: Wires, head: str) -> None:
    wire = await wires.connect()
    wire.begin("GET /api/jobs HTTP/1.1", head)
    answer = await wire.answer()
    assert (answer.status, answer.problem["code"]) == (431, "headers_too_large")


async def test_headers_without_an_end_are_431(wires: Wires) -> None:
    wire = await wires.connect()
    wire.send("GET /api/jobs HTTP/1.1\r\nX-A: " + "a" * 100_000)
    assert 431 == (await wire.answer()).status


async def test_headers_below_the_bounds_are_taken(wires: Wires) -> None:
    wire = await wires.connect()
    wire.begin("GET /health/ready HTTP/1.1", *(f"X-{n}: {'a' * 300}" for n in range(190)))
    assert 200 == (await wire.answer()).status


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["TLS", "version", "two lengths", "negative length", "path"],
)
async def test_what_is_no_http_is_400_with_a_problem(wires: Wires, sent: bytes) -> None:
    wire = await wires.connect()
    wire.send(sent)
    answer = await wire.answer()
    assert (answer.status, answer.problem["code"], answer.headers["connection"]) == (400, "malformed_request", "close")


async def test_idle_connections_streams_and_waiting_requests_are_left_alone(
    impatient: System, wires: Wires, tenant: TestTenant
) -> None:
    idle = await wires.connect()
    idle.begin("GET /health/ready HTTP/1.1")
    assert 200 == (await idle.answer()).status
    async with Client(impatient.url, tenant.headers) as other:
        stream = await other.ask("text-60-at-20")  # for three times as long as headers and bodies may take
        slow = await wires.connect()
        slow.send("GET")
        assert 408 == (await slow.answer()).status
        assert text(60) == assert_complete(await stream.rest())
    idle.begin("GET /health/ready HTTP/1.1")
    assert 200 == (await idle.answer()).status


async def test_pipelined_requests_are_answered_in_order(wires: Wires) -> None:
    wire = await wires.connect()
    for path in ("/health/ready", "/api/nothing", "/health/ready"):
        wire.begin(f"GET {path} HTTP/1.1")
    assert [200, 404, 200] == [(await wire.answer()).status for _ in range(3)]


async def test_refused_connections_leave_no_tracebacks(impatient: System, wires: Wires) -> None:
    wire = await wires.connect()
    wire.post("Content-Length: 1000", path="/api/chat")
    wire.send(b"{")
    assert 408 == (await wire.answer()).status
    await wait_for(lambda: "connection_refused" in impatient.log("api"), "the refusal is logged")
    assert "Traceback" not in impatient.log("api")


async def test_requests_that_are_no_http_or_want_websockets_do_not_fill_the_log(
    impatient: System, wires: Wires
) -> None:
    for _ in range(20):
        wire = await wires.connect()
        wire.send(b"\x16\x03\x01\x02\x00\x01")
        assert 400 == (await wire.answer()).status
        wire = await wires.connect()
        wire.begin(
            "GET /health/live HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"
        )
        assert 200 == (await wire.answer()).status
    told = impatient.log("api")
    assert "Invalid HTTP request received" not in told
    assert "upgrade request" not in told
    assert [1, 1] == [told.count(code) for code in ("malformed_request", "unsupported_upgrade")]


async def test_a_large_body_of_which_the_end_trickles_is_408(impatient: System, wires: Wires) -> None:
    """Fast enough for a small body, and never complete."""
    wire = await wires.connect()
    wire.post("Content-Length: 1000000", path="/api/chat")
    wire.send(b'{"message":"' + b"x" * 900_000)
    dribbling = asyncio.create_task(wire.dribble(b"x" * 60, 0.1))
    answer = await wire.answer()
    assert (408, "request_timeout", "close") == (answer.status, answer.problem["code"], answer.headers["connection"])
    dribbling.cancel()


@pytest.fixture
def raw(impatient: System) -> Iterator[socket.socket]:
    """A connection of which nothing is read that the test doesn't read."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        made.connect(("127.0.0.1", impatient.ports["api"]))
        yield made


async def test_a_client_that_reads_none_of_its_answers_is_cut_off(impatient: System, raw: socket.socket) -> None:
    before = impatient.log("api").count("slow_client_cut")
    raw.sendall(LARGE * 20)
    await wait_for(lambda: impatient.log("api").count("slow_client_cut") == before + 1, "the client is cut off")


@pytest.mark.parametrize("count", [3, 4, 5, 6])
async def test_nothing_unread_stays_after_the_last_answer(impatient: System, raw: socket.socket, count: int) -> None:
    """At some count the system has room for all answers but the last, which waits complete and with `close` behind it."""
    raw.sendall(LARGE * (count - 1) + LARGE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    port, process = raw.getsockname()[1], psutil.Process(impatient.processes["api"].pid)
    await wait_for(lambda: select.select([raw], [], [], 0)[0], "the first answer begins")
    await wait_for(lambda: port not in _ports(process), "the process has let go of the connection")


def _ports(process: psutil.Process) -> set[int]:
    return {connection.raddr[1] for connection in process.net_connections() if connection.raddr}


async def test_a_slow_reader_that_makes_progress_gets_everything(raw: socket.socket) -> None:
    """The system takes from the process in large pieces, here one in many seconds; what counts is what the client reads."""
    raw.setblocking(False)
    raw.sendall(LARGE * 19 + LARGE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    loop, read = asyncio.get_running_loop(), bytearray()
    for _ in range(80):
        await asyncio.sleep(0.1)
        read += await loop.sock_recv(raw, 8192)
    async with asyncio.timeout(PATIENCE_S):
        while piece := await loop.sock_recv(raw, 1 << 20):
            read += piece
    assert 20 == read.count(b"HTTP/1.1 200 OK")


async def test_clients_that_leave_before_their_answers_leave_no_tracebacks(impatient: System, wires: Wires) -> None:
    for path in (b"/schema/openapi.json", b"/health/ready"):
        for linger in (0, 1):  # 0 resets
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", impatient.ports["api"])) as leaving:
                    leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1 - linger, 0))
                    leaving.sendall(LARGE.replace(b"/schema/openapi.json", path) * 20)
                    leaving.recv(1)
    wire = await wires.connect()
    for _ in range(5):
        wire.begin("GET /health/ready HTTP/1.1")
        assert 200 == (await wire.answer()).status
    assert "Traceback" not in impatient.log("api")
    assert "Exception in ASGI" not in impatient.log("api")


@pytest.mark.parametrize("garbage", ["nonsense", "GET http://[x HTTP/1.1"])
@pytest.mark.parametrize("path", ["/health/ready", "/schema/openapi.json"])
async def test_what_is_no_http_after_a_request_is_400_after_its_answer(wires: Wires, path: str, garbage: str) -> None:
    wire = await wires.connect()
    wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + f"{garbage}\r\n\r\n")
    answers = [await wire.answer() for _ in range(3)]
    assert [200, 200, 400] == [answer.status for answer in answers]
    assert "malformed_request" == answers[-1].problem["code"]
    assert b"" == await wire.rest()


@pytest.mark.parametrize("path", ["/api/audit?target=Tồn", "/api/agents/Tồn"])
async def test_characters_that_must_be_encoded_are_400_that_says_so(wires: Wires, path: str) -> None:
    wire = await wires.connect()
    wire.begin(f"GET {path} HTTP/1.1")
    answer = await wire.answer()
    assert (400, "malformed_request") == (answer.status, answer.problem["code"])
    assert "percent-encoded" in answer.problem["detail"]
