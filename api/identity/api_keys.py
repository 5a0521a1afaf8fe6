"""Routes of API keys: create, list, change, revoke. A key is returned once, when it is created."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Meta, UnsetType

from api.audit.log import record
from api.auth.principals import KEYS_WITH_BUDGETS, MayHaveKeys, MayManageKeys, Principal
from api.auth.role_checks import is_at_most
from api.http.errors import problems
from api.http.fields import CreatedAt, CreatedBy, NextCursor
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openai.front_end_prompts import FrontEndPrompts, check_front_end_prompts
from api.openapi.operations import described
from api.resources import AppResources
from api.usage.caller_budgets import (
    BUDGET_EXAMPLE,
    SPENT_EXAMPLE,
    BudgetChangeIn,
    BudgetDay,
    BudgetMonth,
    SpentOut,
    TokensPerDay,
    budget_columns,
    budget_fields,
    read_spent_out,
)
from schema.errors import Forbidden, InputError, NotFound
from schema.identity.api_keys import PREFIX, new_api_key, read_api_key
from schema.identity.rights import Right, Role, rights_for_role
from schema.ids import new_id
from schema.postgres.connections import tenant_tx
from schema.queries.identity import api_keys

NO_KEY = "No such API key. GET /api/auth/keys lists the keys that you can see."

KeyId = Annotated[UUID, PathParameter(description="The key's id.")]


class ApiKeyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An API key to create. It can do no more than its creator."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="What the key is for.", examples=["my laptop"])]
    scopes: (
        Annotated[
            list[Right],
            Meta(
                min_length=1, max_length=50, description="Rights of the role that the key keeps; null keeps them all."
            ),
        ]
        | None
    ) = None
    expires_at: (
        Annotated[datetime, Meta(tz=True, description="When the key expires, with a UTC offset; null is never.")] | None
    ) = None
    expires_in_days: (
        Annotated[int, Meta(ge=1, le=3650, description="Days until the key expires; an alternative to `expires_at`.")]
        | None
    ) = None
    role: (
        Annotated[
            Role,
            Meta(description="Role of the key, at most your own; null is your own, or `member` with `for_tenant`."),
        ]
        | None
    ) = None
    for_tenant: Annotated[bool, Meta(description="Whether it acts for the tenant instead of for you.")] = False
    front_end_prompts: FrontEndPrompts | None = None


class ApiKeyChangeIn(BudgetChangeIn, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to change of an API key. Omitted fields keep their value."""

    front_end_prompts: FrontEndPrompts | UnsetType | None = UNSET


class ApiKeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without its secret."""

    id: Annotated[UUID, Meta(description="Id of the key.")]
    prefix: Annotated[str, Meta(description="How the key begins, to recognize it by.")]
    name: Annotated[str, Meta(description="What the key is for.")]
    role: Annotated[Role, Meta(description="Role of the key.")]
    scopes: Annotated[list[str] | None, Meta(description="Rights that it is narrowed to; null if it isn't narrowed.")]
    user_id: Annotated[UUID | None, Meta(description="The user it acts for; null if it acts for the tenant.")]
    created_by: CreatedBy
    created_at: CreatedAt
    expires_at: Annotated[datetime | None, Meta(description="When it expires; null is never.")]
    revoked_at: Annotated[datetime | None, Meta(description="When it was revoked; null if it wasn't.")]
    last_used_at: Annotated[
        datetime | None, Meta(description="When it was last used, to within 15 seconds; null if never.")
    ]
    budget_day_usd: BudgetDay | None
    budget_month_usd: BudgetMonth | None
    tokens_per_day: TokensPerDay | None
    front_end_prompts: FrontEndPrompts | None


class ApiKeyDetailOut(ApiKeyOut, frozen=True, kw_only=True):
    """An API key, with what was spent with it."""

    spent: Annotated[SpentOut, Meta(description="What was spent with it.")]


class ApiKeyCreatedOut(ApiKeyOut, frozen=True, kw_only=True):
    """An API key that was just created."""

    api_key: Annotated[str, Meta(description="The key itself. It is returned only once; store it safely.")]
    key: Annotated[str, Meta(description="The same, as older clients read it.")]

    def __repr__(self) -> str:
        return f"ApiKeyCreatedOut(id={self.id})"


class ApiKeysOut(msgspec.Struct, frozen=True):
    """A page of API keys, newest first."""

    items: Annotated[list[ApiKeyOut], Meta(description="The keys on this page.")]
    next_cursor: NextCursor


NEW_KEY_EXAMPLE: dict[str, Any] = {"name": "my laptop", "expires_in_days": 90}
KEY_EXAMPLE: dict[str, Any] = {
    "id": "019514f2-9e4c-7d26-b5f7-8c0e3a2d6f91",
    "prefix": "hr_4kPz9Qw2…",
    "name": "my laptop",
    "role": "member",
    "scopes": None,
    "user_id": "019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "created_at": "2026-03-02T08:15:30Z",
    "expires_at": "2026-05-31T08:15:30Z",
    "revoked_at": None,
    "last_used_at": None,
    **dict.fromkeys(BUDGET_EXAMPLE),
    "front_end_prompts": None,
}
CREATED_KEY_EXAMPLE = KEY_EXAMPLE | {"api_key": "hr_…", "key": "hr_…"}


@post(
    "/",
    status_code=201,
    opt=described(example=NEW_KEY_EXAMPLE, response=CREATED_KEY_EXAMPLE),
    responses=problems("model_unknown"),
    summary="Create an API key",
    tags=["auth"],
)
async def create_api_key(
    data: JSONBody[ApiKeyIn], principal: MayHaveKeys, resources: AppResources
) -> Response[ApiKeyCreatedOut]:
    """The key can do no more than you can, and expires no later than the key that you create it with. It acts for you: it sees
    what you see, and stops working when you are disabled or deleted. With `for_tenant`, which requires the right
    `keys.manage`, it acts for the tenant. A key with a budget creates none."""
    await check_front_end_prompts(resources, principal, data.front_end_prompts)
    key, key_id = new_api_key(), new_id()
    parts, fields = read_api_key(key), _key_fields(principal, data)
    assert parts is not None
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await api_keys.add_api_key(db, principal.tenant_id, key_id, parts, **fields, created_by=principal.actor)
        detail = {"name": row.name, "role": row.role, "scopes": row.scopes, "for_tenant": data.for_tenant}
        await record(db, principal, principal.tenant_id, "key.created", f"key:{key_id}", detail)
    created = from_row(ApiKeyCreatedOut, row, api_key=key, key=key, prefix=_prefix(row), **budget_fields(row))
    return Response(created, headers={"Cache-Control": "no-store"})


@get("/", opt=described(response={"items": [KEY_EXAMPLE], "next_cursor": None}), summary="List API keys", tags=["auth"])
async def list_api_keys(
    principal: MayHaveKeys, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> ApiKeysOut:
    """Lists your own keys; with the right `keys.manage`, those of the whole tenant."""
    list_name = f"api_keys/{principal.tenant_id}"
    before = read_cursor(list_name, cursor, UUID)
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        rows = await api_keys.list_api_keys(
            db, principal.tenant_id, limit=limit + 1, before=before, **_visible_keys(principal)
        )
    items = [from_row(ApiKeyOut, row, prefix=_prefix(row), **budget_fields(row)) for row in rows[:limit]]
    return ApiKeysOut(items, write_cursor(list_name, items[-1].id) if len(rows) > limit else None)


@get(
    "/{key_id:uuid}",
    opt=described(response=KEY_EXAMPLE | BUDGET_EXAMPLE | {"spent": SPENT_EXAMPLE}),
    responses=problems("not_found"),
    summary="Get an API key",
    tags=["auth"],
)
async def get_api_key(key_id: KeyId, principal: MayHaveKeys, resources: AppResources) -> ApiKeyDetailOut:
    """Returns one of your own keys, or with the right `keys.manage` any of the tenant, with its budgets and what was spent."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await api_keys.find_api_key(db, principal.tenant_id, key_id, **_visible_keys(principal))
        if row is None:
            raise NotFound(NO_KEY)
        spent = await read_spent_out(db, principal.tenant_id, "key", key_id)
    return from_row(ApiKeyDetailOut, row, prefix=_prefix(row), spent=spent, **budget_fields(row))


@patch(
    "/{key_id:uuid}",
    opt=described(
        example={"budget_day_usd": 5, "front_end_prompts": "plain"},
        response=KEY_EXAMPLE | BUDGET_EXAMPLE | {"front_end_prompts": "plain"},
    ),
    responses=problems("not_found", "model_unknown"),
    summary="Change an API key",
    tags=["auth"],
)
async def change_api_key(
    key_id: KeyId, data: JSONBody[ApiKeyChangeIn], principal: MayManageKeys, resources: AppResources
) -> ApiKeyOut:
    """Sets what may be spent with a key, beside what its user and the tenant may spend (what is used up is refused with 429),
    and who answers a front end's own prompts. Changes the fields you send."""
    columns: dict[str, int | str | None] = {**budget_columns(data)}
    if data.front_end_prompts is not UNSET:
        await check_front_end_prompts(resources, principal, data.front_end_prompts)
        columns["front_end_prompts"] = data.front_end_prompts
    if not columns:
        raise InputError(f"Send at least one of {', '.join(ApiKeyChangeIn.__struct_fields__)}.")
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await api_keys.change_api_key(db, principal.tenant_id, key_id, columns)
        if row is None:
            raise NotFound(NO_KEY)
        action = "key.changed" if "front_end_prompts" in columns else "key.budget_set"
        await record(db, principal, principal.tenant_id, action, f"key:{key_id}", dict(columns))
    return from_row(ApiKeyOut, row, prefix=_prefix(row), **budget_fields(row))


