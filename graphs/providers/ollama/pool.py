"""Several Ollama servers as one: a call goes to the server that can begin it soonest, and to the next if that fails.

A server that has the model in memory goes before one that would have to load it, unless it has LOADING more calls under way;
one that hasn't pulled the model goes after all that have. What a server has is asked every few seconds while there are calls.
One that could not be reached, or failed on its own side, is asked last for a while, but never left out.

Each process counts its own calls: others' are seen only by what they loaded. A single server is never asked anything.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import msgspec

from graphs.providers.contract import ProviderTimeouts
from graphs.providers.errors import (
    ModelUnknown,
    ProviderOverloaded,
    ProviderStalled,
    ProviderStreamCut,
    ProviderTimeout,
    ProviderUnreachable,
)
from graphs.providers.http.vendor_client import VendorClient, VendorStream, decode_response
from schema.errors import ProviderError
from schema.ttl_cache import TtlCache

T = TypeVar("T")

LOADING = 4
"""Loading a model takes as long as about so many calls; Ollama answers up to four at once."""
REST_S = 15.0
LOOK_S, LOOK_LIMIT_S = 5.0, 1.0
MAX_CALLED = 100

_FAILURES = (ProviderUnreachable, ProviderOverloaded, ProviderTimeout, ProviderStalled, ProviderStreamCut)


class _Named(msgspec.Struct):
    model: str = ""
    name: str = ""


class _Models(msgspec.Struct):
    models: list[_Named] | None = None


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The models that a server has on its disk and in its memory, by their full names. None where it didn't say."""

    pulled: frozenset[str] | None = None
    loaded: frozenset[str] = frozenset()


@dataclass(eq=False, slots=True)
class OllamaHost:
    """One of the servers."""

    http: VendorClient
    calls: int = 0
    rests_until: float = 0.0
    pulled: frozenset[str] = frozenset()
    """The models that it had when it last said so."""
    called: TtlCache[str, bool] = field(
        default_factory=lambda: TtlCache(MAX_CALLED, LOOK_S)
    )  # models of the last seconds

    @contextmanager
    def calling(self, model: str) -> Generator[None]:
        """Count a call, and note how it went."""
        self.calls += 1
        self.called.put(full_name(model), True)
        try:
            yield
        except _FAILURES:
            self.rests_until = time.monotonic() + REST_S
            raise
        else:
            self.rests_until = 0.0
        finally:
            self.calls -= 1


