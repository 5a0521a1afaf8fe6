"""Files in messages of `/v1`, in base64 and by their id: their text reaches the model, whichever API they came by."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Running
from tests.conftest import make_tenant
from tests.workers.jobs import change

TEXT = b"The sluice opens at dawn."
DATA = base64.b64encode(TEXT).decode()


def request(path: str, file: dict[str, Any]) -> dict[str, Any]:
    """A question about a file, as this API has it."""
    if "responses" in path:
        content = [{"type": "input_text", "text": "When?"}, {"type": "input_file", **file}]
        return {"model": "openai/text-3", "input": [{"role": "user", "content": content}]}
    if "completions" in path:
        content = [{"type": "text", "text": "When?"}, {"type": "file", "file": file}]
        return {"model": "openai/text-3", "messages": [{"role": "user", "content": content}]}
    kind = {"type": "file"} if "file_id" in file else {"type": "base64", "media_type": "text/plain"}
    source = kind | ({"file_id": file["file_id"]} if "file_id" in file else {"data": file["file_data"].split(",")[-1]})
    content = [{"type": "text", "text": "When?"}, {"type": "document", "source": source, "title": file.get("filename")}]
    return {"model": "openai/text-3", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")


@pytest.mark.parametrize("path", PATHS)
async def test_the_text_of_a_file_reaches_the_model(running: Running, database_url: str, path: str) -> None:
    owner = make_tenant(database_url, role="owner")
    sent = {"file": ("gate.txt", TEXT)}
    kept = await running.http.post("/v1/files", files=sent, data={"purpose": "user_data"}, headers=owner.headers)
    assert 200 == kept.status_code, kept.text
    files = [
        {"file_data": f"data:text/plain;base64,{DATA}", "filename": "gate.txt"},
        {"file_data": DATA, "filename": "gate.txt"},
        {"file_id": kept.json()["id"]},
    ]
    for file in files:
        before = len(running.models.requests)
        answer = await running.http.post(path, json=request(path, file), headers=owner.headers)
        assert 200 == answer.status_code, answer.text
        asked = str([record.body for record in running.models.requests[before:]])
        assert ("gate.txt" in asked, TEXT.decode() in asked, DATA in asked) == (True, True, False)
    stranger = make_tenant(database_url, role="owner")
    refused = await running.http.post(path, json=request(path, files[2]), headers=stranger.headers)
    assert 404 == refused.status_code, refused.text


@pytest.mark.parametrize("file", [{}, {"file_data": "no base64!"}, {"file_data": DATA, "file_id": "file-1"}])
async def test_what_is_no_file_is_refused_by_its_place(running: Running, file: dict[str, Any]) -> None:
    answer = await running.http.post(PATHS[0], json=request(PATHS[0], file))
    assert 400 == answer.status_code
    assert "messages[0].content[1].file" in answer.json()["error"]["param"]


@pytest.mark.parametrize("beside", [{}, {"file_data": DATA}])
async def test_an_address_is_refused_by_its_name(running: Running, beside: dict[str, Any]) -> None:
    file = {"file_url": "https://example.com/a.pdf", **beside}
    answer = await running.http.post(PATHS[1], json=request(PATHS[1], file))
    error = answer.json()["error"]
    assert (400, "input[0].content[1].file_url") == (answer.status_code, error["param"])
    assert "file_url is refused" in error["message"]


@pytest.mark.parametrize(
    ("path", "file", "param"),
    [
        (PATHS[1], {"file_id": "file-1"}, "input[0].content[1].file_id"),
        (PATHS[1], {"file_data": "no base64!"}, "input[0].content[1].file_data"),
        (PATHS[2], {"file_data": "no base64!"}, "messages[0].content[1].source.data"),
    ],
)
async def test_a_file_is_refused_in_the_shape_of_its_api(
    running: Running, path: str, file: dict[str, Any], param: str
) -> None:
    """With instructions, which are a message before the input."""
    more = {"instructions": "Be brief."} if "responses" in path else {"system": "Be brief."}
    answer = await running.http.post(path, json=request(path, file) | more)
    assert param in answer.text
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize("path", PATHS[:2])
async def test_a_file_and_an_id_together_are_refused_as_both(running: Running, path: str) -> None:
    answer = await running.http.post(path, json=request(path, {"file_data": DATA, "file_id": "file-1"}))
    assert 400 == answer.status_code
    assert "has both file_data and a file_id" in answer.json()["error"]["message"]


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SHOWN = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def about_picture(path: str, file_id: str) -> dict[str, Any]:
    """A question about a picture, as the vendors' packages send it."""
    if "responses" in path:
        content = [
            {"type": "input_text", "text": "What?"},
            {"type": "input_image", "file_id": file_id, "detail": "low"},
        ]
        return {"model": "openai/text-4", "input": [{"role": "user", "content": content}]}
    if "completions" in path:
        return request(path, {"file_id": file_id}) | {"model": "openai/text-4"}
    content = [{"type": "text", "text": "What?"}, {"type": "image", "source": {"type": "file", "file_id": file_id}}]
    return {"model": "openai/text-4", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


@pytest.fixture
def model_that_sees(database_url: str) -> Iterator[None]:
    change(database_url, "INSERT INTO models (name, images) VALUES ('openai/text-4', true)")
    yield
    change(database_url, "DELETE FROM models WHERE name = 'openai/text-4'")


@pytest.mark.usefixtures("model_that_sees")
@pytest.mark.parametrize("path", PATHS)
async def test_a_picture_by_its_id_is_shown_to_the_model(running: Running, database_url: str, path: str) -> None:
    owner, stranger = make_tenant(database_url, role="owner"), make_tenant(database_url, role="owner")
    sent = {"file": ("dot.png", PNG)}
    kept = await running.http.post("/v1/files", files=sent, data={"purpose": "vision"}, headers=owner.headers)
    assert 200 == kept.status_code, kept.text
    body = about_picture(path, kept.json()["id"])

    answer = await running.http.post(path, json=body, headers=owner.headers)
    assert 200 == answer.status_code, answer.text
    picture = running.models.requests[-1].body["messages"][0]["content"][1]["image_url"]
    assert {"url": SHOWN, **({"detail": "low"} if "responses" in path else {})} == picture
    asked = len(running.models.requests)
    refused = await running.http.post(path, json=body, headers=stranger.headers)
    assert (404, asked) == (refused.status_code, len(running.models.requests))


async def test_what_is_no_picture_is_refused_as_one(running: Running, database_url: str) -> None:
    owner = make_tenant(database_url, role="owner")
    kept = await running.http.post(
        "/v1/files", files={"file": ("gate.txt", TEXT)}, data={"purpose": "user_data"}, headers=owner.headers
    )
    for path in ("/v1/responses", "/v1/messages"):
        answer = await running.http.post(path, json=about_picture(path, kept.json()["id"]), headers=owner.headers)
        assert 400 == answer.status_code
        assert "a picture must be PNG, JPEG, GIF or WebP" in answer.text
