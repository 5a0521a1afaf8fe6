"""A compressed body is 415 with what is taken, and never called broken JSON."""

import gzip
import zlib

import httpx
import pytest

BODY = b'{"message":"hello"}'


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("br", b"\x0b"), ("zstd", b"\x28\xb5\x2f\xfd")],
)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/api/documents", "/api/auth/login"])
async def test_a_compressed_body_is_415_with_the_encoding_that_is_taken(
    api: httpx.AsyncClient, path: str, encoding: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await api.post(path, content=body, headers=headers)
    told = answer.json()
    detail = told["error"]["message"] if path.startswith("/v1") else told["detail"]
    assert (415, "identity") == (answer.status_code, answer.headers["accept-encoding"])
    assert f"The body is compressed (Content-Encoding: {encoding})." in detail


async def test_a_body_that_says_it_is_not_encoded_is_taken(api: httpx.AsyncClient) -> None:
    assert 201 == (await api.post("/api/sessions", json={}, headers={"Content-Encoding": "identity"})).status_code


async def test_nothing_large_is_read_before_anybody_has_signed_in(application: httpx.AsyncClient) -> None:
    answer = await application.post(
        "/api/auth/login", content=b" " * 70_000, headers={"Content-Type": "application/json"}
    )
    assert (413, "body_too_large") == (answer.status_code, answer.json()["code"])
