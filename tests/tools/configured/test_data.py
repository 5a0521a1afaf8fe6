"""CUBE, SQL, RAG and OCR rows against what they stand before: a Cube, a Postgres, a search, a service that reads scans."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.local.stores.local_stores import Stores
from schema.errors import NotFound
from tests.counterparts.http_server import CounterpartServer, Exchange
from tests.tools.shop_database import Shop, open_shop
from tests.tools.tool_contexts import call, failure, file_store, make_context, web_context
from tools.builtin.read_image import MAX_BYTES
from tools.configured import ToolDefinition, build_tool
from tools.contract import Passage, Tool, ToolContext
from tools.data_source import DataSource
from tools.errors import (
    ToolBadArguments,
    ToolFailed,
    ToolRefused,
    ToolTimeout,
    ToolTooLarge,
    ToolUnavailable,
)

FIGURES = [{"Orders.city": "Hà Nội", "Orders.total": "120"}, {"Orders.city": "Huế", "Orders.total": "80"}]


class Cube(CounterpartServer):
    """Speaks `/cubejs-api/v1/load`: a query of its own members, with a token, perhaps after some waiting."""

    def __init__(self, waits: int = 0) -> None:
        super().__init__()
        self.waits = waits

    async def handle(self, exchange: Exchange) -> None:
        query = (exchange.record.body or {}).get("query", {})
        if exchange.path != "/cubejs-api/v1/load":
            exchange.answer(404, {"error": "no such route"})
        elif exchange.record.headers.get("authorization") != "cube-token":
            exchange.answer(403, {"error": "Invalid token"})
        elif len(self.requests) <= self.waits:
            exchange.answer(200, {"error": "Continue wait"})
        elif query.get("measures") != ["Orders.total"]:
            exchange.answer(400, {"error": "Error: 'x' not found for path 'Orders.x'"})
        else:
            exchange.answer(200, {"query": query, "data": FIGURES[: query["limit"]], "annotation": {}})


@pytest.fixture
async def cube() -> AsyncIterator[Cube]:
    async with Cube() as server:
        yield server


@pytest.fixture(scope="module")
def shop(stores: Stores) -> Iterator[Shop]:
    with open_shop(stores.database_url) as opened:
        yield opened


def tool(kind: str, **given: Any) -> Tool:
    return build_tool(ToolDefinition(**{"name": "ask", "description": "Asks", "kind": kind, **given}))


def cube_tool(server: Cube, **given: Any) -> Tool:
    config = {"measures": ["Orders.total"], "dimensions": ["Orders.city", "Orders.day"]}
    shape = {"endpoint": server.url, "headers": {"Authorization": "cube-token"}, "config": config}
    return tool("CUBE", **{**shape, **given})


def shop_context(source: DataSource) -> ToolContext:
    async def open_database(name: str) -> DataSource:
        if name != source.name:
            raise NotFound("There is no such data source.")
        return source

    return make_context(open_database=open_database)


async def test_a_model_puts_a_query_together_from_the_names_of_the_row(cube: Cube) -> None:
    async with web_context() as context:
        result = await call(
            cube_tool(cube),
            context,
            measures=["Orders.total"],
            dimensions=["Orders.city"],
            filters=[{"member": "Orders.city", "operator": "equals", "values": ["Huế"]}],
            order=[{"member": "Orders.total", "direction": "desc"}],
            time={"dimension": "Orders.day", "granularity": "month", "from": "2026-01-01", "to": "2026-03-31"},
        )
    query = {
        "measures": ["Orders.total"],
        "dimensions": ["Orders.city"],
        "filters": [{"member": "Orders.city", "operator": "equals", "values": ["Huế"]}],
        "order": [["Orders.total", "desc"]],
        "timeDimensions": [
            {"dimension": "Orders.day", "granularity": "month", "dateRange": ["2026-01-01", "2026-03-31"]}
        ],
        "limit": 200,
    }
    assert {"query": query} == cube.requests[0].body
    assert [["Hà Nội", "120"], ["Huế", "80"]] == result.data["rows"]


async def test_a_cube_is_asked_for_no_other_member_and_no_more_rows_than_the_row_allows(cube: Cube) -> None:
    config = {"measures": ["Orders.total"], "max_rows": 1}
    async with web_context() as context:
        for arguments in ({"measures": ["Users.password"]}, {"limit": 2}, {"dimensions": ["Orders.total"]}):
            assert isinstance(await failure(cube_tool(cube, config=config), context, **arguments), ToolBadArguments)
        result = await call(cube_tool(cube, config=config), context, measures=["Orders.total"])
    assert ([1], True) == ([each.body["query"]["limit"] for each in cube.requests], result.truncated)


async def test_a_cube_that_still_computes_is_asked_again_until_it_has_the_figures() -> None:
    said: list[str] = []
    async with Cube(waits=3) as server, web_context(progress=said.append) as context:
        result = await call(cube_tool(server), context, measures=["Orders.total"])
        assert (4, 3) == (len(server.requests), len(said))
    assert 2 == len(result.data["rows"])


async def test_a_cube_that_computes_forever_ends_with_the_tools_time() -> None:
    async with Cube(waits=10_000) as server, web_context() as context:
        error = await failure(cube_tool(server, timeout_s=0.3), context, measures=["Orders.total"])
        assert (ToolTimeout, True) == (type(error), len(server.requests) > 1)


async def test_a_query_of_the_row_is_filled_with_arguments(cube: Cube) -> None:
    query = {
        "measures": ["Orders.total"],
        "filters": [{"member": "Orders.city", "operator": "equals", "values": ["{city}"]}],
        "limit": "{limit}",
    }
    parameters = {"type": "object", "properties": {"city": {"type": "string"}, "limit": {"type": "integer"}}}
    ask = cube_tool(cube, config={"query": query, "max_rows": 50}, parameters=parameters)
    async with web_context() as context:
        await call(ask, context, city='x"]}', limit=1)
        await call(ask, context, city="y", limit=10_000)
    first, second = (each.body["query"] for each in cube.requests)
    assert ([['x"]}'], 1], 50) == ([first["filters"][0]["values"], first["limit"]], second["limit"])


async def test_a_cube_that_refuses_is_a_sentence(cube: Cube) -> None:
    async with web_context() as context:
        wrong = await failure(cube_tool(cube), context, measures=[])
        stranger = await failure(cube_tool(cube, headers={"Authorization": "no-token"}), context)
        nowhere = await failure(cube_tool(cube, endpoint=cube.url + "/elsewhere"), context)
    assert "not found for path 'Orders.x'" in wrong.message
    assert ("status 403" in stranger.message, "status 404" in nowhere.message) == (True, True)


async def test_a_statement_of_the_row_gets_arguments_as_parameters_and_never_as_text(shop: Shop) -> None:
    statement = "SELECT id FROM shop.orders WHERE customer = :who AND amount >= :least ORDER BY id LIMIT :most"
    properties = {"unused": {}, "most": {"type": "integer", "default": 2}, "who": {"type": "string"}, "least": {}}
    ask = tool(
        "SQL",
        parameters={"type": "object", "properties": properties},
        config={"data_source": "shop", "statement": statement},
    )
    before, context = shop.state(), shop_context(shop.source)
    assert [[103], [113]] == (await call(ask, context, who="customer 3", least=1000)).data["rows"]
    for who in ("x' OR '1'='1", "'; DROP TABLE shop.orders; --", "customer 3') OR true --"):
        assert [] == (await call(ask, context, who=who, least=0)).data["rows"]
    assert [] == (await call(ask, context, who="customer 3")).data["rows"]  # NULL compares with nothing
    assert isinstance(await failure(ask, context, who="customer 3", least={"a": 1}), ToolBadArguments)
    assert before == shop.state()


async def test_a_model_may_write_the_statement_where_the_row_has_none(shop: Shop) -> None:
    ask, before = tool("SQL", config={"data_source": "shop"}), shop.state()
    context = shop_context(shop.source)
    assert [[200]] == (await call(ask, context, sql="SELECT count(*) FROM shop.orders")).data["rows"]
    for sql in ("DROP TABLE shop.orders", "SELECT * FROM shop.secrets", "SELECT 1; SELECT 2", "SELECT :who"):
        assert isinstance(await failure(ask, context, sql=sql), ToolRefused)
    assert before == shop.state()


async def test_a_table_that_the_data_source_does_not_list_is_refused_at_the_call(shop: Shop) -> None:
    ask = tool("SQL", config={"data_source": "shop", "statement": "SELECT * FROM shop.secrets"})
    assert isinstance(await failure(ask, shop_context(shop.source)), ToolRefused)


async def test_without_a_data_source_the_row_says_so(shop: Shop) -> None:
    ask = tool("SQL", config={"data_source": "other", "statement": "SELECT 1"})
    assert ToolUnavailable is type(await failure(ask))
    assert "no such data source" in (await failure(ask, shop_context(shop.source))).message


class Search:
    """A search that knows one collection."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, int]] = []

    async def search(self, query: str, *, collection: str | None, k: int) -> list[Passage]:
        self.asked.append((query, collection, k))
        if collection != "handbook":
            raise NotFound("There is no such collection.")
        return [Passage("Ten days.", "d1", "Leave.pdf", page=3)] * 9 if query == "leave" else []


