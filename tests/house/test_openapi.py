"""The OpenAPI document reads as one: short names, a sentence for every operation, the right it needs, how it fails."""

import json
import re
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest

from api.http.error_catalog import CATALOG
from api.http.errors import CODE_BY_STATUS, STATUS_BY_CODE
from api.webhooks.callbacks import CALLBACK_HEADERS
from schema.events import EVENTS, MessageDelta, encode_frame, read_frames
from tests.openapi_document import openapi_document

WITH_EXAMPLES = (
    *("POST /api/chat", "POST /v1/chat/completions", "POST /api/sessions", "POST /api/jobs/retry"),
    *("POST /v1/messages", "POST /v1/messages/count_tokens"),
    *("POST /api/auth/login", "POST /api/auth/keys", "POST /api/users", "POST /api/api-keys"),
    *("POST /api/admin/tenants", "POST /api/jobs/{job_id}/cancel"),
)

ERROR_SHAPES = {"openai": "OpenAIErrorOut", "anthropic": "AnthropicErrorResponseOut"}
OPERATION_IDS = Path(__file__).with_name("operations.txt")


def schemas() -> dict[str, Any]:
    """Return the shapes of the document by name."""
    return openapi_document()["components"]["schemas"]


@cache
def operations() -> dict[str, dict[str, Any]]:
    """Return the operations by `METHOD path`, sorted: a handler of several paths has them in a set."""
    paths = openapi_document()["paths"]
    found = {f"{method.upper()} {path}": one for path, item in paths.items() for method, one in item.items()}
    return dict(sorted(found.items()))


def operation_ids() -> list[str]:
    """Return `METHOD path operationId` of all operations, sorted."""
    return sorted(f"{name} {operation['operationId']}" for name, operation in operations().items())


def followed(place: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference points at; anything else as it is."""
    found: Any = openapi_document()
    for step in place["$ref"].split("/")[1:] if "$ref" in place else ():
        found = found[step]
    return found if "$ref" in place else place


def answers_with_example() -> list[dict[str, Any]]:
    """Return the media types of all operations' answers that have an example."""
    answers = [answer for one in operations().values() for status, answer in one["responses"].items() if status < "4"]
    return [media for answer in answers for media in answer.get("content", {}).values() if "examples" in media]


every_operation = pytest.mark.parametrize(
    "name", [line.rpartition(" ")[0] for line in OPERATION_IDS.read_text().splitlines()]
)  # from the file, since the document takes seconds to make


def test_shapes_have_short_names() -> None:
    """Two of one name would both get the names of their modules too."""
    assert [] == [name for name in schemas() if not re.fullmatch(r"[A-Z][A-Za-z]{1,30}", name)]


@every_operation
def test_every_operation_has_a_summary_and_a_tag_that_is_explained(name: str) -> None:
    operation, tags = operations()[name], {tag["name"] for tag in openapi_document()["tags"] if tag["description"]}
    assert 5 <= len(operation["summary"]) <= 60
    assert 1 == len(set(operation["tags"]) & tags)


@every_operation
def test_every_operation_says_which_right_it_needs_and_how_those_without_are_refused(name: str) -> None:
    operation = operations()[name]
    rights = {right for way in operation.get("security") or () for scopes in way.values() for right in scopes}
    if rights:
        (right,) = rights
        assert f"`{right}`" in operation["responses"]["403"]["description"]
        assert {"unauthenticated"} <= set(next(iter(operation["responses"]["401"]["content"].values()))["examples"])


@every_operation
def test_every_operation_says_what_it_answers(name: str) -> None:
    answers = {status: answer for status, answer in operations()[name]["responses"].items() if status < "4"}
    assert answers
    for status, answer in answers.items():
        kinds = answer.get("content", {})
        assert (status in ("204", "302")) == (not kinds)
        assert [] == [kind for kind, media in kinds.items() if media.get("schema", {}) == {}]


@every_operation
def test_every_answer_says_what_it_means(name: str) -> None:
    """Not only the phrase of its status."""
    phrases = {status.phrase for status in HTTPStatus}
    for answer in operations()[name]["responses"].values():
        assert answer["description"].strip(".") not in phrases


@every_operation
def test_every_error_has_an_example_for_each_of_its_codes(name: str) -> None:
    for status, answer in operations()[name]["responses"].items():
        for media in answer["content"].values() if status >= "4" and "Problem" in str(answer) else ():
            examples = {code: followed(example)["value"] for code, example in media["examples"].items()}
            assert examples
            assert {status} == {str(value["status"]) for value in examples.values()}
            assert list(examples) == [value["code"] for value in examples.values()]


def test_shared_examples_of_errors_are_right() -> None:
    for code, example in openapi_document()["components"]["examples"].items():
        dialect = next((one for one in ERROR_SHAPES if code.startswith(f"{one}_")), "")
        shape = ERROR_SHAPES.get(dialect, "ProblemOut")
        jsonschema_rs.validate({**schemas()[shape], "components": openapi_document()["components"]}, example["value"])


def test_every_code_that_has_a_status_has_an_example() -> None:
    assert set(STATUS_BY_CODE) | set(CODE_BY_STATUS.values()) - {"method_not_allowed"} <= set(CATALOG)


def test_streams_say_what_their_events_are() -> None:
    own = {" /v1/responses": "ResponseEvent", " /v1/messages": "MessageEvent", " /v1/completions": "TextCompletionOut"}
    own |= {" /v1/": "CompletionChunk", " /api/events": "ChangedRowsOut"}
    kinds = {name: one["responses"].get("200", {}).get("content", {}) for name, one in operations().items()}
    streams = {name: kind["text/event-stream"] for name, kind in kinds.items() if "text/event-stream" in kind}
    right = {name: next((event for path, event in own.items() if path in name), "JobEvent") for name in streams}
    assert len(streams) > 5
    assert {name: {"$ref": f"#/components/schemas/{event}"} for name, event in right.items()} == {
        name: media["schema"] for name, media in streams.items()
    }


def test_every_event_is_in_the_document_with_all_its_properties_described() -> None:
    shapes = [followed(one) for one in schemas()["JobEvent"]["oneOf"]]
    assert {*EVENTS, "stream.closed"} == set(schemas()["JobEvent"]["discriminator"]["mapping"])
    for shape in shapes:
        data = followed(shape["properties"]["data"])
        assert [] == [
            name for name, said in {**shape["properties"], **data["properties"]}.items() if not said.get("description")
        ]


def test_an_event_as_it_is_sent_has_the_shape_of_the_document() -> None:
    frame = next(read_frames(encode_frame(MessageDelta(text="Hi"), UUID(int=1), 7, "2026-01-31T12:00:00.123Z")))
    event = {"id": str(frame.seq), "event": frame.type, "data": json.loads(frame.data)}
    jsonschema_rs.validate({**schemas()["JobEvent"], "components": openapi_document()["components"]}, event)


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("POST /api/chat", {"X-Request-ID", "Idempotency-Key", "Prefer", *CALLBACK_HEADERS, "X-Headrace-Run-At"}),
        ("POST /api/documents", {"X-Request-ID", "Idempotency-Key", "Prefer", *CALLBACK_HEADERS, "X-Headrace-Run-At"}),
        ("POST /v1/chat/completions", {"X-Request-ID", "Idempotency-Key", *CALLBACK_HEADERS, "X-Headrace-Run-At"}),
        ("GET /api/jobs/{job_id}/events", {"X-Request-ID", "Last-Event-ID"}),
        ("GET /api/jobs", {"X-Request-ID"}),
    ],
)
def test_the_headers_that_an_operation_honours_are_told(name: str, headers: set[str]) -> None:
    told = [followed(parameter) for parameter in operations()[name]["parameters"]]
    assert headers == {parameter["name"] for parameter in told if parameter["in"] == "header"}


