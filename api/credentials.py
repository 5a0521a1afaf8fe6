"""The provider keys of a tenant: store, list, try, forget (A7, X4). No answer, error or record here holds a key or a part
of one; it is sealed before it reaches the database and opened only where its provider is built.
"""

import time
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta
from psycopg.rows import DictRow

from api.describing import described
from api.errors import problems
from api.manners import PROVIDER_FAILURES
from api.principals import MayManageCredentials, MayReadCredentials, Principal
from api.resources import Opened, Resources
from graphs.providers.errors import ProviderRejectedKey
from graphs.providers.formats import SERVICES, check_key, find_service
from graphs.providers.own import OwnCredential
from schema.db import Db
from schema.errors import CredentialRefused, EgressFailed, NotFound, ProviderError, SecretUnreadable
from schema.ids import new_id
from schema.queries import credentials
from schema.queries.audit import add_audit
from schema.vault import Sealed

OK = "ok"
STORE_FAILS = ("credential_refused", *PROVIDER_FAILURES)
NOT_STORED = "There is no stored key for this service. GET /api/api-keys lists those that there are."


class CredentialIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key for a service. `base_url` replaces the vendor's address; `validate` tries the key before it is stored."""

    # Plain strings: where a struct refuses a value its error quotes it, and people paste keys into the wrong field.
    service_name: Annotated[str, Meta(description=f"One of {', '.join(SERVICES)}.", examples=["openai"])]
    api_key: str | None = None
    base_url: str | None = None
    validate: bool = False

    def __repr__(self) -> str:
        return f"CredentialIn(service_name={self.service_name[:20]!r})"


class CredentialOut(msgspec.Struct, frozen=True, kw_only=True):
    """A stored key as it may be shown. `test_code` is how it did when it was last tried: `ok`, or an error's code."""

    service_name: str
    base_url: str | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    tested_at: datetime | None
    test_code: str | None


class ServiceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A service that a key can be stored for; `example` shows what its keys look like."""

    service_name: str
    needs_key: bool
    needs_base_url: bool
    example: str


class CredentialsOut(msgspec.Struct, frozen=True):
    """The tenant's keys, and the services that there may be keys for."""

    configured: list[CredentialOut]
    supported: list[ServiceOut]


class TestOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a try of a key went."""

    __test__ = False

    ok: bool
    code: str
    message: str
    latency_ms: int


SUPPORTED = [
    ServiceOut(
        service_name=service.name,
        needs_key=service.needs_key,
        needs_base_url=service.needs_base_url,
        example=service.example,
    )
    for service in SERVICES.values()
]


@post(
    "/",
    status_code=201,
    opt=described(example={"service_name": "openai", "api_key": "sk-…", "validate": True}),
    responses=problems(*STORE_FAILS),
    summary="Store a provider key",
)
async def store_provider_key(
    data: JSONBody[CredentialIn], principal: MayManageCredentials, resources: Opened
) -> CredentialOut:
    """Store a key in place of the one before for the same service (201 then too). With `validate` it is tried first at the
    provider's cheapest page behind it, which costs no tokens; a key that is refused (422) is not stored."""
    credential = await _seal(data, principal, resources)
    if data.validate:
        await _require_accepted(resources, credential)
    async with principal.tx(resources.ports.pool) as db:
        await _put(db, principal, credential)
        if data.validate:
            await credentials.mark_tested(db, principal.tenant_id, credential.id, OK)
        await _note(db, principal, "credential.stored", credential.service)
        return _shown(await _require(db, principal, credential.service))


@get("/", summary="List provider keys")
async def list_provider_keys(principal: MayReadCredentials, resources: Opened) -> CredentialsOut:
    """The services that this tenant has stored a key for, and those that it can; never the keys."""
    async with principal.tx(resources.ports.pool) as db:
        rows = await credentials.list_credentials(db, principal.tenant_id)
    return CredentialsOut([_shown(row) for row in rows], SUPPORTED)