async def test_a_rag_row_searches_its_own_collection_and_no_other() -> None:
    search = Search()
    ask, context = tool("RAG", config={"collection": "handbook", "k": 2}), make_context(documents=search)
    result = await call(ask, context, query="leave")
    assert [("leave", "handbook", 2)] == search.asked
    assert (2, True) == (len(result.data["passages"]), "[1] (Leave.pdf, page 3)\nTen days." in result.text)
    assert "Not in the documents" in (await call(ask, context, query="cats")).text
    assert isinstance(await failure(ask, context, query="leave", collection="secret"), ToolBadArguments)


async def test_a_rag_row_can_name_its_argument_and_says_what_is_missing() -> None:
    parameters = {"type": "object", "properties": {"question": {"type": "string"}}}
    ask = tool("RAG", config={"collection": "gone", "query": "question"}, parameters=parameters)
    context = make_context(documents=Search())
    assert "no such collection" in (await failure(ask, context, question="leave")).message
    assert "question" == (await failure(ask, context, question=" ")).field
    assert ToolUnavailable is type(await failure(ask, question="leave"))


@asynccontextmanager
async def scan_reader(received: list[bytes]) -> AsyncIterator[str]:
    """A service that takes a form with a file and answers with the text in it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        received.append(head + await reader.readexactly(length))
        body = b'{"pages": [{"text": "TOTAL 84.500.000"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/read"


async def test_an_ocr_row_with_an_endpoint_sends_the_file_there_as_a_form() -> None:
    received: list[bytes] = []
    async with scan_reader(received) as endpoint, web_context(files=file_store(f1=b"\x89PNG scan")) as context:
        read = tool("OCR", endpoint=endpoint, config={"field": "scan", "result": "/pages/0/text"})
        assert "TOTAL 84.500.000" == (await call(read, context, file_id="f1")).text
        assert "no such file" in (await failure(read, context, file_id="f2")).message
    assert [True] == [b'name="scan"' in each and b"\x89PNG scan" in each for each in received]


async def test_an_ocr_row_without_an_endpoint_reads_here_with_the_limits_of_the_built_in_tool() -> None:
    read = tool("OCR", config={"file": "scan"})
    context = make_context(files=file_store(big=b"x" * (MAX_BYTES + 1)))
    error: ToolFailed = await failure(read, context, scan="big")
    assert (ToolTooLarge, ToolUnavailable) == (type(error), type(await failure(read, scan="big")))
