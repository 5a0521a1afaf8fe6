"""Cohere, over its own protocol. Not for: what the bytes mean (`request.py`, `reader.py`)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from graphs.providers.answers.fields import number, record, records, text, vectors
from graphs.providers.answers.json_payloads import read_json
from graphs.providers.answers.reader import read_answer
from graphs.providers.capabilities import Capabilities, KnownModels, from_name
from graphs.providers.cohere.reader import CohereReader
from graphs.providers.cohere.request import NAME, request_body
from graphs.providers.contract import Delta, ModelInfo, ModelRequest, ProviderTimeouts, Purpose
from graphs.providers.errors import ProviderInvalidResponse
from graphs.providers.http.vendor_client import VendorClient

ADDRESS = "https://api.cohere.com"
VERSIONS = ("/compatibility/v1", "/v1", "/v2")
"""What addresses end in that were set for Cohere's OpenAI layer, which was spoken before, or for one version."""
MAX_PAGES = 20
_INPUT_TYPES = {"query": "search_query", "passage": "search_document"}


class Cohere:
    """A `Provider` and `Embedder` over the shared session, without connections of its own."""

    name = NAME

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str = ADDRESS,
        *,
        key: str = "",
        timeouts: ProviderTimeouts | None = None,
    ) -> None:
        self._timeouts = timeouts or ProviderTimeouts()
        self._key = key
        self._http = VendorClient(
            session,
            provider=NAME,
            base_url=parse_address(base_url),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeouts=self._timeouts,
            key=key,
        )
        self._known = KnownModels()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`."""
        reader = CohereReader(request, self._key)
        async with (
            self._http.open("v2/chat", request_body(request), model=request.model) as response,
            aclosing(read_answer(response, reader, end_mark_s=self._timeouts.end_mark_s)) as deltas,
        ):
            async for delta in deltas:
                yield delta

    async def list_models(self) -> list[ModelInfo]:
        """GET /v1/models, all pages: those that chat, and those that embed."""
        found: list[ModelInfo] = []
        token = ""
        for _ in range(MAX_PAGES):
            page = f"&page_token={quote(token, safe='')}" if token else ""
            listed = read_json(NAME, await self._http.request("GET", f"v1/models?page_size=1000{page}"))
            if not isinstance(record(listed).get("models"), list):
                raise ProviderInvalidResponse(f"{NAME} sent something that is not a list of models.")
            found += [ModelInfo(NAME, name) for model in records(listed, "models") if (name := _usable(model))]
            token = text(listed, "next_page_token")
            if not token:
                break
        return found

    async def describe(self, model: str) -> Capabilities | None:
        """GET /v1/models/MODEL, cached for five minutes; None for one that is missing. Raises ProviderError."""
        return await self._known.load(model, lambda: self._describe(model))

    async def _describe(self, model: str) -> Capabilities:
        shown = read_json(NAME, await self._http.request("GET", f"v1/models/{quote(model, safe='')}", model=model))
        features, guess = record(shown).get("features"), from_name(NAME, model)
        context = number(shown, "context_length")
        if isinstance(features, list):
            return Capabilities("tools" in features, "vision" in features, context)
        return Capabilities(guess.tools, guess.images, context)

    async def check_key(self) -> None:
        """GET a page of one model."""
        await self._http.request("GET", "v1/models?page_size=1")

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """See `embed_for`: texts that are only compared with texts of the same kind are queries."""
        return await self.embed_for(texts, model, "query")

    async def embed_for(self, texts: Sequence[str], model: str, purpose: Purpose) -> list[list[float]]:
        """POST /v2/embed, all texts in one call."""
        if not texts:
            return []
        asked = {
            "model": model,
            "texts": list(texts),
            "input_type": _INPUT_TYPES[purpose],
            "embedding_types": ["float"],
        }
        limit_s = self._timeouts.first_token_s
        data = await self._http.request("POST", "v2/embed", msgspec.json.encode(asked), limit_s, model=model)
        return vectors(NAME, record(read_json(NAME, data), "embeddings").get("float"), len(texts))


def parse_address(text: str) -> str:
    """Return the base URL that an address means, without a version. Raises ValueError for what is no URL, or has a password."""
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ValueError("not an address")
    return next((url.removesuffix(version) for version in VERSIONS if url.endswith(version)), url)


def _usable(model: dict[str, Any]) -> str:
    """Return the name of a listed model; empty for one that neither chats nor embeds, such as a reranker."""
    endpoints = model.get("endpoints")
    able = not isinstance(endpoints, list) or {"chat", "embed"} & {e for e in endpoints if isinstance(e, str)}
    return text(model, "name") if able else ""
