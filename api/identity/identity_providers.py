"""Routes of a tenant's identity providers: create, list, get, update, delete. The checks of URLs and secrets are in
`provider_addresses.py`, the sign-in is in `oidc_login.py`. No response, error or audit entry contains a client secret."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Meta, UnsetType

from api.audit.log import record
from api.auth.principals import MayManageSignIn, Principal
from api.auth.role_checks import require_may_manage
from api.http.errors import problems
from api.http.fields import CreatedAt, CreatedBy, NoNextCursor
from api.http.rows import from_row
from api.identity import provider_addresses as checks
from api.identity.oidc_paths import redirect_uri, sign_in_url
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db, tenant_tx
from schema.queries.identity import identity_providers as providers
from schema.vault import Sealed

NO_PROVIDER = "No such identity provider. GET /api/auth/providers lists your tenant's providers."
MAX_PROVIDERS = 50
TAGS = ["auth"]

ProviderId = Annotated[UUID, PathParameter(description="The identity provider's id.")]
Role = Literal["owner", "member", "viewer"]

Issuer = Annotated[
    str,
    Meta(
        max_length=500,
        description="Issuer URL, exactly as its tokens spell it. Can't be changed later.",
        examples=["https://login.example.com"],
    ),
]
Audience = Annotated[
    str,
    Meta(min_length=1, max_length=300, description="Audience that access tokens must name; `client_id` by default."),
]
ClientId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=300,
        description="Client id at the provider. Needed for users to sign in there; without it, only tokens are accepted.",
    ),
]
# A plain string: a struct's validation error would quote the value.
ClientSecret = Annotated[
    str, Meta(max_length=checks.MAX_SECRET, description="Client secret; null for a public client. Never returned.")
]
JwksUrl = Annotated[
    str,
    Meta(max_length=500, description="URL of the key set; null to use the one in the issuer's OpenID configuration."),
]
NewRole = Annotated[Role, Meta(description="Role of users who sign up, unless `role_claim` says otherwise.")]
RoleClaim = Annotated[
    str,
    Meta(min_length=1, max_length=300, description="Token claim with the role of users who sign up; null for none."),
]
SignUp = Annotated[bool, Meta(description="Whether people without a user get one when they first sign in.")]


class IdentityProviderIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An identity provider to register. Send `audience`, `client_id` or both."""

    name: Annotated[
        str,
        Meta(
            max_length=63,
            description="Its name in paths: lowercase letters, digits and hyphens. Can't be changed later.",
            examples=["okta"],
        ),
    ]
    issuer: Issuer
    audience: Audience | None = None
    client_id: ClientId | None = None
    client_secret: ClientSecret | None = None
    jwks_url: JwksUrl | None = None
    role: NewRole = "member"
    role_claim: RoleClaim | None = None
    sign_up: SignUp = True

    def __repr__(self) -> str:
        return f"IdentityProviderIn(name={self.name!r})"


class IdentityProviderChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields of an identity provider to update. Omitted fields keep their value; null removes one."""

    audience: Audience | UnsetType = UNSET
    client_id: ClientId | UnsetType | None = UNSET
    client_secret: ClientSecret | UnsetType | None = UNSET
    jwks_url: JwksUrl | UnsetType | None = UNSET
    role: NewRole | UnsetType = UNSET
    role_claim: RoleClaim | UnsetType | None = UNSET
    sign_up: SignUp | UnsetType = UNSET

    def __repr__(self) -> str:
        return "IdentityProviderChangeIn()"


class IdentityProviderOut(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider, without its client secret."""

    id: Annotated[UUID, Meta(description="Id of the provider.")]
    name: Annotated[str, Meta(description="Its name in paths.")]
    issuer: Annotated[str, Meta(description="Issuer URL.")]
    audience: Annotated[str, Meta(description="Audience that access tokens must name.")]
    client_id: Annotated[str | None, Meta(description="Client id; null if users can't sign in there.")]
    has_client_secret: Annotated[bool, Meta(description="Whether a client secret is stored.")]
    jwks_url: Annotated[str | None, Meta(description="URL of the key set; null to use the issuer's configuration.")]
    role: NewRole
    role_claim: Annotated[str | None, Meta(description="Token claim with the role of users who sign up.")]
    sign_up: SignUp
    redirect_uri: Annotated[str, Meta(description="Redirect URI to register at the provider.")]
    sign_in_url: Annotated[str | None, Meta(description="Where users start to sign in; null without a client id.")]
    created_at: CreatedAt
    created_by: CreatedBy


