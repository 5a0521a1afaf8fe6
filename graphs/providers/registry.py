"""The providers of one process: one aiohttp session, and each provider built on first use.

Names and settings are read in `settings.py`. Needs neither Redis nor Postgres; model lists are cached in memory for half a
minute, per process.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver

from graphs.providers.capabilities import can_chat
from graphs.providers.contract import ModelInfo, Provider
from graphs.providers.errors import ModelUnknown, ProviderTimeout
from graphs.providers.langchain import listing as langchain
from graphs.providers.langchain.process import ModelProcess
from graphs.providers.langchain.provider import LangChain
from graphs.providers.native import NATIVE
from graphs.providers.offline import provider as offline
from graphs.providers.offline.provider import Offline
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.settings import ModelRef, ProviderAccess, ProviderSettings, resolve
from schema.errors import HeadraceError, ProviderError
from schema.ttl_cache import TtlCache
from tools.egress.trust import client_context

LIST_TIMEOUT_S = 3.0
MAX_CACHED_LISTS = 100
LIST_TTL_S = 30.0
FAILED_LIST_TTL_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ModelList:
    """A provider's models, or why they could not be listed."""

    models: tuple[ModelInfo, ...] = ()
    failure: HeadraceError | None = None


class Providers:
    """`async with Providers(settings) as providers:` — opened once per process, after it has started, and passed down.

    On exit, a session that was passed in stays open; one that was opened here is closed.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        session: aiohttp.ClientSession | None = None,
        list_timeout_s: float = LIST_TIMEOUT_S,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.settings = settings
        self._session = session
        self._owns_session = session is None
        self._list_timeout_s = list_timeout_s
        self._built: dict[str, Provider] = {}
        self._lists: TtlCache[str, ModelList] = TtlCache(MAX_CACHED_LISTS, _ttl_s, clock=now or time.monotonic)

    async def __aenter__(self) -> "Providers":
        if self._session is None:
            self._session = open_session(ca_file=self.settings.ca_file)
        return self

    async def __aexit__(self, *exc: object) -> None:
        of_langchain = self._built.get(langchain.NAME)
        self._built.clear()
        if isinstance(of_langchain, LangChain):
            await of_langchain.close()
        if self._owns_session and self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session. Raises RuntimeError outside of `async with`."""
        if self._session is None:
            raise RuntimeError("Providers is used before `async with` or after it")
        return self._session

    def get(self, name: str) -> Provider:
        """Return the provider of this name. Raises ProviderUnknown or ProviderIsHeadrace."""
        if name not in self._built:
            self._built[name] = self._build(name)
        return self._built[name]

    async def resolve(self, model: str | None) -> ModelRef:
        """As `settings.resolve`; if no model is named, choose one from the provider's list.

        Raises ModelUnknown if the list has no suitable model, and what listing raises.
        """
        ref = resolve(model, self.settings)
        return ref if ref.name else ModelRef(ref.provider, await self._choose_model(ref.provider))

    async def list_models(self) -> list[ModelInfo]:
        """Return the models of all configured providers, in order; a provider that fails is logged and left out.

        `offline/extractive` is included only if nothing is configured, or if it is the default model.
        """
        names = list(self.settings.names)
        if self.settings.default_provider == offline.NAME:
            names.append(offline.NAME)
        listed = await asyncio.gather(*(self._list(name) for name in names))
        return [model for one in listed for model in one.models]

    async def _choose_model(self, name: str) -> str:
        listed = await self._list(name)
        if listed.failure is not None:
            raise listed.failure
        available = [model.name for model in listed.models]
        if name == langchain.NAME and available:
            return available[0]
        native = NATIVE.get(name)
        row = native or VENDORS[name].at(self.settings.get_access(name).base_url)
        candidates = [m for m in row.preferred if m in available] or [
            m for m in available if row.lists_own and can_chat(m)
        ]
        if not candidates and native is not None and native.fallback:
            return native.fallback
        if not candidates:
            raise ModelUnknown(f"{name} has no default model. Name one as {name}/MODEL; GET /v1/models lists them.")
        return candidates[0]

    async def _list(self, name: str) -> ModelList:
        return await self._lists.load(name, lambda: self._fetch_list(name))

    async def _fetch_list(self, name: str) -> ModelList:
        try:
            async with asyncio.timeout(self._list_timeout_s):
                models = await self.get(name).list_models()
        except TimeoutError:
            failure: ProviderError = ProviderTimeout(
                f"{name} did not list its models within {self._list_timeout_s:g} s."
            )
        except ProviderError as exc:
            failure = exc
        else:
            return ModelList(tuple(models))
        log.warning("provider_list_failed", provider=name, code=failure.code)
        return ModelList(failure=failure)

    def _build(self, name: str) -> Provider:
        if name == offline.NAME:
            return Offline(self.settings.offline_tokens_per_s)
        if name == langchain.NAME:
            models = {one.name: one for one in self.settings.langchain_models}
            timeouts = self.settings.timeouts_for(self.settings.get_access(name))
            return LangChain(models, timeouts=timeouts, process=ModelProcess(dict(self.settings.langchain_env)))
        return build_provider(self.settings.get_access(name), self.session, self.settings)


def build_provider(access: ProviderAccess, session: aiohttp.ClientSession, settings: ProviderSettings) -> Provider:
    """A provider over an open session; opens nothing itself, so one per tenant's own key is cheap."""
    if (native := NATIVE.get(access.name)) is not None:
        timeouts, options = settings.timeouts_for(access), dict(access.options)
        return native.build(session, access.base_url, key=access.key, timeouts=timeouts, **options)
    vendor = VENDORS[access.name].at(access.base_url)
    vendor = replace(vendor, headers=(*vendor.headers, *access.headers))
    patterns = (pattern.partition("/") for pattern in settings.responses_models)
    return OpenAICompatible(
        session,
        vendor,
        key=access.key,
        timeouts=settings.timeouts_for(access),
        models=access.models,
        by_responses=tuple(name for provider, _, name in patterns if provider == access.name),
    )


def open_session(resolver: AbstractResolver | None = None, *, ca_file: str | None = None) -> aiohttp.ClientSession:
    """Return the process's HTTP client for models: unlimited connections (jobs are limited instead), no cookies.

    Names are resolved by `resolver` for each new connection; without one by the system, cached for ten seconds.
    `ca_file` holds authorities that are trusted besides the usual ones.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=60.0,
        resolver=resolver,
        use_dns_cache=resolver is None,
        ssl=client_context(ca_file) if ca_file else True,
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _ttl_s(listed: ModelList) -> float:
    return LIST_TTL_S if listed.failure is None else FAILED_LIST_TTL_S
