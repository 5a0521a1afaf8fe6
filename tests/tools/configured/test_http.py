"""HTTP_GET and HTTP_POST against a real service: what is sent, whose token goes along, and what each way to fail becomes."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest

from tests.counterparts.http_server import Exchange
from tests.tools.egress_servers import ResponseServer
from tests.tools.tool_contexts import call, failure, make_context, web_context
from tools.configured import ToolDefinition, build_tool
from tools.contract import Tool, ToolContext
from tools.errors import (
    ToolBadArguments,
    ToolFailed,
    ToolRefused,
    ToolTimeout,
    ToolTooLarge,
    ToolUnavailable,
)
from tools.execution import call_tool

TOKEN = "eyJhbGciOiJSUzI1NiJ9.canary.token"
PROVIDER_TOKEN = "eyJhbGciOiJSUzI1NiJ9.canary.of-the-provider"
SECRET = 'canary-"key"/1'


class Service(ResponseServer):
    """Also answers with what it was told, as services do that quote a request back."""

    async def _told(self, exchange: Exchange, status: str = "200") -> None:
        headers = exchange.record.headers
        said = " ".join([headers.get("authorization", ""), *headers.values()])
        exchange.answer(int(status), {"detail": f"{'x' * 180}{said}", headers.get("x-key", ""): 1})

    async def _html(self, exchange: Exchange, status: str = "200") -> None:
        body = b"<html>Sign in</html>"
        head = f"HTTP/1.1 {status} X\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(body)}\r\n\r\n"
        exchange.write(head.encode() + body)
        exchange.finish()

    async def _nothing(self, exchange: Exchange) -> None:
        exchange.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        exchange.finish()

    async def _rows(self, exchange: Exchange) -> None:
        rows = [{"no": 1, "note": "a|b\nc"}, {"no": 2, "more": {"x": [None]}}]
        exchange.answer(200, {"data": {"items": rows, "a/b": {"~": "tilde"}}, "next": None})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as server:
        yield server


def tool(
    server: ResponseServer, path: str, *, kind: str = "HTTP_GET", secrets: dict[str, str] | None = None, **given: Any
) -> Tool:
    names = {name: {"type": ["string", "integer", "boolean", "array", "object"]} for name in ("id", "day", "tags")}
    shape = {"name": "ask", "description": "Asks", "parameters": {"type": "object", "properties": names}}
    row = ToolDefinition(**{**shape, **given}, kind=kind, endpoint=server.url + path)
    return build_tool(row, secrets=secrets or {})


async def job_token(url: str) -> str | None:
    return f"{TOKEN}.{httpx2.URL(url).port}"


async def provider_token() -> str | None:
    return PROVIDER_TOKEN


def sent(server: ResponseServer) -> tuple[str, list[tuple[str, str]], Any]:
    """Path, query and body of the last request."""
    path, _, query = server.requests[-1].path.partition("?")
    return path, parse_qsl(query, keep_blank_values=True), server.requests[-1].body


async def test_arguments_that_are_not_in_the_path_go_into_the_query(service: Service) -> None:
    get = tool(service, "/json?fixed=1")
    async with web_context() as context:
        await call(get, context, id="a b", day=3, tags=["x", "y"], undeclared="z")
    assert ("/json", [("fixed", "1"), ("id", "a b"), ("day", "3"), ("tags", "x"), ("tags", "y")], None) == sent(service)


async def test_the_query_takes_the_names_that_the_row_gives_it_and_defaults_of_the_schema(service: Service) -> None:
    parameters = {"type": "object", "properties": {"id": {}, "day": {"default": "today"}, "tags": {}}}
    get = tool(service, "/json", parameters=parameters, config={"query": {"item[id]": "id", "d": "day", "t": "tags"}})
    async with web_context() as context:
        await call(get, context, id=True)
    assert [("item[id]", "true"), ("d", "today")] == sent(service)[1]


async def test_a_post_sends_what_is_left_over_as_json_and_the_calls_id_once(service: Service) -> None:
    post = tool(service, "/json", kind="HTTP_POST", config={"query": {"day": "day"}})
    async with web_context() as context:
        await call_tool(post, {"id": "Hà Nội", "day": "1", "tags": [1]}, replace(context, call_id="call_42"))
    assert ("/json", [("day", "1")], {"id": "Hà Nội", "tags": [1]}) == sent(service)
    assert "call_42" == service.requests[-1].headers["idempotency-key"]


async def test_the_same_call_has_the_same_key_even_where_its_id_can_not_stand_in_a_header(service: Service) -> None:
    post = tool(service, "/json", kind="HTTP_POST")
    async with web_context() as context:
        for call_id in ("a\r\nb", "a\r\nb", "ü"):
            await call_tool(post, {"id": "1"}, replace(context, call_id=call_id))
    first, again, other = (record.headers["idempotency-key"] for record in service.requests)
    assert (True, False) == (first == again, first == other)


async def test_a_body_is_built_from_values_and_never_from_text(service: Service) -> None:
    body = {"item": "{id}", "text": "Dear {id}, on {day}", "tags": "{tags}", "list": ["{day}", 1], "fixed": True}
    post = tool(service, "/json", kind="HTTP_POST", config={"body": body})
    async with web_context() as context:
        await call(post, context, id='x", "admin": true, "y": "', tags=["a", {"b": None}])
    name = 'x", "admin": true, "y": "'
    expected = {"item": name, "text": f"Dear {name}, on ", "tags": ["a", {"b": None}], "list": [1], "fixed": True}
    assert expected == sent(service)[2]


async def test_the_jobs_token_and_secrets_go_along_and_never_come_back(service: Service) -> None:
    headers = {"X-Key": "{{secret:KEY}}", "X-Mixed": "id={{secret:KEY}};v=1", "Cookie": "canary-literal"}
    for path in ("/told", "/told/400", "/told/500", "/told/401"):
        ask = tool(service, path, headers=headers, secrets={"KEY": SECRET})
        async with web_context(job_token=job_token, provider_token=provider_token) as context:
            try:
                result = await call(ask, context)
                shown = result.text + json.dumps(result.data)
            except ToolFailed as error:
                shown = error.message
        got = service.requests[-1].headers
        assert (f"Bearer {await job_token(service.url)}", SECRET) == (got["authorization"], got["x-key"])
        assert f"id={SECRET};v=1" == got["x-mixed"]
        assert ("canary" in shown, "eyJ" in shown) == (False, False)


async def test_a_literal_authorization_keeps_the_jobs_token_here(service: Service) -> None:
    ask = tool(service, "/told", headers={"authorization": "Basic canaryabc="})
    async with web_context(job_token=job_token, provider_token=provider_token) as context:
        result = await call(ask, context)
    assert "Basic canaryabc=" == service.requests[-1].headers["authorization"]
    assert ("canary" in result.text, TOKEN in result.text) == (False, False)


async def test_a_row_can_keep_the_jobs_token_here(service: Service) -> None:
    ask = tool(service, "/json", config={"pass_caller_token": False})
    async with web_context(job_token=job_token, provider_token=provider_token) as context:
        await call(ask, context)
    assert "authorization" not in service.requests[-1].headers


async def test_the_token_of_the_identity_provider_goes_where_the_row_asks_for_it(service: Service) -> None:
    ask = tool(service, "/told", config={"authorization": "identity_provider"})
    async with web_context(job_token=job_token, provider_token=provider_token) as context:
        result = await call(ask, context)
    assert f"Bearer {PROVIDER_TOKEN}" == service.requests[-1].headers["authorization"]
    assert PROVIDER_TOKEN not in result.text
    async with web_context(job_token=job_token) as context:
        refused = await failure(ask, context)
    assert (1, ToolRefused, True) == (len(service.requests), type(refused), "identity provider" in refused.message)


async def test_a_job_of_nobody_is_refused_only_where_the_row_insists_on_one(service: Service) -> None:
    async with web_context() as context:
        await call(tool(service, "/json"), context)
        error = await failure(tool(service, "/json", config={"pass_caller_token": True}), context)
    assert (1, ToolRefused) == (len(service.requests), type(error))


async def test_a_token_that_is_none_is_not_put_into_a_header(service: Service) -> None:
    async def odd() -> str:
        return "a\r\nX-Admin: 1"

    ask = tool(service, "/json", config={"authorization": "identity_provider"})
    async with web_context(provider_token=odd) as context:
        assert isinstance(await failure(ask, context), ToolRefused)
    assert [] == service.requests


async def test_a_secret_that_is_not_set_is_named(service: Service) -> None:
    async with web_context() as context:
        error = await failure(tool(service, "/json", headers={"X-Key": "{{secret:ERP_KEY}}"}), context)
    assert (ToolUnavailable, True, []) == (type(error), "ERP_KEY" in error.message, service.requests)


@pytest.mark.parametrize(
    ("path", "kind", "part"),
    [
        ("/status/500", ToolUnavailable, "status 500"),
        ("/status/503", ToolUnavailable, "status 503"),
        ("/status/429", ToolUnavailable, "rate-limiting"),
        ("/status/401", ToolFailed, "credentials"),
        ("/status/403", ToolFailed, "status 403"),
        ("/status/404", ToolFailed, "found nothing"),
        ("/status/422", ToolFailed, "status 422"),
        ("/html", ToolUnavailable, "text/html, not JSON"),
        ("/html/500", ToolUnavailable, "status 500"),
        ("/text", ToolUnavailable, "not JSON"),
        ("/deep", ToolUnavailable, "JSON"),
        ("/length/209715200", ToolTooLarge, "larger than"),
        ("/endless", ToolTooLarge, "larger than"),
        ("/bomb/209715200", ToolTooLarge, "larger than"),
        ("/nonsense", ToolUnavailable, "HTTP"),
        ("/silence", ToolTimeout, "0.2 seconds"),
        ("/drip", ToolTimeout, "0.2 seconds"),
        ("/redirect/302", ToolFailed, "another URL"),
    ],
)
async def test_whatever_a_service_does_the_model_gets_a_sentence(
    service: Service, path: str, kind: type[ToolFailed], part: str
) -> None:
    service.redirect_to = service.url + "/json"
    hangs = kind is ToolTimeout
    async with web_context() as context:
        error = await failure(tool(service, path, timeout_s=0.2 if hangs else 10), context)
    assert (kind, True) == (type(error), part in error.message), error.message
    assert 1 == len(service.requests)


async def test_a_service_that_is_not_there_is_said_to_be_away() -> None:
    async with Service() as server:
        ask = tool(server, "/json")
    async with web_context() as context:
        assert isinstance(await failure(ask, context), ToolUnavailable)


async def test_an_address_that_nobody_allowed_is_refused_at_the_call_as_well(service: Service) -> None:
    error = await failure(tool(service, "/json"), make_context())
    assert (ToolRefused, []) == (type(error), service.requests)


async def test_an_answer_without_a_body_is_a_success_of_a_post(service: Service) -> None:
    async with web_context() as context:
        assert "Done." == (await call(tool(service, "/nothing", kind="HTTP_POST"), context)).text


async def test_a_pointer_picks_the_part_that_counts(service: Service) -> None:
    async def picked(pointer: str, context: ToolContext) -> Any:
        return (await call(tool(service, "/rows", config={"result": pointer}), context)).data

    async with web_context() as context:
        assert {"~": "tilde"} == await picked("/data/a~1b", context)
        assert "tilde" == await picked("/data/a~1b/~0", context)
        assert 2 == await picked("/data/items/1/no", context)
        assert None is await picked("/next", context)
        for pointer in ("/data/missing", "/data/items/2", "/data/items/-", "/next/x"):
            error = await failure(tool(service, "/rows", config={"result": pointer}), context)
            assert (ToolUnavailable, True) == (type(error), "config.result" in error.message)


@pytest.mark.parametrize(
    ("output_format", "pointer", "text", "renderer"),
    [
        (None, "/data/items/0/no", "1", None),
        ("structured_json", "/data/a~1b", '{"~":"tilde"}', None),
        ("chart_data", "/data/a~1b", '{"~":"tilde"}', "chart"),
        ("summary_text", "/data/a~1b", "~: tilde", None),
        (
            "markdown_table",
            "/data/items",
            '| no | note | more |\n| --- | --- | --- |\n| 1 | a\\|b c |  |\n| 2 |  | {"x":[null]} |',
            "table",
        ),
        ("markdown_table", "/data/items/0/note", "a|b\nc", "table"),
    ],
)
async def test_the_answer_has_the_format_that_the_row_names(
    service: Service, output_format: str | None, pointer: str, text: str, renderer: str | None
) -> None:
    ask = tool(service, "/rows", output_format=output_format, config={"result": pointer})
    async with web_context() as context:
        result = await call(ask, context)
    assert (text, renderer) == (result.text, result.renderer)


async def test_a_renderer_of_the_row_wins(service: Service) -> None:
    ask = tool(service, "/rows", output_format="markdown_table", renderer={"type": "card"})
    async with web_context() as context:
        assert "card" == (await call(ask, context)).renderer


async def test_half_a_character_is_refused_with_its_reason(service: Service) -> None:
    async with web_context() as context:
        for kind in ("HTTP_GET", "HTTP_POST"):
            error = await failure(tool(service, "/json", kind=kind), context, id="\ud800")
            assert (ToolBadArguments, True) == (type(error), "surrogate" in error.message)
    assert [] == service.requests