@delete("/{key_id:uuid}", responses=problems("not_found"), summary="Revoke an API key", tags=["auth"])
async def revoke_api_key(key_id: KeyId, principal: MayHaveKeys, resources: AppResources) -> None:
    """Within a second, the key is refused everywhere. Revoking it again changes nothing."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        newly_revoked = await api_keys.revoke_api_key(db, principal.tenant_id, key_id, **_visible_keys(principal))
        if newly_revoked is None:
            raise NotFound(NO_KEY)
        if newly_revoked:
            await record(db, principal, principal.tenant_id, "key.revoked", f"key:{key_id}")


def _key_fields(principal: Principal, data: ApiKeyIn) -> dict[str, Any]:
    """Return what the new key may do, for whom, and how long. A key created with a key acts for the same user."""
    role = _key_role(principal, data)
    return {
        "name": data.name,
        "role": role,
        "scopes": _key_scopes(principal, data, role),
        "expires_at": _expires_at(principal, data),
        "user_id": None if data.for_tenant else principal.user_id,
        "front_end_prompts": data.front_end_prompts,
    }


def _key_role(principal: Principal, data: ApiKeyIn) -> Role:
    """Return the role of the new key. Raises Forbidden if it would be above the creator's."""
    if data.for_tenant and "keys.manage" not in principal.rights:
        raise Forbidden(
            f"for_tenant requires the right 'keys.manage'; your role ({principal.role}) or key does not include it.",
            field="for_tenant",
        )
    if data.for_tenant and principal.kind == "key" and principal.budgets:
        raise Forbidden(f"for_tenant: the user of this API key has a budget, {KEYS_WITH_BUDGETS}", field="for_tenant")
    default: Role = "member" if is_at_most("member", principal.role) else principal.role
    role = data.role or (default if data.for_tenant else principal.role)
    if not is_at_most(role, principal.role):
        raise Forbidden(f"role must not be above your own ({principal.role}), but is {role}.", field="role")
    return role


def _key_scopes(principal: Principal, data: ApiKeyIn, role: Role) -> list[str] | None:
    """Return the scopes of the new key: at most the rights of its creator, which may be a narrowed key too."""
    role_rights = rights_for_role(role)
    if data.scopes is None:
        return None if role_rights <= principal.rights else sorted(role_rights & principal.rights)
    for index, scope in enumerate(data.scopes):
        if scope not in principal.rights:
            raise Forbidden(
                f"scopes[{index}]: you don't have the right {scope!r} yourself, so a key of yours can't have it.",
                field=f"scopes[{index}]",
            )
        if scope not in role_rights:
            raise InputError(
                f"scopes[{index}]: the role {role!r} does not include the right {scope!r}.", field=f"scopes[{index}]"
            )
    return sorted(set(data.scopes))


def _expires_at(principal: Principal, data: ApiKeyIn) -> datetime | None:
    """Return when the new key expires. Raises Forbidden if that is after the key that creates it."""
    wanted, latest = _wanted_expiry(data), principal.expires_at
    if latest is None or (wanted is not None and wanted <= latest):
        return wanted
    if wanted is not None:
        field = "expires_at" if data.expires_at else "expires_in_days"
        when = latest.astimezone(UTC).isoformat(timespec="seconds")
        raise Forbidden(f"{field}: a key must not outlive the key that creates it, until {when}.", field=field)
    return latest


def _wanted_expiry(data: ApiKeyIn) -> datetime | None:
    now = datetime.now(UTC)
    if data.expires_in_days is not None:
        if data.expires_at is not None:
            raise InputError("Send expires_at or expires_in_days, not both.", field="expires_in_days")
        return now + timedelta(days=data.expires_in_days)
    if data.expires_at is not None and data.expires_at <= now:
        raise InputError("expires_at must be in the future.", field="expires_at")
    return data.expires_at


def _visible_keys(principal: Principal) -> dict[str, UUID | None]:
    """Return the filter, as arguments of the queries, for the keys that the caller may list and revoke."""
    if "keys.manage" in principal.rights:
        return {}
    return {"of_key": principal.id} if principal.user_id is None else {"of": principal.user_id}


def _prefix(key: api_keys.ApiKey) -> str:
    return f"{PREFIX}{key.find}…"


routes = Router(
    "/auth/keys", route_handlers=[create_api_key, list_api_keys, get_api_key, change_api_key, revoke_api_key]
)
