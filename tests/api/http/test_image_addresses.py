"""An image is named by an address on the web or by its data: a model server would read anything else from where it stands."""

from typing import Any

import httpx
import pytest

ELSEWHERE = ("file:///etc/passwd", "javascript:1", "ftp://mill.example/a.png", "/etc/passwd", "x")


def bodies(url: str) -> dict[str, dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": url}}
    source = {"type": "image", "source": {"type": "url", "url": url}}
    item = {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
    return {
        "/api/chat": {"message": [image]},
        "/v1/chat/completions": {"model": "auto", "messages": [{"role": "user", "content": [image]}]},
        "/v1/responses": {"model": "auto", "input": [item]},
        "/v1/messages": {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": [source]}]},
    }


@pytest.mark.parametrize("path", bodies(""))
@pytest.mark.parametrize("url", ELSEWHERE)
async def test_an_image_from_elsewhere_is_refused(api: httpx.AsyncClient, path: str, url: str) -> None:
    refused = await api.post(path, json=bodies(url)[path])
    assert 400 == refused.status_code, refused.text
    assert "https?://" in refused.text
