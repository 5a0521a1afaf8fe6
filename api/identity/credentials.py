"""Routes of a tenant's keys for model providers: store, list, test, delete. No response, error or audit entry contains a key
or part of one; it is encrypted before it is stored, and decrypted only where its provider is built.
"""

import time
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Router, delete, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from api.auth.principals import MayManageCredentials, MayReadCredentials, Principal
from api.http.errors import PROVIDER_FAILURES, problems
from api.http.fields import CreatedAt, CreatedBy, UpdatedAt
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources, Resources
from graphs.providers.errors import ProviderRejectedKey
from graphs.providers.key_formats import SERVICES, check_key, find_service
from graphs.providers.tenant_providers import TenantCredential
from schema.errors import CredentialRefused, EgressFailed, NotFound, ProviderError, SecretUnreadable
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.identity import credentials
from schema.queries.tenants.audit import add_audit

OK = "ok"
STORE_ERRORS = ("credential_refused", "egress_refused", *PROVIDER_FAILURES)
NOT_STORED = "No key is stored for this service. GET /api/api-keys lists the stored keys."

ServiceName = Annotated[str, PathParameter(description="Name of the service, such as `openai`.")]


class ProviderKeyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider key to store."""

    # Plain strings: a struct's validation error would quote the value, and people paste keys into the wrong field.
    service_name: Annotated[
        str, Meta(max_length=100, description=f"One of {', '.join(SERVICES)}.", examples=["openai"])
    ]
    api_key: (
        Annotated[
            str, Meta(max_length=10_000, description="The key; null for a service without keys. Stored encrypted.")
        ]
        | None
    ) = None
    base_url: (
        Annotated[
            str,
            Meta(
                max_length=2048,
                description="Address to use instead of the provider's own; some services require one.",
            ),
        ]
        | None
    ) = None
    validate: Annotated[bool, Meta(description="Whether to test the key before it is stored.")] = False

    def __repr__(self) -> str:
        return f"ProviderKeyIn(service_name={self.service_name[:20]!r})"


class ProviderKeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A stored provider key, without the key itself."""

    service_name: Annotated[str, Meta(description="The service it is for.")]
    base_url: Annotated[
        str | None, Meta(description="Address to use instead of the provider's own; null for that one.")
    ]
    created_at: CreatedAt
    updated_at: UpdatedAt
    created_by: CreatedBy
    tested_at: Annotated[datetime | None, Meta(description="When it was last tested; null if never.")]
    test_code: Annotated[str | None, Meta(description="Result of the last test: `ok` or an error code; null if never.")]


class ServiceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A service that a key can be stored for."""

    service_name: Annotated[str, Meta(description="Name of the service.")]
    needs_key: Annotated[bool, Meta(description="Whether it requires a key.")]
    needs_base_url: Annotated[bool, Meta(description="Whether it requires a `base_url`.")]
    example: Annotated[str, Meta(description="What its keys look like.")]


class ProviderKeysOut(msgspec.Struct, frozen=True):
    """The tenant's provider keys, and the services that keys can be stored for."""

    configured: Annotated[list[ProviderKeyOut], Meta(description="The stored keys.")]
    supported: Annotated[list[ServiceOut], Meta(description="All supported services.")]


class ProviderKeyTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """Result of testing a provider key."""

    __test__ = False

    ok: Annotated[bool, Meta(description="Whether the provider accepted the key.")]
    code: Annotated[str, Meta(description="`ok`, or an error code.")]
    message: Annotated[str, Meta(description="The result as a sentence.")]
    latency_ms: Annotated[int, Meta(description="How long the test took, in milliseconds.")]


CREDENTIAL_EXAMPLE = {
    "service_name": "openai",
    "base_url": None,
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "tested_at": "2026-03-02T08:15:30Z",
    "test_code": "ok",
}
SERVICE_EXAMPLE = {"service_name": "openai", "needs_key": True, "needs_base_url": False, "example": "sk-…"}
TEST_RESULT_EXAMPLE = {"ok": True, "code": "ok", "message": "openai accepts the key.", "latency_ms": 212}


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
    opt=described(example={"service_name": "openai", "api_key": "sk-…", "validate": True}, response=CREDENTIAL_EXAMPLE),
    responses=problems(*STORE_ERRORS),
    summary="Store a provider key",
)
async def store_provider_key(
    data: JSONBody[ProviderKeyIn], principal: MayManageCredentials, resources: AppResources
) -> ProviderKeyOut:
    """Stores a key, replacing the previous one for the same service (also with 201). With `validate`, the key is tested first
    with a request that costs no tokens; one that the provider refuses is not stored (422)."""
    credential = await _seal(data, principal, resources)
    if data.validate:
        await _require_accepted(resources, credential)
    async with principal.tx(resources.core.pool) as db:
        await _store(db, principal, credential)
        if data.validate:
            await credentials.mark_tested(db, principal.tenant_id, credential.id, OK)
        await _record(db, principal, "credential.stored", credential.service)
        return _key_out(await _require_stored(db, principal, credential.service))


