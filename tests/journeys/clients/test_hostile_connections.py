"""Connections on which requests come slowly, in pieces, too large or not at all are ended; slow but honest ones are served."""

import asyncio
import json
import select
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from api.local.stores.local_stores import Stores
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.journeys.clients.wires import Wires
from tests.journeys.conftest import running
from tests.system import ModelProcess, System
from tests.waiting import PATIENCE_S, wait_for

SHORT = {"HEADRACE_HEADER_TIMEOUT_S": "1", "HEADRACE_BODY_TIMEOUT_S": "3", "HEADRACE_SLOW_CLIENT_S": "6"}
LARGE = b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
"""Its answer has 1 MB, and systems keep some MB of what nobody reads."""

CHUNKED = "Transfer-Encoding: chunked"


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
async def wires(impatient: System, tenant: TestTenant) -> AsyncIterator[Wires]:
    made = Wires(impatient, tenant)
    yield made
    made.close()


Case = Callable[[Wires], Coroutine[Any, Any, None]]
SLOW: dict[str, Case] = {}


def slow(case: Case) -> Case:
    """A case that waits for seconds. All of them wait at once, each on connections of its own."""
    SLOW[case.__name__.replace("_", " ")] = case
    return case


@slow
async def half_sent_headers_are_408(wires: Wires) -> None:
    wire = await wires.connect()
    wire.send("GET /api/jobs HTTP/1.1\r\nHost: x\r\nX-A: b")
    answer = await wire.answer()
    assert (answer.status, answer.problem["code"], answer.headers["connection"]) == (408, "request_timeout", "close")
    assert answer.headers["x-request-id"] == answer.problem["request_id"]
    assert (answer.headers["x-content-type-options"], answer.problem["instance"]) == ("nosniff", "/api/jobs")
    assert b"" == await wire.rest()


@slow
async def headers_that_come_byte_by_byte_are_408(wires: Wires) -> None:
    wire = await wires.connect()
    wire.send("GET /v1/models HTTP/1.1\r\n")
    dribbling = asyncio.create_task(wire.dribble(b"X-A: b\r\n", 0.1))
    answer = await wire.answer()
    assert (answer.status, answer.problem["error"]["code"]) == (408, "request_timeout")
    await wire.rest()
    dribbling.cancel()


async def without_a_request(wires: Wires, piece: bytes) -> None:
    wire = await wires.connect()
    wire.send(piece)
    told = await wire.rest()
    assert told[:12] in (b"", b"HTTP/1.1 408")


@slow
async def a_connection_without_a_request_is_closed(wires: Wires) -> None:
    await without_a_request(wires, b"")


@slow
async def a_connection_of_blank_lines_is_closed(wires: Wires) -> None:
    await without_a_request(wires, b"\r\n")


@slow
async def blank_lines_keep_no_connection_open_after_a_response(wires: Wires) -> None:
    wire = await wires.connect()
    wire.begin("GET /health/live HTTP/1.1")
    assert 200 == (await wire.answer()).status
    dribbling = asyncio.create_task(wire.dribble(b"\r\n", 0.1))
    assert 408 == (await wire.answer()).status
    await wire.rest()
    dribbling.cancel()


@slow
async def a_body_that_stays_out_is_408(wires: Wires) -> None:
    async def stay_out(head: str, path: str) -> None:
        wire = await wires.connect()
        wire.post(head, path=path)
        wire.send(b'5\r\n{"tit' if head == CHUNKED else b'{"tit')
        answer = await wire.answer()
        assert (answer.status, answer.problem["code"]) == (408, "request_timeout"), f"{head}, {path}"
        assert b"" == await wire.rest()

    heads, paths = ("Content-Length: 1000000", CHUNKED), ("/api/sessions", "/api/documents")
    await asyncio.gather(*(stay_out(head, path) for head in heads for path in paths))


@slow
async def a_body_that_dribbles_is_408(wires: Wires) -> None:
    wire = await wires.connect()
    wire.post("Content-Length: 1000000")
    dribbling = asyncio.create_task(wire.dribble(b" ", 0.1))
    assert 408 == (await wire.answer()).status
    await wire.rest()
    dribbling.cancel()


@slow
async def a_large_body_of_which_the_end_trickles_is_408(wires: Wires) -> None:
    """Fast enough for a small body, and never complete."""
    wire = await wires.connect()
    wire.post("Content-Length: 1000000", path="/api/chat")
    wire.send(b'{"message":"' + b"x" * 900_000)
    dribbling = asyncio.create_task(wire.dribble(b"x" * 60, 0.1))
    answer = await wire.answer()
    assert (408, "request_timeout", "close") == (answer.status, answer.problem["code"], answer.headers["connection"])
    dribbling.cancel()