@post("/{service:str}/test", status_code=200, responses=problems("not_found"), summary="Try a provider key")
async def test_provider_key(service: FromPath[str], principal: MayManageCredentials, resources: Opened) -> TestOut:
    """Try the stored key at the provider's cheapest page behind it; costs no tokens. 200 also when it is refused."""
    async with principal.tx(resources.ports.pool) as db:
        credential = _credential(principal, await _require(db, principal, service))
    tried = await _try(resources, credential)
    async with principal.tx(resources.ports.pool) as db:
        await credentials.mark_tested(db, principal.tenant_id, credential.id, tried.code)
        await _note(db, principal, "credential.tested", service, None if tried.ok else tried.code)
    return tried


@delete("/{service:str}", responses=problems("not_found"), summary="Delete a provider key")
async def delete_provider_key(service: FromPath[str], principal: MayManageCredentials, resources: Opened) -> None:
    """Forget a key; the deployment's own key for the service, if there is one, is used from then on."""
    async with principal.tx(resources.ports.pool) as db:
        await _require(db, principal, service)
        await credentials.delete_credential(db, principal.tenant_id, service)
        await _note(db, principal, "credential.deleted", service)


async def _seal(data: CredentialIn, principal: Principal, resources: Resources) -> OwnCredential:
    """Return what came as a credential with a new id. Raises InputError that names the wrong field."""
    service = find_service(data.service_name)
    base_url = await resources.own_providers.read_base_url(service.name, data.base_url) if data.base_url else None
    check_key(service, data.api_key or "", base_url)
    credential_id = new_id()
    sealed = resources.vault.seal(data.api_key or "", tenant_id=principal.tenant_id, owner_id=credential_id)
    return OwnCredential(principal.tenant_id, credential_id, service.name, base_url, sealed)


async def _put(db: Db, principal: Principal, credential: OwnCredential) -> None:
    await credentials.put_credential(
        db,
        principal.tenant_id,
        credential.id,
        credential.service,
        sealed=credential.sealed,
        base_url=credential.base_url,
        created_by=principal.actor,
    )


async def _require_accepted(resources: Resources, credential: OwnCredential) -> None:
    """Raise CredentialRefused for a key that can't be used; what may be different a moment later is raised as it is."""
    try:
        await resources.own_providers.check(credential)
    except ProviderError as error:
        if error.retryable:
            raise
        at_fault = "api_key" if isinstance(error, ProviderRejectedKey) or not credential.base_url else "base_url"
        raise CredentialRefused(f"The key was not stored. {error.message}", field=at_fault) from error


async def _try(resources: Resources, credential: OwnCredential) -> TestOut:
    begun_at, code, message = time.perf_counter(), OK, f"{credential.service} takes the key."
    try:
        await resources.own_providers.check(credential)
    except (ProviderError, SecretUnreadable, EgressFailed) as error:
        code, message = error.code, error.message
    latency_ms = round((time.perf_counter() - begun_at) * 1000)
    return TestOut(ok=code == OK, code=code, message=message, latency_ms=latency_ms)


async def _note(db: Db, principal: Principal, action: str, service: str, failure: str | None = None) -> None:
    await add_audit(
        db,
        principal.tenant_id,
        actor=principal.actor,
        action=action,
        target=service,
        result="failed" if failure else "ok",
        address=principal.address,
        request_id=principal.request_id,
        detail={"code": failure} if failure else None,
    )


async def _require(db: Db, principal: Principal, service: str) -> DictRow:
    known = service in SERVICES  # whatever else stands in a path is no name that Postgres need see
    row = await credentials.find_credential(db, principal.tenant_id, service) if known else None
    if row is None:
        raise NotFound(NOT_STORED)
    return row


def _credential(principal: Principal, row: DictRow) -> OwnCredential:
    sealed = Sealed(row["key_id"], row["sealed"])
    return OwnCredential(principal.tenant_id, row["id"], row["service"], row["base_url"], sealed)


def _shown(row: DictRow) -> CredentialOut:
    named = {name: row[name] for name in CredentialOut.__struct_fields__ if name != "service_name"}
    return CredentialOut(service_name=row["service"], **named)


routes = Router(
    "/api-keys",
    route_handlers=[store_provider_key, list_provider_keys, test_provider_key, delete_provider_key],
    tags=["credentials"],
)
