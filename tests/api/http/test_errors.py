"""What wrong requests get: the field, what is right, and the request id; OpenAI's shape under /v1."""

import json
from dataclasses import replace
from typing import Any, Literal

import httpx
import pytest

from api.chat.schemas import ChatIn
from api.settings import ApiSettings
from schema.errors import Unavailable
from tests.api.conftest import serving
from tests.api.documented_errors import undocumented
from tests.conftest import TestTenant
from tests.secret import VAULT

JSON = {"Content-Type": "application/json"}
ASK = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}

NOBODYS = "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e"


async def refused(api: httpx.AsyncClient, body: Any, path: str = "/api/chat") -> tuple[int, str, str]:
    """Return the status, the field and the sentence."""
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    answer = await api.post(path, content=content, headers=JSON)
    problem = answer.json()
    if path.startswith("/v1"):
        return answer.status_code, problem["error"]["param"], problem["error"]["message"]
    errors = problem.get("errors", [])
    return answer.status_code, errors[0]["field"] if errors else "", problem["detail"]


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ('{"message": ', "", "The body is not valid JSON: it ends too early."),
        ("", "", "The body is empty; send a JSON object."),
        ([], "", "The body must be an object, not an array."),
        ({}, "message", "message is required."),
        ({"message": 5}, "message", "message must be a string, an array or null, not an integer."),
        ({"message": ""}, "message", "message must not be empty."),
        ({"message": "  \n"}, "message", "message must not be empty."),
        ({"message": "x" * 200_001}, "message", "message must be at most 200,000 characters long."),
        ({"message": "a\0b"}, "message", "message contains the character U+0000. Remove it."),
        (
            {"message": [{"type": "video"}]},
            "message[0].type",
            "message[0].type must be text or image_url, not 'video'.",
        ),
        (
            {"message": "a", "on_busy": "wait"},
            "on_busy",
            "on_busy must be queue, reject, interrupt or rollback, not 'wait'.",
        ),
        (
            {"message": "a", "colour": 1},
            "colour",
            f"Unknown field colour. Known fields: {', '.join(ChatIn.__struct_encode_fields__)}.",
        ),
        ({"message": "a", "session_id": "x"}, "session_id", "session_id must be a UUID."),
        (
            {"message": "a", "agent": "bob"},
            "agent",
            "No such agent: 'bob'. Agents you can use: none. Omit agent to have one selected.",
        ),
    ],
)
async def test_a_wrong_chat_is_refused_with_the_field_and_what_is_right(
    api: httpx.AsyncClient, body: Any, field: str, sentence: str
) -> None:
    assert (400, field, sentence) == await refused(api, body)


