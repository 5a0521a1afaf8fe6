"""The provider for all vendors that speak OpenAI's HTTP protocol; `vendors.py` has their differences."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import aiohttp
import msgspec

from graphs.providers.capabilities import Capabilities, KnownModels, from_name
from graphs.providers.contract import Completing, Delta, ModelInfo, ModelRequest, ProviderTimeouts
from graphs.providers.errors import (
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderStalled,
    ProviderStreamCut,
    SchemaUnsupported,
)
from graphs.providers.grammar_schemas import reduce_format, reduce_tools
from graphs.providers.http.sse import SseSplitter
from graphs.providers.http.vendor_client import VendorClient, VendorStream, decode_response
from graphs.providers.openai.chat_request import request_body
from graphs.providers.openai.responses import stream_response
from graphs.providers.openai.text_completions import completion_body
from graphs.providers.openai.vendors import Auth, Vendor
from graphs.providers.openai.wire_format import ChunkReader

MAX_CONTEXT = 100_000_000
MISSING_TTL_S = 60.0  # of a proxy that lists other names than it takes, or no models at all


class _Model(msgspec.Struct):
    id: str = ""
    name: str = ""  # Cohere's field for it
    created: float | None = None
    max_model_len: Any = None  # of vLLM
    meta: Any = None  # of llama.cpp

    @property
    def context_tokens(self) -> int | None:
        said: Any = self.meta.get("n_ctx") if isinstance(self.meta, dict) else self.max_model_len
        return said if type(said) is int and 0 < said <= MAX_CONTEXT else None


class _Models(msgspec.Struct):
    data: list[_Model] | None = None
    models: list[_Model] | None = None  # Cohere lists in its own format, even on its OpenAI-compatible endpoint


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]


class OpenAICompatible:
    """A `Provider` and `Embedder` over the shared session, without connections or state of its own."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        vendor: Vendor,
        *,
        key: str = "",
        timeouts: ProviderTimeouts | None = None,
        models: Sequence[str] = (),
        by_responses: Sequence[str] = (),
    ) -> None:
        """`models` are those of a vendor that can't list them; `by_responses` patterns of those that are called by the
        Responses API, besides the vendor's own."""
        self.name = vendor.name
        self.headers, self._models = vendor.headers, tuple(models)
        self._by_responses = tuple(by_responses)
        self._vendor = vendor
        self._makes_grammars = vendor.makes_grammars
        self._key = key
        self._timeouts = timeouts or ProviderTimeouts()
        self._http = self._open(session, _auth(vendor.auth, key))
        self._known = KnownModels(missing_ttl_s=MISSING_TTL_S)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. Deltas that arrive in one network read are yielded together.

        Schemas go out as they are until the server has refused one for its grammar, and reduced from then on.
        """
        if not self._makes_grammars:
            try:
                async with aclosing(self._call(request)) as stream:
                    async for delta in stream:
                        yield delta
                return
            except SchemaUnsupported:  # raised by the status, so before any delta
                self._makes_grammars = True
        async with aclosing(self._call(_with_reduced_schemas(request))) as stream:
            async for delta in stream:
                yield delta

    async def _call(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        by_responses = request.completion is None and self.is_by_responses(request.model)
        called = self._respond(request) if by_responses else self._complete(request)
        async with aclosing(called) as answer:
            async for delta in answer:
                yield delta

    def _respond(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        return stream_response(self._http, self._vendor, request, self._key)

    def is_by_responses(self, model: str) -> bool:
        """Whether a model is called by the Responses API."""
        return self._vendor.needs_responses(model) or any(fnmatchcase(model, one) for one in self._by_responses)

    def completes(self, model: str) -> Completing | None:
        """See `Completer`."""
        return self._vendor.completing if self._vendor.completes(model) else None

    async def _complete(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        vendor, is_chat = self._vendor, request.completion is None
        body = request_body(request, vendor) if is_chat else completion_body(request, vendor)
        path = "chat/completions" if is_chat else vendor.completions
        events = SseSplitter(self.name)
        chunks = ChunkReader(self.name, request, self._key, returns_thoughts=vendor.returns_thoughts)
        async with self._http.open(vendor.route(path, request.model), body, model=request.model) as response:
            while not chunks.ended:
                piece = await self._read(response, chunks)
                deltas = chunks.feed(events.feed(piece) if piece else events.flush())
                for delta in deltas:
                    yield delta
                chunks.check()
                if deltas or chunks.has_finish_reason:
                    response.note_activity(self._timeouts.end_mark_s if chunks.has_finish_reason else None)
                if not piece:
                    break
            for delta in chunks.finish(events.foreign):
                yield delta
            await response.drain()

    def _open(self, session: aiohttp.ClientSession, headers: dict[str, str]) -> VendorClient:
        return VendorClient(
            session,
            provider=self.name,
            base_url=self._vendor.base_url,
            headers=dict(self._vendor.headers) | headers,
            timeouts=self._timeouts,
            key=self._key,
        )

    async def _read(self, response: VendorStream, chunks: ChunkReader) -> bytes:
        try:
            return await response.read()
        except (ProviderStreamCut, ProviderStalled):
            if chunks.has_finish_reason:
                return b""  # the answer is complete; only its usage is missing
            raise

    async def list_models(self) -> list[ModelInfo]:
        """GET /models, or the models that were named, of a vendor whose list tells nothing. Raises ProviderInvalidResponse if
        the response is not a list of models."""
        if not self._vendor.lists:
            return [ModelInfo(self.name, model) for model in self._models]
        return [ModelInfo(self.name, name, int(m.created or 0)) for m in await self._list() if (name := m.id or m.name)]

    async def _list(self) -> list[_Model]:
        data = await self._http.request("GET", self._vendor.route(self._vendor.models))
        found = decode_response(self.name, msgspec.json.Decoder(_Models).decode, data)
        listed = found.models if found.data is None else found.data
        if listed is None:
            raise ProviderInvalidResponse(f"{self.name} sent something that is not a list of models.")
        return listed

    async def describe(self, model: str) -> Capabilities | None:
        """GET /models of a server that its owner started: those list how much they read of a conversation. None for other
        vendors. Raises ProviderError."""
        if not self._vendor.lists_own:
            return None
        return await self._known.load(model, lambda: self._describe(model))

    async def _describe(self, model: str) -> Capabilities:
        listed = await self._list()
        found = next((one for one in listed if model in (one.id, one.name)), None)
        if found is None and len(listed) == 1:  # llama.cpp answers with its one model, whatever the name
            found = listed[0]
        if found is None:
            raise ModelUnknown(f"{self.name} has no model {model[:80]!r}.")
        return replace(from_name(self.name, model), context_tokens=found.context_tokens)

    async def check_key(self) -> None:
        """GET the vendor's cheapest endpoint that requires the key."""
        await self._http.request("GET", self._vendor.route(self._vendor.key_check))

    async def embed(self, texts: Sequence[str] | Sequence[Sequence[int]], model: str) -> list[list[float]]:
        """POST /embeddings, all texts, or lists of tokens, in one call."""
        if not texts:
            return []
        body = msgspec.json.encode({"model": model, "input": list(texts), "encoding_format": "float"})
        path, limit_s = self._vendor.route("embeddings", model), self._timeouts.first_token_s
        data = await self._http.request("POST", path, body, limit_s, model=model)
        found = decode_response(self.name, msgspec.json.Decoder(_Vectors).decode, data).data
        if len(found) != len(texts):
            raise ProviderInvalidResponse(f"{self.name} sent {len(found)} vectors for {len(texts)} texts.")
        return [v.embedding for v in sorted(found, key=lambda v: v.index)]


def _with_reduced_schemas(request: ModelRequest) -> ModelRequest:
    if not (request.tools or request.response_format):
        return request
    return msgspec.structs.replace(
        request, tools=reduce_tools(request.tools), response_format=reduce_format(request.response_format)
    )


def _auth(auth: Auth, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {"Authorization": f"Bearer {key}"} if auth == "bearer" else {auth: key}
