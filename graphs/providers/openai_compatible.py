"""Every vendor that speaks OpenAI's HTTP protocol, told apart by its row in `vendors.py`."""

from collections.abc import AsyncGenerator, Sequence

import aiohttp
import msgspec

from graphs.providers.contract import Delta, ModelInfo, ModelRequest, ProviderTimeouts
from graphs.providers.errors import ProviderCut, ProviderGarbage, ProviderStalled
from graphs.providers.openai_wire import ChunkReader, request_body
from graphs.providers.sse import SseSplitter
from graphs.providers.vendor_http import VendorHttp, Wire, decode_answer
from graphs.providers.vendors import Vendor


class _Model(msgspec.Struct):
    id: str
    created: float | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]


class OpenAICompatible:
    """A `Provider` and `Embedder` over the shared session; holds no connection and no state of its own."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        vendor: Vendor,
        *,
        key: str = "",
        timeouts: ProviderTimeouts | None = None,
    ) -> None:
        self.name = vendor.name
        self._vendor = vendor
        self._key = key
        self._timeouts = timeouts or ProviderTimeouts()
        self._http = VendorHttp(
            session,
            provider=vendor.name,
            base_url=vendor.base_url,
            headers=_auth(vendor, key),
            timeouts=self._timeouts,
            key=key,
        )

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. Deltas that arrive in one network read are handed out together."""
        body = request_body(request, self._vendor)
        events = SseSplitter(self.name)
        chunks = ChunkReader(self.name, request, self._key)
        async with self._http.open("chat/completions", body, model=request.model) as wire:
            while not chunks.ended:
                piece = await self._read(wire, chunks)
                deltas = chunks.feed(events.feed(piece) if piece else events.rest())
                for delta in deltas:
                    yield delta
                chunks.check()
                if deltas or chunks.said_why:
                    wire.heard(self._timeouts.end_mark_s if chunks.said_why else None)
                if not piece:
                    break
            yield chunks.finish()
            await wire.drain()

    async def _read(self, wire: Wire, chunks: ChunkReader) -> bytes:
        try:
            return await wire.read()
        except (ProviderCut, ProviderStalled):
            if chunks.said_why:
                return b""  # the answer was whole; only its usage is missing
            raise

    async def list_models(self) -> list[ModelInfo]:
        """GET /models; raises ProviderGarbage when it is not a list of models."""
        data = await self._http.request("GET", "models")
        found = decode_answer(self.name, msgspec.json.Decoder(_Models).decode, data)
        return [ModelInfo(self.name, m.id, int(m.created or 0)) for m in found.data]

    async def check_key(self) -> None:
        """GET of the vendor's cheapest page behind the key."""
        await self._http.request("GET", self._vendor.key_check)

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """POST /embeddings, all texts in one call."""
        if not texts:
            return []
        body = msgspec.json.encode({"model": model, "input": list(texts), "encoding_format": "float"})
        data = await self._http.request("POST", "embeddings", body, self._timeouts.first_token_s, model=model)
        found = decode_answer(self.name, msgspec.json.Decoder(_Vectors).decode, data).data
        if len(found) != len(texts):
            raise ProviderGarbage(f"{self.name} sent {len(found)} vectors for {len(texts)} texts.")
        return [v.embedding for v in sorted(found, key=lambda v: v.index)]


def _auth(vendor: Vendor, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {"api-key": key} if vendor.auth == "api-key" else {"Authorization": f"Bearer {key}"}