class IdentityProvidersOut(msgspec.Struct, frozen=True):
    """All identity providers of the tenant."""

    items: Annotated[list[IdentityProviderOut], Meta(description="The providers, ordered by name.")]
    next_cursor: NoNextCursor = None


NEW_PROVIDER_EXAMPLE: dict[str, Any] = {
    "name": "okta",
    "issuer": "https://acme.okta.com",
    "client_id": "0oa1b2c3",
    "client_secret": "…",
}
PROVIDER_EXAMPLE: dict[str, Any] = {
    "id": "019514f2-af5d-7e37-86a8-9d1f4b3e7a02",
    "name": "okta",
    "issuer": "https://acme.okta.com",
    "audience": "0oa1b2c3",
    "client_id": "0oa1b2c3",
    "has_client_secret": True,
    "jwks_url": None,
    "role": "member",
    "role_claim": None,
    "sign_up": True,
    "redirect_uri": "https://headrace.example.com/api/auth/oidc/acme/okta/callback",
    "sign_in_url": "https://headrace.example.com/api/auth/oidc/acme/okta",
    "created_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=NEW_PROVIDER_EXAMPLE, response=PROVIDER_EXAMPLE),
    responses=problems("conflict", "egress_refused"),
    summary="Create an identity provider",
    tags=TAGS,
)
async def create_identity_provider(
    data: JSONBody[IdentityProviderIn], principal: MayManageSignIn, resources: AppResources
) -> Response[IdentityProviderOut]:
    """Fetches the issuer's OpenID configuration, or the keys at `jwks_url`, to check that the provider works. Returns 409 if
    the name is taken, or if the issuer and audience are already registered, by this or any other tenant."""
    _require_may_manage_sign_in(principal)
    values, provider_id = await _checked_columns(resources, principal, data), new_id()
    sealed = _seal(resources, principal, provider_id, data.client_secret)
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        if len(await providers.list_identity_providers(db, principal.tenant_id)) >= MAX_PROVIDERS:
            raise Conflict(f"A tenant can have at most {MAX_PROVIDERS} identity providers. Delete one first.")
        columns = {**values, "created_by": principal.actor}
        row = await providers.add_identity_provider(db, principal.tenant_id, provider_id, columns, sealed=sealed)
        await _record(db, principal, provider_id, "provider.created", values)
    return Response(
        _provider_out(resources, principal, row), headers={"Location": f"/api/auth/providers/{provider_id}"}
    )


@get("/", opt=described(response={"items": [PROVIDER_EXAMPLE]}), summary="List identity providers", tags=TAGS)
async def list_identity_providers(principal: MayManageSignIn, resources: AppResources) -> IdentityProvidersOut:
    """Lists the identity providers of your tenant, without their client secrets."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        rows = await providers.list_identity_providers(db, principal.tenant_id)
    return IdentityProvidersOut([_provider_out(resources, principal, row) for row in rows])


@get(
    "/{provider_id:uuid}",
    opt=described(response=PROVIDER_EXAMPLE),
    responses=problems("not_found"),
    summary="Get an identity provider",
    tags=TAGS,
)
async def get_identity_provider(
    provider_id: ProviderId, principal: MayManageSignIn, resources: AppResources
) -> IdentityProviderOut:
    """Returns an identity provider without its client secret."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = _require_found(await providers.find_identity_provider(db, principal.tenant_id, provider_id))
    return _provider_out(resources, principal, row)


@patch(
    "/{provider_id:uuid}",
    opt=described(
        example={"role": "viewer", "role_claim": "headrace_role"},
        response=PROVIDER_EXAMPLE | {"role": "viewer", "role_claim": "headrace_role"},
    ),
    responses=problems("not_found", "conflict", "secrets_required", "egress_refused"),
    summary="Update an identity provider",
    tags=TAGS,
)
async def update_identity_provider(
    provider_id: ProviderId,
    data: JSONBody[IdentityProviderChangeIn],
    principal: MayManageSignIn,
    resources: AppResources,
) -> IdentityProviderOut:
    """Changes the fields you send; the others keep their value, and null removes one. If `jwks_url` moves to another scheme,
    host or port, send `client_secret` again. Takes effect within a second; users who are signed in stay so."""
    _require_may_manage_sign_in(principal)
    changes = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        before = _require_found(await providers.find_identity_provider(db, principal.tenant_id, provider_id))
    await _check_change(resources, principal, before, changes)
    values = _sealed_columns(resources, principal, provider_id, changes)
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = _require_found(await providers.lock_identity_provider(db, principal.tenant_id, provider_id))
        if values:
            row = _require_found(await providers.change_identity_provider(db, principal.tenant_id, provider_id, values))
            if row.has_client_secret and row.client_id is None:  # two concurrent updates led to this
                raise InputError(checks.SECRET_ALONE, field="client_secret")
            await _record(db, principal, provider_id, "provider.changed", changes)
    return _provider_out(resources, principal, row)


