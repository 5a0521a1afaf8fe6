"""A tenant's identity providers over HTTP: register, list, change, remove (A8, X2). What an address or a secret must be is in
`provider_addresses.py`; how people sign in there, in `oidc.py`. No answer, error or record holds a client secret."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType
from psycopg.rows import DictRow

from api.admin.deeds import note
from api.auth import provider_addresses as right
from api.auth.oidc_paths import redirect_uri, sign_in_url
from api.auth.people import require_power_over
from api.describing import described
from api.errors import problems
from api.header_docs import LOCATED
from api.principals import MayManageSignIn, Principal
from api.resources import Opened, Resources
from schema.db import Db, tenant_tx
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.queries import identity_providers as providers
from schema.vault import Sealed

NO_PROVIDER = "There is no such identity provider."
MOST = 50
TAGS = ["auth"]
EXAMPLE = {"name": "okta", "issuer": "https://acme.okta.com", "client_id": "0oa1b2c3", "client_secret": "…"}

Role = Literal["owner", "member", "viewer"]
Text = Annotated[str, Meta(min_length=1, max_length=300)]


class ProviderIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new provider. With `client_id` people can sign in there; without, its tokens are good here. `audience`, which its
    tokens must name, is `client_id` if left out. Keys come from `jwks_url`, or from where the issuer's configuration says."""

    name: Annotated[str, Meta(max_length=63, description="A word for paths; stays for ever.", examples=["okta"])]
    issuer: Annotated[str, Meta(max_length=500, examples=["https://login.example.com"])]
    audience: Text | None = None
    client_id: Text | None = None
    # A plain string: where a struct refuses a value its error quotes it.
    client_secret: str | None = None
    jwks_url: Annotated[str, Meta(max_length=500)] | None = None
    role: Annotated[Role, Meta(description="What new people become.")] = "member"
    role_claim: Annotated[Text, Meta(description="A claim of tokens that may name another role.")] | None = None
    sign_up: Annotated[bool, Meta(description="Whether people who are not here yet become users.")] = True

    def __repr__(self) -> str:
        return f"ProviderIn(name={self.name!r})"


class ProviderChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be different; what is left out stays, null takes away. Name and issuer stay for ever."""

    audience: Text | UnsetType = UNSET
    client_id: Text | UnsetType | None = UNSET
    client_secret: str | UnsetType | None = UNSET
    jwks_url: Annotated[str, Meta(max_length=500)] | UnsetType | None = UNSET
    role: Role | UnsetType = UNSET
    role_claim: Text | UnsetType | None = UNSET
    sign_up: bool | UnsetType = UNSET

    def __repr__(self) -> str:
        return "ProviderChangeIn()"


class ProviderOut(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as it may be shown. `redirect_uri` is what it must be told; `sign_in_url` is where people begin, null
    without a client_id."""

    id: UUID
    name: str
    issuer: str
    audience: str
    client_id: str | None
    has_client_secret: bool
    jwks_url: str | None
    role: Role
    role_claim: str | None
    sign_up: bool
    redirect_uri: str
    sign_in_url: str | None
    created_at: datetime
    created_by: str | None


class ProvidersOut(msgspec.Struct, frozen=True):
    """The tenant's providers, by name."""

    items: list[ProviderOut]


@post(
    "/",
    status_code=201,
    opt=described(sends=LOCATED, example=EXAMPLE),
    responses=problems("conflict"),
    summary="Register an identity provider",
    tags=TAGS,
)
async def create_identity_provider(
    data: JSONBody[ProviderIn], principal: MayManageSignIn, resources: Opened
) -> Response[ProviderOut]:
    """Its configuration (or its keys, with `jwks_url`) is fetched to see that it works. 409 if the name is taken, or if this
    issuer and audience are, here or in any other tenant."""
    _require_power(principal)
    values, provider_id = await _columns(resources, data), new_id()
    sealed = _seal(resources, principal, provider_id, data.client_secret)
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        if len(await providers.list_identity_providers(db, principal.tenant_id)) >= MOST:
            raise Conflict(f"A tenant has at most {MOST} identity providers. Remove one first.")
        about = {**values, "created_by": principal.actor}
        row = await providers.add_identity_provider(db, principal.tenant_id, provider_id, about, sealed=sealed)
        await _note(db, principal, provider_id, "provider.created", values)
    return Response(_shown(resources, principal, row), headers={"Location": f"/api/auth/providers/{provider_id}"})


@get("/", summary="List identity providers", tags=TAGS)
async def list_identity_providers(principal: MayManageSignIn, resources: Opened) -> ProvidersOut:
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        rows = await providers.list_identity_providers(db, principal.tenant_id)
    return ProvidersOut([_shown(resources, principal, row) for row in rows])


@get("/{provider_id:uuid}", responses=problems("not_found"), summary="Look at an identity provider", tags=TAGS)
async def get_identity_provider(
    provider_id: FromPath[UUID], principal: MayManageSignIn, resources: Opened
) -> ProviderOut:
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        row = _require(await providers.find_identity_provider(db, principal.tenant_id, provider_id))
    return _shown(resources, principal, row)


