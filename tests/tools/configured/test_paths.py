"""No value that a model writes leaves its place in an address, and no row gets an address or a header that could."""

from collections.abc import AsyncIterator
from urllib.parse import unquote

import pytest

from schema.errors import EgressRefused, InputError
from tests.tools.egress_servers import ResponseServer
from tests.tools.hostile.paths import CARRIED, ENDPOINTS, HEADERS, REFUSED, SECRETS
from tests.tools.tool_contexts import call, failure, web_context
from tools.configured import ToolDefinition, build_tool, check_definition
from tools.contract import Tool
from tools.egress import EgressPolicy
from tools.errors import ToolBadArguments, ToolUnavailable

PARAMETERS = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "optional": {"type": "string"}},
    "required": ["id"],
}


class Items(ResponseServer):
    """Answers whatever is asked of it under /items."""

    async def handle(self, exchange) -> None:
        exchange.answer(200, {})


@pytest.fixture
async def items() -> AsyncIterator[Items]:
    async with Items() as server:
        yield server


def row(endpoint: str | None, **given) -> ToolDefinition:
    shape = {"name": "get_item", "kind": "HTTP_GET", "description": "An item", "parameters": PARAMETERS}
    return ToolDefinition(**{**shape, **given}, endpoint=endpoint)


def tool(server: ResponseServer, path: str, secrets: dict[str, str] | None = None, **given) -> Tool:
    return build_tool(row(server.url + path, **given), secrets=secrets or {})


def test_there_are_at_least_forty_hostile_values_of_each_sort() -> None:
    assert [] == [len(set(each)) for each in (REFUSED, CARRIED, ENDPOINTS, HEADERS) if len(set(each)) < 40]


async def test_a_hostile_value_in_a_path_is_refused_and_nothing_is_sent(items: Items) -> None:
    get = tool(items, "/items/{id}")
    async with web_context() as context:
        for value in REFUSED:
            error = await failure(get, context, id=value)
            assert (value, ToolBadArguments, "id") == (value, type(error), error.field)
    assert [] == items.requests


async def test_an_odd_value_in_a_path_stays_one_segment_and_arrives_as_it_was(items: Items) -> None:
    get = tool(items, "/items/{id}/notes")
    async with web_context() as context:
        for value in CARRIED:
            await call(get, context, id=value)
            _, first, segment, last = items.requests[-1].path.split("/")
            assert ("items", value, "notes") == (first, unquote(segment), last)
            assert items.requests[-1].path.isascii()


async def test_two_values_in_one_segment_can_not_become_a_step_up_together(items: Items) -> None:
    get = tool(items, "/items/{id}{optional}", parameters={**PARAMETERS, "required": ["id", "optional"]})
    async with web_context() as context:
        assert isinstance(await failure(get, context, id=".", optional="."), ToolBadArguments)
        assert isinstance(await failure(get, context, id="%2", optional="e%2e"), ToolBadArguments)
        await call(get, context, id="a", optional="b")
    assert ["/items/ab"] == [record.path for record in items.requests]


async def test_a_value_in_the_query_adds_no_parameter_of_its_own(items: Items) -> None:
    get = tool(items, "/items?fixed=1", config={"query": {"q": "id"}})
    async with web_context() as context:
        for value in (*CARRIED, "..", "../admin", "x\r\nHost: evil", "x\x00"):
            await call(get, context, id=value)
            path, _, query = items.requests[-1].path.partition("?")
            fixed, found = query.split("&")
            assert ("/items", "fixed=1", "q=") == (path, fixed, found[:2])
            assert value == unquote(found[2:])


@pytest.mark.parametrize("value", [None, ["a"], {"a": "b"}])
async def test_only_a_simple_value_goes_into_a_path(items: Items, value: object) -> None:
    get = tool(items, "/items/{id}", parameters={"type": "object", "properties": {"id": {}}, "required": ["id"]})
    async with web_context() as context:
        assert "id" == (await failure(get, context, id=value)).field
    assert [] == items.requests


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=ascii)
def test_a_hostile_address_is_refused_before_it_is_stored(endpoint: str) -> None:
    with pytest.raises((InputError, EgressRefused)) as refused:
        check_definition(row(endpoint), EgressPolicy())
    assert "endpoint" == refused.value.field
    assert "secret" not in refused.value.message.replace("{{secret", "").replace("{secret", "")


@pytest.mark.parametrize(("name", "value"), HEADERS, ids=ascii)
def test_a_hostile_header_is_refused_before_it_is_stored(name: str, value: str) -> None:
    with pytest.raises(InputError) as refused:
        check_definition(row("https://api.example.com/{id}", headers={name: value}), EgressPolicy())
    assert "headers" == (refused.value.field or "").partition(".")[0]


@pytest.mark.parametrize("value", SECRETS, ids=ascii)
async def test_a_secret_that_can_not_stand_in_a_header_is_named_and_not_sent(items: Items, value: str) -> None:
    get = tool(items, "/items/{id}", {"KEY": value}, headers={"X-Api-Key": "{{secret:KEY}}"})
    async with web_context() as context:
        error = await failure(get, context, id="1")
    assert (ToolUnavailable, True, []) == (type(error), "The secret KEY" in error.message, items.requests)


def test_an_address_that_an_admin_allowed_may_be_private_and_plain() -> None:
    by_network = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "10.0.0.0/8,127.0.0.1"})
    by_name = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "erp.internal:8080"})
    for policy, endpoint in (
        (by_network, "http://10.1.2.3:8080/{id}"),
        (by_network, "http://127.0.0.1:9/{id}"),
        (by_network, "http://localhost:9/{id}"),
        (
            by_network,
            "http://erp.internal:8080/{id}",
        ),  # its address may be in the network; the guard looks at each call
        (by_name, "http://erp.internal:8080/{id}"),
        (EgressPolicy(), "https://api.example.com/v1/{id}.json?lang=vi"),
        (EgressPolicy(), "https://[2606:4700::1111]/{id}"),
    ):
        check_definition(row(endpoint), policy)
