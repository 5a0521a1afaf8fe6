"""Providers with the keys that tenants stored: which tenant gets which, and the only place where such keys are decrypted.

A key is opened when its provider is built and from then on exists only in that provider; nothing here logs or returns it.
Not for: rows (`schema/queries/identity/credentials.py`), key formats (`key_formats.py`), which base URLs a tenant may set
(`http/egress_session.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import aiohttp
import structlog
from yarl import URL

from graphs.providers.contract import Provider
from graphs.providers.errors import ProviderAddressRefused, ProviderUnknown
from graphs.providers.http.egress_session import admit_name, open_guarded_session, parse_base_url
from graphs.providers.native import NATIVE
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.registry import ModelList, Providers, build_provider
from graphs.providers.settings import SUPPORTED, ProviderAccess, ProviderSettings, own_address
from schema.errors import EgressRefused, InputError, SecretUnreadable
from schema.ttl_cache import TtlCache
from schema.vault import Sealed, Vault
from tools.egress import EgressPolicy, Resolver
from tools.egress.network import resolve

MAX_CACHED = 1_000  # built providers, and as many tenants' sets of them; the least recently used one is dropped

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TenantCredential:
    """A tenant's stored key. `base_url` is None for the vendor's own address; a changed key has a new `id`. `hosts` are the
    private ones that the tenant was granted for its providers."""

    tenant_id: UUID
    id: UUID
    service: str
    base_url: str | None
    sealed: Sealed
    hosts: tuple[str, ...] = ()


class TenantProviderPool:
    """`async with TenantProviderPool(base, vault, policy) as pool:`, once per process, while `base` is open.

    `base` has the deployment's providers and the session for the vendors' own addresses; base URLs that tenants set are
    called through sessions that pass the egress guard.
    """

    def __init__(self, base: Providers, vault: Vault, policy: EgressPolicy, *, resolver: Resolver = resolve) -> None:
        self._base, self._vault, self._policy, self._resolver = base, vault, policy, resolver
        self._guarded: dict[tuple[EgressPolicy, str], aiohttp.ClientSession] = {}
        self._open = False
        # The tenant is part of the key: a row that was copied to another tenant must be decrypted there, and fail.
        self._built: TtlCache[tuple[UUID, UUID, tuple[str, ...]], Provider] = TtlCache(MAX_CACHED)
        self._sets: TtlCache[tuple[UUID, str | None, tuple[tuple[UUID, tuple[str, ...]], ...]], Providers] = TtlCache(
            MAX_CACHED
        )

    async def __aenter__(self) -> "TenantProviderPool":
        self._open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._built.clear()
        self._sets.clear()
        self._open = False
        for session in self._guarded.values():
            await session.close()
        self._guarded.clear()

    def provider(self, credential: TenantCredential) -> Provider:
        """Return the provider that calls with this key, built once. Raises SecretUnreadable or a ProviderError."""
        key = (credential.tenant_id, credential.id, credential.hosts)
        return self._built.get_or_make(key, lambda: self._build(credential))

    def providers(
        self, tenant_id: UUID, default_model: str | None, credentials: Sequence[TenantCredential]
    ) -> Providers:
        """Return the tenant's own providers, followed by those of the deployment for other services; `default_model` wins
        over the deployment's. Opens no key: each is opened when its provider is first used.

        Raises ValueError for a credential of another tenant.
        """
        if any(credential.tenant_id != tenant_id for credential in credentials):
            raise ValueError("a credential of another tenant was passed")
        own = {c.service: c for c in sorted(credentials, key=_rank) if c.service in SUPPORTED}
        if not own and not default_model:
            return self._base
        key = (tenant_id, default_model, tuple((credential.id, credential.hosts) for credential in own.values()))
        return self._sets.get_or_make(key, lambda: TenantProviders(self, self._base, default_model, own))

    async def check(self, credential: TenantCredential) -> None:
        """Check a key, stored or not, with the vendor's cheapest endpoint. Costs no tokens and caches nothing. Raises
        SecretUnreadable or a ProviderError."""
        await self._build(credential).check_key()

    async def read_base_url(self, service: str, text: str, hosts: Sequence[str]) -> str | None:
        """Return a tenant's base URL as it is to be stored; None for the vendor's own. Resolves the host; `hosts` are the
        private ones that the tenant was granted.

        Raises InputError or EgressRefused for the field `base_url`.
        """
        own = own_address(service)
        if own and text.strip().rstrip("/") == own:
            return None
        try:
            policy = self._policy.for_tenant(hosts)
            plain, query = _without_version(service, text)
            url = parse_base_url(plain, policy)
            await admit_name(url, policy, self._resolver)
            address = _as_called(service, url + query)
        except EgressRefused as refused:
            raise EgressRefused(refused.message, field="base_url") from None
        except ValueError as error:
            raise InputError(f"base_url: {error}.", field="base_url") from None
        return None if own and address == own else address

    def _build(self, credential: TenantCredential) -> Provider:
        session = self._base.session if credential.base_url is None else self._session_to(credential)
        # `get_access` refuses a base URL that is headrace itself, and an incomplete row.
        settings = replace(self._base.settings, configured=(_access(credential),))
        access = settings.get_access(credential.service)
        if not access.base_url:  # Ollama without an address would mean this machine's
            raise ProviderUnknown(f"The stored key of {credential.service} has no base_url.")
        key = self._vault.open(credential.sealed, tenant_id=credential.tenant_id, owner_id=credential.id)
        return build_provider(replace(access, key=key), session, settings)

    def _session_to(self, credential: TenantCredential) -> aiohttp.ClientSession:
        """Return the guarded session for an address, which is checked again: the policy may have changed since."""
        if not self._open:
            raise RuntimeError("TenantProviderPool is used before `async with` or after it")
        policy = self._policy.for_tenant(credential.hosts)
        try:
            url = parse_base_url(_without_version(credential.service, credential.base_url or "")[0], policy)
        except EgressRefused as refused:
            message = f"The address of {credential.service} was refused: {refused.message}"
            raise ProviderAddressRefused(message) from None
        key = (policy, URL(url).scheme)
        if key not in self._guarded:
            self._guarded[key] = open_guarded_session(policy, key[1], self._resolver)
        return self._guarded[key]


class TenantProviders(Providers):
    """The providers that one tenant may call. Has no session of its own and needs no `async with`; services for which the
    tenant has no key are the deployment's, model lists included."""

    def __init__(
        self,
        pool: TenantProviderPool,
        base: Providers,
        default_model: str | None,
        credentials: Mapping[str, TenantCredential],
    ) -> None:
        super().__init__(_merge(base.settings, default_model, credentials), session=base.session)
        self._pool, self._base, self._credentials = pool, base, credentials

    def get(self, name: str) -> Provider:
        """As `Providers.get`; raises SecretUnreadable too."""
        credential = self._credentials.get(name)
        return self._base.get(name) if credential is None else self._pool.provider(credential)

    async def _list(self, name: str) -> ModelList:
        if name not in self._credentials:
            return await self._base._list(name)
        try:
            return await super()._list(name)
        except SecretUnreadable as unreadable:  # a key that can't be opened must not hide other providers' models
            log.warning("provider_list_failed", provider=name, code=unreadable.code)
            return ModelList(failure=unreadable)