@patch(
    "/{provider_id:uuid}", responses=problems("not_found", "conflict"), summary="Change an identity provider", tags=TAGS
)
async def update_identity_provider(
    provider_id: FromPath[UUID], data: JSONBody[ProviderChangeIn], principal: MayManageSignIn, resources: Opened
) -> ProviderOut:
    """It holds within a second; who is signed in stays so."""
    _require_power(principal)
    given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        before = _require(await providers.find_identity_provider(db, principal.tenant_id, provider_id))
    await _check_change(resources, before, given)
    values = _sealed_columns(resources, principal, provider_id, given)
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        row = _require(await providers.lock_identity_provider(db, principal.tenant_id, provider_id))
        if values:
            row = _require(await providers.change_identity_provider(db, principal.tenant_id, provider_id, values))
            if row["has_client_secret"] and row["client_id"] is None:  # two changes at once came to this
                raise InputError(right.SECRET_ALONE, field="client_secret")
            await _note(db, principal, provider_id, "provider.changed", given)
    return _shown(resources, principal, row)


@delete("/{provider_id:uuid}", responses=problems("not_found"), summary="Remove an identity provider", tags=TAGS)
async def delete_identity_provider(provider_id: FromPath[UUID], principal: MayManageSignIn, resources: Opened) -> None:
    """Its tokens are refused within a second, and the sign-ins of its users end. The users stay: another provider that has
    verified their email may take them on, or somebody gives them a password."""
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        row = _require(await providers.lock_identity_provider(db, principal.tenant_id, provider_id))
        ended = await providers.delete_identity_provider(db, principal.tenant_id, provider_id)
        detail = {"name": row["name"], "issuer": row["issuer"], "logins_ended": ended}
        await note(db, principal, principal.tenant_id, "provider.deleted", f"provider:{provider_id}", detail)


def _require_power(principal: Principal) -> None:
    """A provider that verifies an email may sign in as whoever has it, so who registers one could become any owner."""
    require_power_over(principal, "owner")


async def _columns(resources: Resources, data: ProviderIn) -> dict[str, Any]:
    """Return the new row, but for the secret. Raises InputError that names the wrong field."""
    right.check_name(data.name)
    right.check_client(data.client_id, data.client_secret)
    audience = data.audience or data.client_id
    if audience is None:
        raise InputError("Send the audience that tokens name, or a client_id to sign in with.", field="audience")
    await right.check_issuer(resources.settings, data.issuer)
    await right.check_keys(resources.remote_keys, data.issuer, data.jwks_url, signs_in=data.client_id is not None)
    given = {name: getattr(data, name) for name in ProviderIn.__struct_fields__ if name != "client_secret"}
    return {**given, "audience": audience}


async def _check_change(resources: Resources, before: DictRow, given: dict[str, Any]) -> None:
    """Raise InputError unless the provider would be right after the change."""
    client_id = given.get("client_id", before["client_id"])
    secret = given.get("client_secret", "kept" if before["has_client_secret"] else None)
    right.check_client(client_id, secret)
    if {"jwks_url", "client_id"} & set(given):
        jwks_url = given.get("jwks_url", before["jwks_url"])
        await right.check_keys(resources.remote_keys, before["issuer"], jwks_url, signs_in=client_id is not None)


def _sealed_columns(
    resources: Resources, principal: Principal, provider_id: UUID, given: dict[str, Any]
) -> dict[str, Any]:
    """Return what changes, with the secret as the columns that hold it."""
    values = {name: value for name, value in given.items() if name != "client_secret"}
    if "client_secret" in given:
        sealed = _seal(resources, principal, provider_id, given["client_secret"])
        values |= {"key_id": sealed.key_id if sealed else None, "sealed": sealed.sealed if sealed else None}
    return values


def _seal(resources: Resources, principal: Principal, provider_id: UUID, secret: str | None) -> Sealed | None:
    if secret is None:
        return None
    return resources.vault.seal(secret, tenant_id=principal.tenant_id, owner_id=provider_id)


async def _note(db: Db, principal: Principal, provider_id: UUID, action: str, values: dict[str, Any]) -> None:
    detail = {name: "…" if name == "client_secret" else value for name, value in values.items()}
    await note(db, principal, principal.tenant_id, action, f"provider:{provider_id}", detail)


def _require(row: DictRow | None) -> DictRow:
    if row is None:
        raise NotFound(NO_PROVIDER)
    return row


def _shown(resources: Resources, principal: Principal, row: DictRow) -> ProviderOut:
    place = (resources.settings.issuer, principal.tenant.slug, row["name"])
    url = sign_in_url(*place) if row["client_id"] else None
    return ProviderOut(**row, redirect_uri=redirect_uri(*place), sign_in_url=url)


routes = Router(
    "/auth/providers",
    route_handlers=[
        create_identity_provider,
        list_identity_providers,
        get_identity_provider,
        update_identity_provider,
        delete_identity_provider,
    ],
)
