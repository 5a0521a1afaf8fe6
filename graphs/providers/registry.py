"""The providers of one process: one aiohttp session, and each provider built when it is first asked for.

Names and settings are read in `settings.py`. Works without Redis and Postgres; every list of models is held in memory
for half a minute, per process.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver

from graphs.providers.contract import ModelInfo, Provider
from graphs.providers.errors import ModelUnknown, ProviderTimeout
from graphs.providers.native import NATIVE
from graphs.providers.offline import provider as offline
from graphs.providers.offline.provider import Offline
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.settings import ModelRef, ProviderAccess, ProviderSettings, resolve
from schema.errors import HeadraceError, ProviderError
from schema.ttl_cache import TtlCache

LIST_S = 3.0
KEPT_LISTS = 100
KEEP_S = 30.0
KEEP_FAILURE_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a provider answered when it was asked for its models."""

    models: tuple[ModelInfo, ...] = ()
    failure: HeadraceError | None = None


class Providers:
    """`async with Providers(settings) as providers:` — opened once per process, after it has started, and passed down.

    A session that is passed in stays open on the way out; one that is made here is closed.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        session: aiohttp.ClientSession | None = None,
        list_s: float = LIST_S,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.settings = settings
        self._session = session
        self._owns_session = session is None
        self._list_s = list_s
        self._built: dict[str, Provider] = {}
        self._listed: TtlCache[str, Listed] = TtlCache(KEPT_LISTS, _keep_s, clock=now or time.monotonic)

    async def __aenter__(self) -> "Providers":
        if self._session is None:
            self._session = open_session()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._built.clear()
        if self._owns_session and self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session. Raises RuntimeError before and after its life."""
        if self._session is None:
            raise RuntimeError("Providers is used before `async with` or after it")
        return self._session

    def get(self, name: str) -> Provider:
        """The provider of this name. Raises ProviderUnknown or ProviderIsHeadrace."""
        if name not in self._built:
            self._built[name] = self._build(name)
        return self._built[name]

    async def resolve(self, model: str | None) -> ModelRef:
        """As `settings.resolve`, and a name that was left to the provider is looked up in its list.

        Raises ModelUnknown when the provider has no model that could be taken unasked, or what listing raises.
        """
        ref = resolve(model, self.settings)
        return ref if ref.name else ModelRef(ref.provider, await self._choose(ref.provider))

    async def list_models(self) -> list[ModelInfo]:
        """The models of all configured providers, in order; one that fails is logged and left out.

        `offline/extractive` is among them only when nothing is configured, or when it is the default model.
        """
        names = list(self.settings.names)
        if self.settings.default_provider == offline.NAME:
            names.append(offline.NAME)
        listed = await asyncio.gather(*(self._list(name) for name in names))
        return [model for one in listed for model in one.models]

    async def _choose(self, name: str) -> str:
        listed = await self._list(name)
        if listed.failure is not None:
            raise listed.failure
        have = [model.name for model in listed.models]
        native = NATIVE.get(name)
        row = native or VENDORS[name].at(self.settings.get_access(name).base_url)
        wanted = [m for m in row.preferred if m in have] or [m for m in have if row.lists_own and _can_chat(m)]
        if not wanted and native is not None and native.fallback:
            return native.fallback
        if not wanted:
            raise ModelUnknown(f"No model was named. Set HEADRACE_DEFAULT_MODEL to one of {name}'s, as {name}/model.")
        return wanted[0]

    async def _list(self, name: str) -> Listed:
        return await self._listed.load(name, lambda: self._ask(name))

    async def _ask(self, name: str) -> Listed:
        try:
            async with asyncio.timeout(self._list_s):
                models = await self.get(name).list_models()
        except TimeoutError:
            failure: ProviderError = ProviderTimeout(f"{name} did not list its models within {self._list_s:g} s.")
        except ProviderError as exc:
            failure = exc
        else:
            return Listed(tuple(models))
        log.warning("provider_list_failed", provider=name, code=failure.code)
        return Listed(failure=failure)

    def _build(self, name: str) -> Provider:
        if name == offline.NAME:
            return Offline(self.settings.offline_tokens_per_s)
        return build_provider(self.settings.get_access(name), self.session, self.settings)


def build_provider(access: ProviderAccess, session: aiohttp.ClientSession, settings: ProviderSettings) -> Provider:
    """A provider over an open session; opens nothing itself, so one per tenant's own key is cheap."""
    if (native := NATIVE.get(access.name)) is not None:
        return native.build(session, access.base_url, key=access.key, timeouts=settings.timeouts)
    vendor = VENDORS[access.name].at(access.base_url)
    return OpenAICompatible(session, vendor, key=access.key, timeouts=settings.timeouts)


def open_session(resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """The process's HTTP client for models: any number of connections (jobs are what is capped), no cookies.

    Names are looked up by `resolver` for each new connection, by the system and for ten seconds without one.
    """
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0, resolver=resolver, use_dns_cache=resolver is None)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _keep_s(listed: Listed) -> float:
    return KEEP_S if listed.failure is None else KEEP_FAILURE_S


def _can_chat(model: str) -> bool:
    """Whether a listed model can be taken unasked; embedding models are listed among the others everywhere."""
    return not any(mark in model.lower() for mark in ("embed", "bge-", "rerank", "whisper", "tts"))