@every_operation
def test_every_answer_tells_its_headers(name: str) -> None:
    for status, answer in operations()[name]["responses"].items():
        assert "X-Request-ID" in answer["headers"]
        assert [] == [header for header in answer["headers"].values() if not followed(header)["description"]]
        assert status not in ("429", "503") or "Retry-After" in answer["headers"]


@every_operation
def test_every_error_has_the_shape_of_its_part_of_the_api(name: str) -> None:
    dialect = "anthropic" if " /v1/messages" in name else "openai" if " /v1/" in name else ""
    kind = "application/json" if dialect else "application/problem+json"
    shape = ERROR_SHAPES.get(dialect, "ProblemOut")
    right = {kind: f"#/components/schemas/{shape}"}
    for status, answer in operations()[name]["responses"].items():
        if status.startswith(("4", "5")) and (name, status) != ("GET /health/ready", "503"):
            assert right == {kind: media["schema"].get("$ref") for kind, media in answer["content"].items()}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_main_requests_are_shown_by_an_example_that_is_right(name: str) -> None:
    media = operations()[name]["requestBody"]["content"]["application/json"]
    shape = {**media["schema"], "components": openapi_document()["components"]}
    for example in media["examples"].values():
        jsonschema_rs.validate(shape, example["value"])


def test_the_main_answers_are_shown_by_an_example_that_is_right() -> None:
    assert len(answers_with_example()) > 50
    for media in answers_with_example():
        shape = {**media["schema"], "components": openapi_document()["components"]}
        for example in media["examples"].values():
            jsonschema_rs.validate(shape, example["value"])


def test_operation_ids_change_only_on_purpose() -> None:
    """SDKs call their methods so: a name that changes breaks their users. After a change on purpose, write the file anew with
    `python -m tests.house.test_openapi`."""
    assert OPERATION_IDS.read_text().splitlines() == operation_ids()


def test_operation_ids_are_unique_and_in_camel_case() -> None:
    ids = [line.split()[2] for line in operation_ids()]
    assert [] == [one for one in ids if ids.count(one) > 1 or not re.fullmatch("[a-z]+([A-Z][a-z]*)*", one)]


if __name__ == "__main__":
    OPERATION_IDS.write_text("".join(f"{line}\n" for line in operation_ids()))