def _merge(
    settings: ProviderSettings, default_model: str | None, credentials: Mapping[str, TenantCredential]
) -> ProviderSettings:
    own = tuple(_access(credential) for credential in credentials.values())
    others = tuple(access for access in settings.configured if access.name not in credentials)
    return replace(settings, configured=(*own, *others), default_model=default_model or settings.default_model)


def _access(credential: TenantCredential) -> ProviderAccess:
    return ProviderAccess(credential.service, credential.base_url or own_address(credential.service), sealed=True)


def _without_version(service: str, text: str) -> tuple[str, str]:
    """Return an address without the query that names the version of the API, and the query: no other one is allowed."""
    vendor = VENDORS.get(service)
    plain, mark, query = text.partition("?")
    if vendor is None or vendor.parse_url is None or not query.startswith("api-version="):
        return text, ""
    return plain, mark + query


def _as_called(service: str, url: str) -> str:
    """Return a checked address as its provider calls it. Raises ValueError."""
    if (native := NATIVE.get(service)) is not None:
        return native.parse_url(url)
    vendor = VENDORS.get(service)
    return url if vendor is None or vendor.parse_url is None else vendor.parse_url(url, "")


def _rank(credential: TenantCredential) -> int:
    """The order of preference, as for the deployment's own."""
    return SUPPORTED.index(credential.service) if credential.service in SUPPORTED else len(SUPPORTED)
