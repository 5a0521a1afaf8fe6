"""Files in messages of `/v1`, in base64 and by their id: their text reaches the model, whichever API they came by."""

import base64
from typing import Any

import pytest

from tests.api.conftest import Running
from tests.conftest import make_tenant

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


async def test_an_address_is_refused(running: Running) -> None:
    answer = await running.http.post(PATHS[1], json=request(PATHS[1], {"file_url": "https://example.com/a.pdf"}))
    assert (400, "input[0].content[1]") == (answer.status_code, answer.json()["error"]["param"])
