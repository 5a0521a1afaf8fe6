"""Anthropic's Messages API: chat with signed thoughts, tools, images and a cache for prompts.

The official `anthropic` package is only the reference for the wire format (the tests run it against the same counterpart), for
the same reasons as Ollama's.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec

from graphs.providers.anthropic.blocks import NAME, has_thoughts
from graphs.providers.anthropic.event_reader import EventReader
from graphs.providers.anthropic.model_facts import ModelFacts, decode_model, facts_by_name, facts_from
from graphs.providers.anthropic.request_body import Body, build_body
from graphs.providers.capabilities import Capabilities
from graphs.providers.contract import Delta, ModelInfo, ModelRequest, ProviderTimeouts
from graphs.providers.errors import (
    ModelUnknown,
    ProviderRefused,
    ProviderStalled,
    ProviderStreamCut,
)
from graphs.providers.http.sse import SseSplitter
from graphs.providers.http.vendor_client import VendorClient, VendorStream, decode_response
from graphs.providers.reported import reported_count
from schema.errors import ProviderError
from schema.ttl_cache import TtlCache

BASE_URL = "https://api.anthropic.com"
PATH = "/v1"
VERSION = "2023-06-01"
"""Under the version that followed, temperature, top_p and top_k are refused even for the models that take them."""

MAX_CACHED_MODELS, FACTS_TTL_S = 1000, 300.0
FACTS_TIMEOUT_S = 3.0
MAX_PAGES = 20
COUNTED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)
"""Fields of a request that are part of its prompt."""

MAX_PAUSES = 10
"""How often a turn that the vendor has paused is sent back to it."""


_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


class _Model(msgspec.Struct):
    id: str = ""


class _Page(msgspec.Struct):
    data: list[_Model]
    has_more: bool = False
    last_id: str | None = None


class Anthropic:
    """A `Provider`."""

    name = NAME

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str = "",
        *,
        key: str = "",
        timeouts: ProviderTimeouts | None = None,
    ) -> None:
        self._timeouts, self._key = timeouts or ProviderTimeouts(), key
        self._http = VendorClient(
            session,
            provider=NAME,
            base_url=parse_base_url(base_url or BASE_URL) + PATH,
            headers={"anthropic-version": VERSION, **({"x-api-key": key} if key else {})},
            timeouts=self._timeouts,
            key=key,
        )
        self._facts: TtlCache[str, ModelFacts] = TtlCache(MAX_CACHED_MODELS, FACTS_TTL_S)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. If the vendor refuses the thoughts of earlier answers, it is asked again without them: it
        takes those of one model and one conversation, and both may have changed."""
        facts = await self._find_facts(request)
        with_thoughts = has_thoughts(request.messages)
        begun = False
        try:
            async with aclosing(self._stream(request, build_body(request, facts))) as deltas:
                async for delta in deltas:
                    begun = True
                    yield delta
            return
        except ProviderRefused as refused:
            if begun or not (with_thoughts and _is_about_thoughts(refused)):
                raise
        async with aclosing(self._stream(request, build_body(request, facts, thoughts=False))) as deltas:
            async for delta in deltas:
                yield delta

    async def _stream(self, request: ModelRequest, body: Body) -> AsyncGenerator[Delta, None]:
        reader = EventReader(NAME, request, body, self._key)
        turn = body.fields
        for _ in range(MAX_PAUSES):
            async with aclosing(self._answer(request, turn, body.betas, reader)) as deltas:
                async for delta in deltas:
                    yield delta
            if not reader.is_paused:
                break
            paused = {"role": "assistant", "content": reader.resume()}
            turn = {**turn, "messages": [*turn["messages"], paused]}
        for delta in reader.finish(reader.foreign):
            yield delta

    async def _answer(
        self, request: ModelRequest, turn: dict[str, Any], betas: tuple[str, ...], reader: EventReader
    ) -> AsyncGenerator[Delta, None]:
        """Send one request and yield what comes back, up to its end."""
        events, headers = SseSplitter(NAME), {"anthropic-beta": ",".join(betas)} if betas else {}
        data = msgspec.json.encode(turn)
        async with self._http.open("messages", data, model=request.model, headers=headers) as response:
            while not reader.ended:
                piece = await _read(response, reader)
                deltas = reader.feed(events.feed(piece) if piece else events.flush())
                for delta in deltas:
                    yield delta
                reader.check()
                if deltas or reader.has_finish_reason:
                    response.note_activity(self._timeouts.end_mark_s if reader.has_finish_reason else None)
                if not piece:
                    break
            reader.foreign = events.foreign
            await response.drain()

    async def count_tokens(self, request: ModelRequest) -> int | None:
        """POST messages/count_tokens: the tokens of a prompt, or None if what comes back is no count. Costs nothing."""
        body = build_body(request, await self._find_facts(request)).fields
        counted = msgspec.json.encode({name: value for name, value in body.items() if name in COUNTED})
        data = await self._http.request("POST", "messages/count_tokens", counted, model=request.model)
        return reported_count(decode_response(NAME, _decode_any, data).get("input_tokens"))

    async def list_models(self) -> list[ModelInfo]:
        """GET models, all pages."""
        found: list[ModelInfo] = []
        after = ""
        for _ in range(MAX_PAGES):
            query = urlencode({"limit": 1000, **({"after_id": after} if after else {})})
            data = await self._http.request("GET", f"models?{query}")
            page = decode_response(NAME, msgspec.json.Decoder(_Page).decode, data)
            found += [ModelInfo(NAME, model.id) for model in page.data if model.id]
            after = page.last_id or ""
            if not (page.has_more and after):
                break
        return found

    async def describe(self, model: str) -> Capabilities | None:
        """GET models/NAME, cached for five minutes; None, which is not cached, for a model that is missing."""
        try:
            facts = await self._facts.load(model, lambda: self._fetch_facts(model))
        except ModelUnknown:
            return None
        return Capabilities(tools=True, images=facts.images, context_tokens=facts.context_tokens)

    async def check_key(self) -> None:
        """GET a short list of models, which needs the key."""
        await self._http.request("GET", "models?limit=1")

    async def _fetch_facts(self, model: str) -> ModelFacts:
        data = await self._http.request("GET", f"models/{quote(model, safe='')}", limit_s=FACTS_TIMEOUT_S, model=model)
        return facts_from(model, decode_response(NAME, decode_model, data))

    async def _find_facts(self, request: ModelRequest) -> ModelFacts:
        """Return what the model takes. The vendor is asked only if the request depends on it; if it doesn't say, the model's
        name tells."""
        if request.reasoning_effort is None and request.response_format is None:
            return self._facts.get(request.model) or facts_by_name(request.model)
        try:
            return await self._facts.load(request.model, lambda: self._fetch_facts(request.model))
        except ProviderError:
            # The call itself will tell what is wrong. A server without this route isn't asked for each call.
            guessed = facts_by_name(request.model)
            self._facts.put(request.model, guessed)
            return guessed


async def _read(response: VendorStream, reader: EventReader) -> bytes:
    try:
        return await response.read()
    except (ProviderStreamCut, ProviderStalled):
        if reader.has_finish_reason:
            return b""  # the answer is complete; only its end mark is missing
        raise


def _is_about_thoughts(refused: ProviderRefused) -> bool:
    """Whether the vendor refuses a thought: its signature, its place, or that one is missing."""
    said = refused.message.lower()
    return "thinking" in said and any(word in said for word in ("signature", "modif", "expected", "block"))


def parse_base_url(url: str) -> str:
    """Return an address without `/v1` at its end, as the vendor's own clients take it. Raises ValueError for one that isn't
    http or https."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError("not an http or https URL")
    return url.strip().rstrip("/").removesuffix(PATH).rstrip("/")
