"""Ollama, over its own protocol: chat with thinking and tools, and models that are pulled when they are missing.

The official `ollama` package is only the reference for the wire format (the tests run it against the same counterpart). Its
httpx client would be a second connection pool with time limits, errors and cancelling of its own, and takes 47 µs a token
instead of 15.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import aiohttp
import msgspec

from graphs.providers.capabilities import Capabilities, KnownModels
from graphs.providers.contract import Completing, Delta, ModelInfo, ModelRequest, Progress, ProviderTimeouts
from graphs.providers.errors import (
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderRefused,
    ProviderStreamCut,
    safe_excerpt,
)
from graphs.providers.http.sse import JsonSplitter, LineSplitter
from graphs.providers.http.vendor_client import decode_response
from graphs.providers.ollama.addresses import parse_hosts
from graphs.providers.ollama.pool import OllamaPool
from graphs.providers.ollama.show import parse_show
from graphs.providers.ollama.wire_format import NAME, LineReader, generate_body, request_body

FIRST_MODEL = "llama3.2:3b"  # pulled, with progress, by an Ollama that has nothing yet
WARM_AGAIN_S = 60.0
PROGRESS_STEP = 0.01  # a pull reports many times a second; showing every hundredth of its size is enough


class _Pull(msgspec.Struct):
    status: str = ""
    total: int = 0
    completed: int = 0
    error: str | None = None


class _Vectors(msgspec.Struct):
    embeddings: list[list[float]]


class Ollama:
    """A `Provider` and `Embedder`; a missing model is pulled first, with `Progress` deltas.

    `host` is one server or several, separated by commas (`pool.py`). `keep_alive` is how long a model stays in memory after a
    call, as Ollama reads it; empty leaves that to the server.
    """

    name = NAME

    def __init__(
        self,
        session: aiohttp.ClientSession,
        host: str = "",
        *,
        key: str = "",
        timeouts: ProviderTimeouts | None = None,
        keep_alive: str = "",
    ) -> None:
        self._timeouts = timeouts or ProviderTimeouts()
        self._key = key
        self._keep_alive = int(keep_alive) if keep_alive.lstrip("-").isdigit() else keep_alive or None
        self._http = OllamaPool(
            session,
            parse_hosts(host).split(","),
            provider=NAME,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeouts=self._timeouts,
            key=key,
        )
        self._known = KnownModels()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. Raises ModelUnknown if the model is missing and can't be pulled."""
        keep_alive = self._keep_alive
        body = request_body(request, keep_alive) if request.completion is None else generate_body(request, keep_alive)
        try:
            async with aclosing(self._chat(request, body)) as chat:
                async for delta in chat:
                    yield delta
            return
        except ModelUnknown:
            pass  # raised by the status, so before any delta
        async with aclosing(self._pull(request.model)) as pull:
            async for step in pull:
                yield step
        async with aclosing(self._chat(request, body)) as chat:
            async for delta in chat:
                yield delta

    async def list_models(self) -> list[ModelInfo]:
        """GET /api/tags: the models that are on disk."""
        return [ModelInfo(NAME, name) for name in await self._http.list_models()]

    def completes(self, model: str) -> Completing | None:
        """See `Completer`. Ollama puts a prompt into the model's template, or into that for gaps, unless it is told `raw`."""
        return Completing(suffix=True)

    async def describe(self, model: str) -> Capabilities | None:
        """POST /api/show, cached for five minutes; None, which is not cached, for a model that is missing.

        Raises ProviderError.
        """
        return await self._known.load(model, lambda: self._describe(model))

    async def _describe(self, model: str) -> Capabilities:
        body = msgspec.json.encode({"model": model})
        return parse_show(NAME, await self._http.request("POST", "api/show", body, model=model))

    async def warm(self, model: str) -> float | None:
        """Load a model before it is asked for; see `WarmsModels.warm`. Only if a `keep_alive` is set: otherwise the server
        forgets it after minutes, and how much memory it takes is left to whoever asks."""
        if self._keep_alive is None:
            return None
        body = msgspec.json.encode({"model": model, "keep_alive": self._keep_alive})
        loaded = await self._http.warm(model, body)
        return WARM_AGAIN_S if not loaded or str(self._keep_alive).startswith("-") else None

    async def check_key(self) -> None:
        """GET /api/tags: a plain Ollama has no keys, but one behind a proxy may."""
        await self._http.request("GET", "api/tags")

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """POST /api/embed, all texts in one call. A missing model is not pulled; it raises ModelUnknown."""
        if not texts:
            return []
        body = msgspec.json.encode({"model": model, "input": list(texts)})
        data = await self._http.request("POST", "api/embed", body, self._timeouts.first_token_s, model=model)
        found = decode_response(NAME, msgspec.json.Decoder(_Vectors).decode, data).embeddings
        if len(found) != len(texts):
            raise ProviderInvalidResponse(f"{NAME} sent {len(found)} vectors for {len(texts)} texts.")
        return found

    async def _chat(self, request: ModelRequest, body: bytes) -> AsyncGenerator[Delta, None]:
        lines, reader = JsonSplitter(NAME), LineReader(NAME, request, self._key)
        path = "api/chat" if request.completion is None else "api/generate"
        async with self._http.open(path, body, model=request.model) as response:
            while not reader.ended:
                piece = await response.read()
                deltas = reader.feed(lines.feed(piece) if piece else lines.flush())
                for delta in deltas:
                    yield delta
                reader.check()
                if deltas:
                    response.note_activity()
                if not piece:
                    break
            for delta in reader.finish(lines.foreign):
                yield delta
            await response.drain()

    async def _pull(self, model: str) -> AsyncGenerator[Progress, None]:
        body = msgspec.json.encode({"model": model, "stream": True})
        lines, shown, pulled = LineSplitter(NAME), Progress(""), False
        silence_s = self._timeouts.pull_s
        async with self._http.open("api/pull", body, model=model, first_s=silence_s, next_s=silence_s) as response:
            while piece := await response.read():
                response.note_activity()
                for line in lines.feed(piece):
                    step = _progress(line, model)
                    pulled = pulled or step.text == "success"
                    if _worth_showing(step, shown):
                        yield (shown := step)
            if not pulled:
                raise ProviderStreamCut(f"{NAME} stopped pulling {model!r} before it was complete.")
        self._http.forget()


def _progress(line: bytes, model: str) -> Progress:
    step = decode_response(NAME, msgspec.json.Decoder(_Pull).decode, line)
    if step.error is not None:
        if "file does not exist" in step.error or "not found" in step.error:
            raise ModelUnknown(f"{NAME} has no model {model!r}, and its registry has none of this name.")
        raise ProviderRefused(f"{NAME} could not pull {model!r}: {safe_excerpt(step.error)}")
    return Progress(step.status, step.completed, step.total)


def _worth_showing(step: Progress, shown: Progress) -> bool:
    if step.text != shown.text or step.done == step.total:
        return step != shown
    return step.done - shown.done >= PROGRESS_STEP * step.total
