"""Google's Gemini, over its own protocol. Not for: what the bytes mean (`request.py`, `reader.py`, `messages.py`)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from graphs.providers.answers.fields import number, record, records, text, vectors
from graphs.providers.answers.json_payloads import read_json
from graphs.providers.answers.reader import read_answer
from graphs.providers.capabilities import Capabilities, KnownModels
from graphs.providers.contract import Delta, ModelInfo, ModelRequest, ProviderTimeouts, Purpose
from graphs.providers.errors import ProviderInvalidResponse, ProviderRefused
from graphs.providers.google.messages import NAME
from graphs.providers.google.reader import GoogleReader
from graphs.providers.google.request import request_body, wants_thoughts
from graphs.providers.http.vendor_client import VendorClient

ADDRESS = "https://generativelanguage.googleapis.com/v1beta"
OPENAI_LAYER = "/openai"
"""What addresses end in that were set for Google's OpenAI layer, which was spoken before."""
MAX_PAGES = 20
_TASKS = {"query": "RETRIEVAL_QUERY", "passage": "RETRIEVAL_DOCUMENT"}


class Google:
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
            headers={"x-goog-api-key": key} if key else {},
            timeouts=self._timeouts,
            key=key,
        )
        self._known = KnownModels()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. A request that is refused for its signatures, or because the model can't show thoughts, is
        sent once more without them: signatures expire, and belong to one model."""
        began = False
        try:
            async with aclosing(self._generate(request, request_body(request))) as answer:
                async for delta in answer:
                    began = True
                    yield delta
            return
        except ProviderRefused as refused:
            body = None if began else _second_try(request, refused)
            if body is None:
                raise
        async with aclosing(self._generate(request, body)) as answer:
            async for delta in answer:
                yield delta

    async def _generate(self, request: ModelRequest, body: bytes) -> AsyncGenerator[Delta, None]:
        path = f"{model_path(request.model)}:streamGenerateContent?alt=sse"
        reader = GoogleReader(request, self._key)
        async with (
            self._http.open(path, body, model=request.model) as response,
            aclosing(read_answer(response, reader, end_mark_s=self._timeouts.end_mark_s)) as deltas,
        ):
            async for delta in deltas:
                yield delta

    async def list_models(self) -> list[ModelInfo]:
        """GET models, all pages: those that generate content, and those that embed."""
        found: list[ModelInfo] = []
        token = ""
        for _ in range(MAX_PAGES):
            page = f"&pageToken={quote(token, safe='')}" if token else ""
            listed = read_json(NAME, await self._http.request("GET", f"models?pageSize=1000{page}"))
            if not isinstance(record(listed).get("models", []), list) or not isinstance(listed, dict):
                raise ProviderInvalidResponse(f"{NAME} sent something that is not a list of models.")
            found += [ModelInfo(NAME, name) for model in records(listed, "models") if (name := _usable(model))]
            token = text(listed, "nextPageToken")
            if not token:
                break
        return found

    async def describe(self, model: str) -> Capabilities | None:
        """GET the model, cached for five minutes; None for one that is missing. Raises ProviderError."""
        return await self._known.load(model, lambda: self._describe(model))

    async def _describe(self, model: str) -> Capabilities:
        shown = read_json(NAME, await self._http.request("GET", model_path(model), model=model))
        bare = model.removeprefix("models/")
        return Capabilities(
            tools=not bare.startswith("gemma"),
            images=bare.startswith(("gemini", "gemma-3")),
            context_tokens=number(shown, "inputTokenLimit"),
        )

    async def check_key(self) -> None:
        """GET one model of the list."""
        await self._http.request("GET", "models?pageSize=1")

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """See `embed_for`, without a purpose."""
        return await self.embed_for(texts, model, None)

    async def embed_for(self, texts: Sequence[str], model: str, purpose: Purpose | None) -> list[list[float]]:
        """POST :batchEmbedContents, all texts in one call."""
        if not texts:
            return []
        path = model_path(model)
        fixed: dict[str, Any] = {"model": path} if purpose is None else {"model": path, "taskType": _TASKS[purpose]}
        body = msgspec.json.encode({"requests": [{**fixed, "content": {"parts": [{"text": t}]}} for t in texts]})
        limit_s = self._timeouts.first_token_s
        data = await self._http.request("POST", f"{path}:batchEmbedContents", body, limit_s, model=model)
        found = records(read_json(NAME, data), "embeddings")
        return vectors(NAME, [one.get("values") for one in found], len(texts))


def model_path(model: str) -> str:
    """Return the path of a model. Nothing in a name can lead to another route."""
    kind, slash, name = model.partition("/")
    if not slash or kind not in ("models", "tunedModels"):
        kind, name = "models", model
    return f"{kind}/{quote(name, safe='')}"


def parse_address(text: str) -> str:
    """Return the base URL that an address means: without a path it is the newest version's, and Google's OpenAI layer is beside
    it. Raises ValueError for what is no URL, or has a password."""
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ValueError("not an address")
    url = url.removesuffix(OPENAI_LAYER)
    return url if urlsplit(url).path.strip("/") else f"{url}/v1beta"


def _second_try(request: ModelRequest, refused: ProviderRefused) -> bytes | None:
    """Return the body to send after a refusal that another one may mend; None if there is none."""
    said = refused.message.lower().replace("_", " ")
    if "thought signature" in said:
        return request_body(request, signed=False)
    if "think" in said and wants_thoughts(request):
        return request_body(request, think=False)
    return None


def _usable(model: dict[str, Any]) -> str:
    """Return the name of a listed model; empty for one that neither answers nor embeds, such as a maker of films."""
    methods = model.get("supportedGenerationMethods")
    name = text(model, "name").removeprefix("models/")
    able = not isinstance(methods, list) or {"generateContent", "embedContent"} & {
        m for m in methods if isinstance(m, str)
    }
    return name if able else ""
