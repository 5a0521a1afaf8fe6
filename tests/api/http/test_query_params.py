"""Query parameters: unknown, wrong and repeated ones are refused under /api, in a sentence."""

import re
from typing import Any

import httpx
import pytest


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("lmit=3", "lmit", "Unknown query parameter lmit. Did you mean limit?"),
        ("colour=blue", "colour", "Unknown query parameter colour. Known ones: "),
        ("limit=0", "limit", "limit must be at least 1."),
        ("limit=1&limit=2", "limit", "The query parameter limit is there more than once; send it once."),
        ("limit=1&state=failed&limit=1", "limit", "The query parameter limit is there more than once; send it once."),
        ("cursor=bm9wZQ", "cursor", "cursor must be the next_cursor of the previous page of this list. "),
    ],
)
async def test_a_wrong_query_parameter_is_refused_by_name(
    api: httpx.AsyncClient, query: str, field: str, sentence: str
) -> None:
    answer = await api.get(f"/api/jobs?{query}")
    problem = answer.json()
    assert (400, field) == (answer.status_code, problem["errors"][0]["field"])
    assert problem["detail"].startswith(sentence)


async def test_a_filter_that_takes_several_values_may_be_repeated(api: httpx.AsyncClient) -> None:
    assert 200 == (await api.get("/api/jobs?state=failed&state=queued")).status_code


async def test_no_query_parameter_with_one_value_may_be_repeated_under_api(
    application: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    """Whether anybody has signed in or not, for every operation of the document."""
    document = (await application.get("/schema/openapi.json")).json()
    parameters = [
        (method, path, parameter)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for parameter in operation.get("parameters", ())
        if path.startswith("/api/") and parameter.get("in") == "query" and not _takes_several(parameter["schema"])
    ]
    assert len(parameters) > 40
    for method, path, parameter in parameters:
        name = parameter["name"]
        answer = await admin.request(method, f"{_filled(path)}?{name}=1&{name}=1")
        told = answer.json()
        assert (400, f"The query parameter {name} is there more than once; send it once.") == (
            answer.status_code,
            told["detail"],
        ), (method, path)
        assert name == told["errors"][0]["field"]


def _takes_several(schema: dict[str, Any]) -> bool:
    return any(one.get("type") == "array" for one in (schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())))


async def test_routes_for_openai_sdks_accept_parameters_that_proxies_add(api: httpx.AsyncClient) -> None:
    assert 200 == (await api.get("/v1/models?api-version=2024-10-21")).status_code


@pytest.mark.parametrize(
    "value", ["1e1", "%2B5", "+5", "5%20", "1_0", "%EF%BC%95", "5.0", "05", "0x5", "", "five", "%D9%A5"]
)
async def test_a_number_is_written_in_plain_digits(api: httpx.AsyncClient, value: str) -> None:
    answer = await api.get(f"/api/jobs?limit={value}")
    assert (400, "limit must be an integer in plain digits, such as 20.") == (
        answer.status_code,
        answer.json()["detail"],
    )


@pytest.mark.parametrize("value", ["1", "0", "yes", "on", "t", "true%20", ""])
async def test_a_boolean_is_true_or_false(admin: httpx.AsyncClient, value: str) -> None:
    answer = await admin.get(f"/api/admin/agents?enabled={value}")
    assert (400, "enabled must be true or false.") == (answer.status_code, answer.json()["detail"])


@pytest.mark.parametrize("value", ["true", "false", "True"])
async def test_a_boolean_may_be_capitalised_as_python_writes_it(admin: httpx.AsyncClient, value: str) -> None:
    assert 200 == (await admin.get(f"/api/admin/agents?enabled={value}")).status_code


async def test_who_is_calling_comes_before_what_is_asked(application: httpx.AsyncClient) -> None:
    """Without a key, every operation that needs one says so, whatever is wrong with its query."""
    document = (await application.get("/schema/openapi.json")).json()
    told = {
        (method, path): [
            (await application.request(method, f"{_filled(path)}?{query}")).status_code
            for query in ("nonsense=%00", "limit=five", "limit=1&limit=1", "enabled=maybe")
        ]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and operation.get("security")
    }
    assert len(told) > 100
    assert {} == {operation: statuses for operation, statuses in told.items() if {401} != set(statuses)}


def _filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "00000000-0000-0000-0000-000000000000", path)