class OllamaPool:
    """The servers of one `OLLAMA_HOST`, in the order in which they are named."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        addresses: Sequence[str],
        *,
        provider: str,
        headers: Mapping[str, str],
        timeouts: ProviderTimeouts,
        key: str,
    ) -> None:
        self._provider = provider
        self._hosts = [
            OllamaHost(
                VendorClient(session, provider=provider, base_url=a, headers=headers, timeouts=timeouts, key=key)
            )
            for a in addresses
        ]
        self._held: TtlCache[OllamaHost, LoadedModels] = TtlCache(len(self._hosts), LOOK_S)

    @asynccontextmanager
    async def open(
        self, path: str, body: bytes, *, model: str, first_s: float | None = None, next_s: float | None = None
    ) -> AsyncGenerator[VendorStream, None]:
        """As `VendorClient.open`, at one of the servers. Raises ModelUnknown if none that answers has the model."""
        async with AsyncExitStack() as stack:

            async def begin(host: OllamaHost) -> VendorStream:
                return await stack.enter_async_context(_stream(host, path, body, model, first_s, next_s))

            yield await self._at_one(model, begin)

    async def request(
        self, method: str, path: str, body: bytes | None = None, limit_s: float | None = None, *, model: str = ""
    ) -> bytes:
        """As `VendorClient.request`, at one of the servers."""

        async def ask(host: OllamaHost) -> bytes:
            with host.calling(model):
                return await host.http.request(method, path, body, limit_s, model=model)

        return await self._at_one(model, ask)

    async def list_models(self) -> list[str]:
        """GET /api/tags of all servers: the names of models on disk, each once. Raises the first's error if none answers."""
        answers = await asyncio.gather(*(_tags(host) for host in self._hosts), return_exceptions=True)
        listed = [answer for answer in answers if not isinstance(answer, BaseException)]
        for answer in answers:
            if isinstance(answer, BaseException) and (not listed or not isinstance(answer, ProviderError)):
                raise answer
        return list(dict.fromkeys(name for names in listed for name in names))

    def forget(self) -> None:
        """Ask the servers anew what they have: a model has been pulled."""
        self._held.clear()

    async def warm(self, model: str, body: bytes) -> int:
        """Have a model loaded by each server that has pulled it, at the same time; return how many did. Raises nothing."""

        async def load(host: OllamaHost) -> bool:
            pulled = (await self._look(host)).pulled
            if pulled is None or full_name(model) not in pulled:
                return False
            try:
                with host.calling(model):
                    await host.http.request("POST", "api/generate", body, host.http.timeouts.first_token_s, model=model)
            except ProviderError:
                return False
            return True

        return sum(await asyncio.gather(*(load(host) for host in self._hosts)))

    async def _at_one(self, model: str, call: Callable[[OllamaHost], Awaitable[T]]) -> T:
        """Raises ModelUnknown, which leads to a pull, only if no server that failed has the model: else that one's failure."""
        of_owner, unknown, others = list[ProviderError](), list[ProviderError](), list[ProviderError]()
        for host in await self._in_order(model):
            try:
                return await call(host)
            except ModelUnknown as exc:
                unknown.append(exc)
            except (ProviderUnreachable, ProviderOverloaded) as exc:
                has_it = isinstance(exc, ProviderOverloaded) or full_name(model) in host.pulled
                (of_owner if has_it else others).append(exc)
        raise (*of_owner, *unknown, *others)[0]

    async def _in_order(self, model: str) -> list[OllamaHost]:
        if len(self._hosts) == 1:
            return self._hosts
        name, now = full_name(model), time.monotonic()
        held = await asyncio.gather(*(self._look(host) for host in self._hosts))

        def rank(host: OllamaHost, has: LoadedModels) -> tuple[bool, bool, int]:
            loaded = name in has.loaded or name in host.called
            lacks = has.pulled is not None and name not in has.pulled
            return host.rests_until > now, lacks, host.calls + (0 if loaded else LOADING)

        ranked = sorted(zip(self._hosts, held, strict=True), key=lambda one: rank(*one))
        return [host for host, _ in ranked]

    async def _look(self, host: OllamaHost) -> LoadedModels:
        if host.rests_until > time.monotonic():
            return LoadedModels()
        return await self._held.load(host, lambda: _look(host))


@asynccontextmanager
async def _stream(
    host: OllamaHost, path: str, body: bytes, model: str, first_s: float | None, next_s: float | None
) -> AsyncGenerator[VendorStream, None]:
    with host.calling(model):
        async with host.http.open(path, body, model=model, first_s=first_s, next_s=next_s) as stream:
            yield stream


async def _look(host: OllamaHost) -> LoadedModels:
    """Return what a server has. One that can't be asked rests, as after a call."""
    try:
        async with asyncio.timeout(LOOK_LIMIT_S):
            pulled, loaded = await asyncio.gather(_tags(host), _names(host, "api/ps"))
    except (ProviderError, TimeoutError):
        host.rests_until = time.monotonic() + REST_S
        return LoadedModels()
    host.pulled = frozenset(map(full_name, pulled))
    return LoadedModels(host.pulled, frozenset(map(full_name, loaded)))


async def _tags(host: OllamaHost) -> list[str]:
    return await _names(host, "api/tags")


async def _names(host: OllamaHost, path: str) -> list[str]:
    data = await host.http.request("GET", path)
    found = decode_response(host.http.provider, msgspec.json.Decoder(_Models).decode, data)
    return [one.model or one.name for one in found.models or ()]


def full_name(model: str) -> str:
    """Return a model's name with its tag, which is `latest` where none is named."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"