@slow
async def a_slow_body_is_taken_as_long_as_it_makes_progress(wires: Wires) -> None:
    """Slower than any mobile network, and three times as long as silence may be."""
    wire = await wires.connect()
    body = json.dumps({"title": "x" * 100}).encode() + b" " * 60_000
    wire.post(f"Content-Length: {len(body)}")
    for start in range(0, len(body), 600):
        wire.send(body[start : start + 600])
        await asyncio.sleep(0.1)
    assert 201 == (await wire.answer()).status


@slow
async def idle_connections_streams_and_waiting_requests_are_left_alone(wires: Wires) -> None:
    idle = await wires.connect()
    idle.begin("GET /health/live HTTP/1.1")
    assert 200 == (await idle.answer()).status
    async with Client(wires.system.url, wires.tenant.headers) as other:
        stream = await other.ask("text-60-at-20")  # for three times as long as headers and bodies may take
        slow = await wires.connect()
        slow.send("GET")
        assert 408 == (await slow.answer()).status
        assert text(60) == assert_complete(await stream.rest())
    idle.begin("GET /health/live HTTP/1.1")
    assert 200 == (await idle.answer()).status


@slow
async def refused_connections_leave_no_tracebacks(wires: Wires) -> None:
    wire = await wires.connect()
    wire.post("Content-Length: 1000", path="/api/chat")
    wire.send(b"{")
    assert 408 == (await wire.answer()).status
    await wait_for(lambda: "connection_refused" in wires.system.log("api"), "the refusal is logged")
    assert "Traceback" not in wires.system.log("api")


@slow
async def a_client_that_reads_none_of_its_answers_is_cut_off(wires: Wires) -> None:
    with wires.unread() as raw:
        raw.sendall(LARGE * 20)
        await wait_for(lambda: "slow_client_cut" in wires.system.log("api"), "a client is cut off")
        await wires.until_let_go(raw)


@slow
async def nothing_unread_stays_after_the_last_answer(wires: Wires) -> None:
    """At some count the system has room for all answers but the last, which waits complete and with `close` behind it."""

    async def leave_unread(count: int) -> None:
        with wires.unread() as raw:
            raw.sendall(LARGE * (count - 1) + LARGE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
            await wait_for(lambda: select.select([raw], [], [], 0)[0], "the first answer begins")
            await wires.until_let_go(raw)

    await asyncio.gather(*(leave_unread(count) for count in (3, 4, 5, 6)))


@slow
async def a_slow_reader_that_makes_progress_gets_everything(wires: Wires) -> None:
    """The system takes from the process in large pieces, here one in many seconds; what counts is what the client reads."""
    loop, read = asyncio.get_running_loop(), bytearray()
    with wires.unread() as raw:
        raw.setblocking(False)
        raw.sendall(LARGE * 19 + LARGE.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        began = loop.time()
        while (waited := loop.time() - began) < 14:
            while len(read) < 160_000 * waited:  # not a piece each time: on a slow machine that would be slower still
                read += await loop.sock_recv(raw, 8192)
            await asyncio.sleep(0.1)
        async with asyncio.timeout(PATIENCE_S):
            while piece := await loop.sock_recv(raw, 1 << 20):
                read += piece
    assert 20 == read.count(b"HTTP/1.1 200 OK")


@pytest.fixture(scope="module")
async def slow_cases(impatient: System, shared_url: str) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """The slow cases, under way."""
    wires = Wires(impatient, make_tenant(shared_url))
    under_way = {name: asyncio.create_task(case(wires)) for name, case in SLOW.items()}
    yield under_way
    for case in under_way.values():
        case.cancel()
    await asyncio.gather(*under_way.values(), return_exceptions=True)
    wires.close()


@pytest.mark.parametrize("case", SLOW)
async def test_slow_connections(slow_cases: dict[str, asyncio.Task[None]], case: str) -> None:
    await slow_cases[case]


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
    wire.begin("GET /health/live HTTP/1.1")
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
    wire.begin("GET /health/live HTTP/1.1", *(f"X-{n}: {'a' * 300}" for n in range(190)))
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


async def test_pipelined_requests_are_answered_in_order(wires: Wires) -> None:
    wire = await wires.connect()
    for path in ("/health/ready", "/api/nothing", "/health/ready"):
        wire.begin(f"GET {path} HTTP/1.1")
    assert [200, 404, 200] == [(await wire.answer()).status for _ in range(3)]


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
    for code in ("malformed_request", "unsupported_upgrade"):  # a line in a minute, however many tests have run in it
        assert 0 < told.count(code) < 20


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
        wire.begin("GET /health/live HTTP/1.1")
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