@delete("/{provider_id:uuid}", responses=problems("not_found"), summary="Delete an identity provider", tags=TAGS)
async def delete_identity_provider(
    provider_id: ProviderId, principal: MayManageSignIn, resources: AppResources
) -> None:
    """Within a second, its tokens are refused and the sign-ins of its users end. The users remain: they can sign in with a
    password, or through another provider that has verified their email."""
    _require_may_manage_sign_in(principal)
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = _require_found(await providers.lock_identity_provider(db, principal.tenant_id, provider_id))
        ended = await providers.delete_identity_provider(db, principal.tenant_id, provider_id)
        detail = {"name": row.name, "issuer": row.issuer, "logins_ended": ended}
        await record(db, principal, principal.tenant_id, "provider.deleted", f"provider:{provider_id}", detail)


def _require_may_manage_sign_in(principal: Principal) -> None:
    """Require the right to manage owners: a provider that verifies emails can sign in as any user."""
    require_may_manage(principal, "owner")


async def _checked_columns(resources: Resources, principal: Principal, data: IdentityProviderIn) -> dict[str, Any]:
    """Return the columns of the new row, except the secret. Raises InputError that names the field."""
    checks.check_name(data.name)
    checks.check_client(data.client_id, data.client_secret)
    audience = data.audience or data.client_id
    if audience is None:
        raise InputError(
            "audience is required without a client_id. Send the audience that tokens name, a client_id, or both.",
            field="audience",
        )
    tenant_id, signs_in = principal.tenant_id, data.client_id is not None
    await checks.check_issuer(resources.settings, await resources.egress.policy(tenant_id, "sign_in"), data.issuer)
    await checks.check_keys(resources.remote_keys, tenant_id, data.issuer, data.jwks_url, signs_in=signs_in)
    changes = {name: getattr(data, name) for name in IdentityProviderIn.__struct_fields__ if name != "client_secret"}
    return {**changes, "audience": audience}


async def _check_change(
    resources: Resources, principal: Principal, before: providers.IdentityProvider, changes: dict[str, Any]
) -> None:
    """Raise InputError unless the provider would be valid after the change."""
    client_id = changes.get("client_id", before.client_id)
    secret = changes.get("client_secret", "kept" if before.has_client_secret else None)
    checks.check_client(client_id, secret)
    if {"jwks_url", "client_id"} & set(changes):
        jwks_url = changes.get("jwks_url", before.jwks_url)
        await checks.check_keys(
            resources.remote_keys, principal.tenant_id, before.issuer, jwks_url, signs_in=client_id is not None
        )
        if secret is not None and "client_secret" not in changes:
            checks.check_same_origin(before.jwks_url or before.issuer, jwks_url or before.issuer)


def _sealed_columns(
    resources: Resources, principal: Principal, provider_id: UUID, changes: dict[str, Any]
) -> dict[str, Any]:
    """Return the columns to change, with the secret encrypted."""
    values = {name: value for name, value in changes.items() if name != "client_secret"}
    if "client_secret" in changes:
        sealed = _seal(resources, principal, provider_id, changes["client_secret"])
        values |= {"key_id": sealed.key_id if sealed else None, "sealed": sealed.sealed if sealed else None}
    return values


def _seal(resources: Resources, principal: Principal, provider_id: UUID, secret: str | None) -> Sealed | None:
    if secret is None:
        return None
    return resources.vault.seal(secret, tenant_id=principal.tenant_id, owner_id=provider_id)


async def _record(db: Db, principal: Principal, provider_id: UUID, action: str, values: dict[str, Any]) -> None:
    detail = {name: "…" if name == "client_secret" else value for name, value in values.items()}
    await record(db, principal, principal.tenant_id, action, f"provider:{provider_id}", detail)


def _require_found(row: providers.IdentityProvider | None) -> providers.IdentityProvider:
    if row is None:
        raise NotFound(NO_PROVIDER)
    return row


def _provider_out(resources: Resources, principal: Principal, row: providers.IdentityProvider) -> IdentityProviderOut:
    path = (resources.settings.issuer, principal.tenant.slug, row.name)
    url = sign_in_url(*path) if row.client_id else None
    return from_row(IdentityProviderOut, row, redirect_uri=redirect_uri(*path), sign_in_url=url)


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