async def test_an_unknown_model_is_refused_by_name(api: httpx.AsyncClient) -> None:
    status, field, sentence = await refused(api, {"message": "a", "model": "nobody/x"})
    assert (status, field) == (400, "model")
    assert sentence.startswith("There is no provider 'nobody'.")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"n": 2}, "n"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"temperature": 3}, "temperature"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
    ],
)
async def test_a_completion_that_could_only_be_answered_wrongly_is_refused_by_name(
    api: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    status, param, _ = await refused(api, {**ASK, **change}, "/v1/chat/completions")
    assert (400, field) == (status, param)


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_nested_bomb_is_a_bad_request(api: httpx.AsyncClient, path: str) -> None:
    body = '{"model": "auto", "messages": [], "metadata": {"a": ' + "[" * 100_000
    assert (await api.post(path, content=body, headers=JSON)).status_code == 400


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_body_that_is_too_large_is_413(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.post(path, json={"message": "x" * 1_000_001})
    assert (answer.status_code, code_of(answer)) == (413, "body_too_large")
    assert "1,000,000 bytes, the limit of this installation (HEADRACE_MAX_BODY)" in answer.text


async def test_only_bodies_with_texts_and_images_are_large(settings: ApiSettings, tenant: TestTenant) -> None:
    """Where the fields together are small, more than 1 MB can only be meant to harm."""
    async with serving(replace(settings, max_body=4 << 20)) as api:
        api.headers["Authorization"] = f"Bearer {tenant.key}"
        long = {"message": [{"type": "image_url", "image_url": {"url": "data:" + "x" * (3 << 20)}}], "agent": "nobody"}
        assert (await refused(api, long))[:2] == (400, "agent")
        answer = await api.post("/api/sessions", json={"title": "x" * (1 << 20)})
    assert (answer.status_code, code_of(answer)) == (413, "body_too_large")
    assert answer.json()["detail"].startswith("The body exceeds 1,048,576 bytes, which are more than its fields")


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_body_that_is_not_called_json_is_415(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.post(path, content="message=hi", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, code_of(answer)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/api/chat", 405, "method_not_allowed"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("GET", "/api/jobs/not-an-id", 404, "not_found"),
        ("GET", f"/api/jobs/{NOBODYS}", 404, "not_found"),
        ("GET", f"/api/jobs/{NOBODYS}/events", 404, "not_found"),
        ("POST", f"/api/jobs/{NOBODYS}/cancel", 404, "not_found"),
        ("POST", f"/api/jobs/{NOBODYS}/retry", 404, "not_found"),
        ("DELETE", f"/api/jobs/{NOBODYS}", 404, "not_found"),
        ("GET", f"/api/sessions/{NOBODYS}", 404, "not_found"),
        ("GET", f"/api/sessions/{NOBODYS}/messages", 404, "not_found"),
        ("DELETE", f"/api/sessions/{NOBODYS}", 404, "not_found"),
        ("GET", "/v1/models/nobody/x", 404, "model_not_found"),
    ],
)
async def test_what_is_not_there_says_so(
    api: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await api.request(method, path)
    assert (status, code) == (answer.status_code, code_of(answer))


async def test_a_problem_tells_its_request_id_and_place(api: httpx.AsyncClient) -> None:
    answer = await api.get("/jobs/xyz", headers={"X-Request-ID": "abc.DEF-12"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["request_id"], problem["instance"]) == ("abc.DEF-12", "/jobs/xyz")
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} == set(problem)


@pytest.mark.parametrize("sent", ["short", "x" * 65, "new\tline-here", "üüüüüüüü".encode()])
async def test_a_request_id_that_could_forge_a_log_line_is_replaced(api: httpx.AsyncClient, sent: str | bytes) -> None:
    answer = await api.get("/health/live", headers=[("X-Request-ID", sent)])
    assert answer.headers["x-request-id"].isalnum()
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer hr_wrong"},
        {"Authorization": "Basic aGk6aGk="},
        {"Authorization": "", "X-API-Key": "x"},
    ],
)
@pytest.mark.parametrize("path", ["/api/jobs", "/v1/models", "/api/sessions"])
async def test_a_stranger_is_asked_for_a_key(api: httpx.AsyncClient, headers: dict[str, str], path: str) -> None:
    answer = await api.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="headrace"'


async def test_a_stranger_is_refused_before_the_body_is_looked_at(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/chat", content="not json", headers={**JSON, "Authorization": "Bearer x"})
    assert answer.status_code == 401


async def test_a_key_is_taken_from_either_header(api: httpx.AsyncClient, tenant: TestTenant) -> None:
    answer = await api.get("/api/jobs", headers={"Authorization": "", "X-API-Key": tenant.key})
    assert answer.status_code == 200


async def test_without_postgres_requests_are_told_to_come_again(settings: ApiSettings, tenant: TestTenant) -> None:
    away = ApiSettings(database_url="postgresql://nobody@127.0.0.1:1/none", redis_url=settings.redis_url, vault=VAULT)
    async with serving(away) as client:
        answer = await client.post("/api/chat", json={"message": "a"}, headers=tenant.headers)
        assert (answer.status_code, code_of(answer), answer.headers["retry-after"]) == (503, "unavailable", "2")
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health")).json()["parts"]["postgres"]["status"] == "down"


@pytest.mark.parametrize(
    ("effect", "reading", "writing"),
    [
        ("nothing", "The database is unavailable. Try again shortly.", "Nothing was accepted; try again shortly."),
        ("unknown", "The database is unavailable. Try again shortly.", "which may have been accepted: look before"),
    ],
)
async def test_a_503_says_what_became_of_the_request_only_if_there_was_something_to_do(
    api: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    effect: Literal["nothing", "unknown"],
    reading: str,
    writing: str,
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable("The database is unavailable.", effect=effect)

    monkeypatch.setattr("api.jobs.routes.job_lists.list_job_page", away)
    monkeypatch.setattr("api.jobs.routes.cancel", away)
    read = await api.get("/api/jobs")
    assert (503, reading) == (read.status_code, read.json()["detail"])
    wrote = await api.post(f"/api/jobs/{NOBODYS}/cancel")
    assert 503 == wrote.status_code
    assert writing in wrote.json()["detail"]


async def test_a_fault_of_ours_tells_nothing_but_the_request_id(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr("api.jobs.routes.job_lists.list_job_page", broken)
    answer = await api.get("/api/jobs")
    assert (answer.status_code, code_of(answer)) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


async def test_the_openapi_document_lists_each_route_once_with_its_problems(api: httpx.AsyncClient) -> None:
    document = (await api.get("/schema")).json()
    assert "/api/chat" in document["paths"]
    assert "/chat" not in document["paths"]
    answers = document["paths"]["/api/chat"]["post"]["responses"]
    assert {
        "200",
        "202",
        "400",
        "401",
        "403",
        "404",
        "408",
        "409",
        "413",
        "415",
        "422",
        "429",
        "500",
        "502",
        "503",
        "504",
    } == set(answers)
    assert list(answers["400"]["content"]) == ["application/problem+json"]


@pytest.mark.parametrize(
    ("missing", "method", "path", "code"),
    [
        (None, "GET", "/jobs/x", "not_found"),
        ("conflict", "GET", "/api/jobs/x", "conflict"),
        (None, "DELETE", "/api/jobs/x", "conflict"),
        (None, "POST", "/api/documents", "encrypted"),
        ("not_yours", "POST", "/api/chat", "not_yours"),
    ],
)
def test_an_error_that_its_route_does_not_list_is_noticed(
    missing: str | None, method: str, path: str, code: str
) -> None:
    """Every client of these tests looks (`documented_errors.py`)."""
    assert missing == undocumented(method, path, b'{"code": "%s"}' % code.encode())


def code_of(answer: httpx.Response) -> str:
    body = answer.json()
    return body["error"]["code"] if "error" in body else body["code"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            rb'{"message": "\ud800"}',
            r"The body contains \ud800, which is half of a surrogate pair and no character. Remove it.",
        ),
        (
            rb'{"message": "\ude00 x"}',
            r"The body contains \ude00, which is half of a surrogate pair and no character. Remove it.",
        ),
        (b'{"message": "\xff"}', "The body is not UTF-8: byte 13 is invalid. Send JSON that is encoded as UTF-8."),
        ("{}".encode("utf-16"), "The body is not UTF-8: byte 0 is invalid. Send JSON that is encoded as UTF-8."),
        ("\ufeff{}".encode(), "The body starts with a byte order mark. Remove it."),
    ],
)
async def test_a_body_that_is_no_text_is_refused_in_plain_words(
    api: httpx.AsyncClient, body: bytes, sentence: str
) -> None:
    assert (400, "", sentence) == await refused(api, body)


async def test_a_surrogate_pair_is_a_character(api: httpx.AsyncClient) -> None:
    assert (400, "colour") == (await refused(api, rb'{"message": "\ud83d\ude00", "colour": 1}'))[:2]


@pytest.mark.parametrize(
    ("method", "path", "noun"),
    [
        ("GET", "/api/jobs/nope", "job"),
        ("GET", "/jobs/nope", "job"),
        ("POST", "/api/jobs/nope/cancel", "job"),
        ("PATCH", "/api/sessions/1", "session"),
        ("GET", "/api/messages/1/feedback", "message"),
        ("DELETE", "/api/memories/1", "memory"),
        ("GET", "/api/documents/x/chunks", "document"),
        ("DELETE", "/api/auth/keys/1", "API key"),
        ("GET", "/api/auth/providers/1", "identity provider"),
        ("GET", "/api/users/ada", "user"),
        ("GET", "/api/admin/tenants/acme/users/ada", "user"),
    ],
)
async def test_an_id_that_is_no_uuid_is_not_found_by_its_noun(
    api: httpx.AsyncClient, method: str, path: str, noun: str
) -> None:
    answer = await api.request(method, path)
    assert (404, "not_found", f"No such {noun}; ids are UUIDs.") == (
        answer.status_code,
        code_of(answer),
        answer.json()["detail"],
    )


async def test_an_unknown_path_is_told_where_all_are_listed(api: httpx.AsyncClient) -> None:
    for path in ("/api/nothing", "/nothing/at/all", f"/api/jobs/{NOBODYS}/nothing"):
        answer = await api.get(path)
        assert (404, "No such path; the API reference at /schema/swagger lists all paths.") == (
            answer.status_code,
            answer.json()["detail"],
        )


async def test_a_wrong_method_is_told_the_right_ones(api: httpx.AsyncClient) -> None:
    answer = await api.put("/api/chat")
    assert (405, "This path does not take PUT. It takes POST.") == (answer.status_code, answer.json()["detail"])


async def test_a_date_that_is_none_is_refused_in_plain_words(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/usage/me?from=yesterday")
    assert (400, "from must be a date such as 2026-01-31.") == (answer.status_code, answer.json()["detail"])


@pytest.mark.parametrize("path", ["/", "/health/live", "/api/jobs", "/v1/models", "/schema/openapi.json"])
async def test_head_answers_as_get_without_a_body(api: httpx.AsyncClient, path: str) -> None:
    head, whole = await api.head(path), await api.get(path)
    assert (whole.status_code, whole.headers["content-type"], b"") == (
        head.status_code,
        head.headers["content-type"],
        head.content,
    )


async def test_what_is_neither_a_key_nor_a_token_is_called_so(application: httpx.AsyncClient) -> None:
    answer = await application.get("/api/jobs", headers={"X-API-Key": "foo"})
    assert 401 == answer.status_code
    assert answer.json()["detail"].startswith("This is neither an API key, which starts with hr_, nor an access token")
