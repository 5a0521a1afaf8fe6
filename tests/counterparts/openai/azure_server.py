"""Azure OpenAI, in both of its forms: `/openai/v1`, and `/openai/deployments/NAME` with a dated version.

What is Azure's own around OpenAI's protocol: keys in another header, deployments, a first chunk without choices, results of the
content filter, and a prompt that it blocks (model `filtered`).
"""

import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.counterparts.behaviours import parse
from tests.counterparts.http_server import Exchange, chunk
from tests.counterparts.openai.server import OpenAIServer

SAFE = {"hate": {"filtered": False, "severity": "safe"}}
FIRST = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [
    {"prompt_index": 0, "content_filter_results": SAFE}]}  # fmt: skip
BLOCKED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": SAFE},
    }
}


class AzureServer(OpenAIServer):
    """A resource; every model that a behaviour has is deployed under its own name."""

    @property
    def base_url(self) -> str:
        return f"{self.url}/openai/v1"

    async def handle(self, exchange: Exchange) -> None:
        url, headers = urlsplit(exchange.path), exchange.record.headers
        key = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        version = (parse_qs(url.query).get("api-version") or [""])[0]
        route = url.path.removeprefix("/openai/")
        if self._key and key != self._key:
            said = "Access denied due to invalid subscription key or wrong API endpoint."
            exchange.answer(401, {"error": {"code": "401", "message": said}})
        elif route.startswith("v1/"):
            await self._serve_route(exchange, route.removeprefix("v1/"), exchange.record.model)
        elif not version:
            exchange.answer(404, {"error": {"code": "404", "message": "Resource not found"}})
        elif route.startswith("deployments/"):
            _, deployment, inner = route.split("/", 2)
            await self._serve_route(exchange, inner, unquote(deployment), version)
        else:
            await self._serve_route(exchange, route, exchange.record.model)

    async def _serve_route(self, exchange: Exchange, route: str, deployment: str, version: str = "") -> None:
        body: dict[str, Any] = exchange.record.body or {}
        if version and version < "2024-09-01" and "stream_options" in body:
            said = "Unrecognized request argument supplied: stream_options"
            exchange.answer(
                400, {"error": {"message": said, "type": "invalid_request_error", "param": None, "code": None}}
            )
        elif route == "chat/completions" and deployment == "filtered":
            exchange.answer(400, BLOCKED)
        elif route in ("chat/completions", "embeddings") and not (parse(deployment) or self.scripts.knows(deployment)):
            said = "The API deployment for this resource does not exist."
            exchange.answer(404, {"error": {"code": "DeploymentNotFound", "message": said}})
        else:
            exchange.record.model, exchange.path = deployment, f"/v1/{route}"
            body["model"] = deployment
            exchange.begin = _begins_with_filter_results(exchange)
            self_key, self._key = self._key, ""  # checked here, in Azure's header
            try:
                await super().handle(exchange)
            finally:
                self._key = self_key


def _begins_with_filter_results(exchange: Exchange) -> Any:
    begin = exchange.begin

    def begin_filtered(content_type: str) -> None:
        begin(content_type)
        exchange.write(chunk(b"data: " + json.dumps(FIRST).encode() + b"\n\n"))

    return begin_filtered