@get(
    "/",
    opt=described(response={"configured": [CREDENTIAL_EXAMPLE], "supported": [SERVICE_EXAMPLE]}),
    summary="List provider keys",
)
async def list_provider_keys(principal: MayReadCredentials, resources: AppResources) -> ProviderKeysOut:
    """Lists the services that your tenant has stored a key for, and all supported services. Never returns the keys."""
    async with principal.tx(resources.core.pool) as db:
        rows = await credentials.list_credentials(db, principal.tenant_id)
    return ProviderKeysOut([_key_out(row) for row in rows], SUPPORTED)


@post(
    "/{service:str}/test",
    status_code=200,
    opt=described(response=TEST_RESULT_EXAMPLE),
    responses=problems("not_found"),
    summary="Test a provider key",
)
async def test_provider_key(
    service: ServiceName, principal: MayManageCredentials, resources: AppResources
) -> ProviderKeyTestOut:
    """Tests the stored key with a request to the provider that costs no tokens. Returns 200 even if it is refused; see `ok` and
    `code`."""
    async with principal.tx(resources.core.pool) as db:
        row = await _require_stored(db, principal, service)
    credential = await _credential(principal, resources, row)
    result = await _test_key(resources, credential)
    async with principal.tx(resources.core.pool) as db:
        await credentials.mark_tested(db, principal.tenant_id, credential.id, result.code)
        await _record(db, principal, "credential.tested", service, None if result.ok else result.code)
    return result


@delete("/{service:str}", responses=problems("not_found"), summary="Delete a provider key")
async def delete_provider_key(service: ServiceName, principal: MayManageCredentials, resources: AppResources) -> None:
    """Jobs then use the installation's own key for the service, if it has one."""
    async with principal.tx(resources.core.pool) as db:
        await _require_stored(db, principal, service)
        await credentials.delete_credential(db, principal.tenant_id, service)
        await _record(db, principal, "credential.deleted", service)


async def _seal(data: ProviderKeyIn, principal: Principal, resources: Resources) -> TenantCredential:
    """Return the request as a credential with a new id. Raises InputError that names the field."""
    service = find_service(data.service_name)
    hosts, base_url = await _granted_hosts(principal, resources), None
    if data.base_url:
        base_url = await resources.tenant_providers.read_base_url(service.name, data.base_url, hosts)
    check_key(service, data.api_key or "", base_url)
    credential_id = new_id()
    sealed = resources.vault.seal(data.api_key or "", tenant_id=principal.tenant_id, owner_id=credential_id)
    return TenantCredential(principal.tenant_id, credential_id, service.name, base_url, sealed, hosts)


async def _store(db: Db, principal: Principal, credential: TenantCredential) -> None:
    await credentials.put_credential(
        db,
        principal.tenant_id,
        credential.id,
        credential.service,
        sealed=credential.sealed,
        base_url=credential.base_url,
        created_by=principal.actor,
    )


async def _require_accepted(resources: Resources, credential: TenantCredential) -> None:
    """Raise CredentialRefused for a key that can't be used; temporary failures are raised unchanged."""
    try:
        await resources.tenant_providers.check(credential)
    except ProviderError as error:
        if error.retryable:
            raise
        field = "api_key" if isinstance(error, ProviderRejectedKey) or not credential.base_url else "base_url"
        raise CredentialRefused(f"The key was not stored. {error.message}", field=field) from error


async def _test_key(resources: Resources, credential: TenantCredential) -> ProviderKeyTestOut:
    started, code, message = time.perf_counter(), OK, f"{credential.service} accepts the key."
    try:
        await resources.tenant_providers.check(credential)
    except (ProviderError, SecretUnreadable, EgressFailed) as error:
        code, message = error.code, error.message
    latency_ms = round((time.perf_counter() - started) * 1000)
    return ProviderKeyTestOut(ok=code == OK, code=code, message=message, latency_ms=latency_ms)


async def _record(db: Db, principal: Principal, action: str, service: str, failure: str | None = None) -> None:
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


async def _require_stored(db: Db, principal: Principal, service: str) -> credentials.SealedCredential:
    known = service in SERVICES  # other names are never stored, so there is nothing to look up
    row = await credentials.find_credential(db, principal.tenant_id, service) if known else None
    if row is None:
        raise NotFound(NOT_STORED)
    return row


async def _credential(
    principal: Principal, resources: Resources, row: credentials.SealedCredential
) -> TenantCredential:
    hosts = await _granted_hosts(principal, resources)
    return TenantCredential(principal.tenant_id, row.id, row.service, row.base_url, row.key, hosts)


async def _granted_hosts(principal: Principal, resources: Resources) -> tuple[str, ...]:
    return tuple(await resources.egress.hosts(principal.tenant_id, "providers"))


def _key_out(row: credentials.Credential) -> ProviderKeyOut:
    return from_row(ProviderKeyOut, row, service_name=row.service)


routes = Router(
    "/api-keys",
    route_handlers=[store_provider_key, list_provider_keys, test_provider_key, delete_provider_key],
    tags=["credentials"],
)
