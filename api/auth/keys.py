"""API keys for clients: make, list, revoke (A8). A key is shown once, when it is made."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta
from psycopg.rows import DictRow

from api.admin.deeds import note
from api.auth.people import is_at_most
from api.describing import described
from api.errors import problems
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayHaveKeys, Principal
from api.resources import Opened
from schema.db import tenant_tx
from schema.errors import Forbidden, InputError, NotFound
from schema.ids import new_id
from schema.keys import PREFIX, new_api_key, read_api_key
from schema.queries import api_keys
from schema.rights import Right, Role, rights_of

NO_KEY = "There is no such key."


class KeyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new key. `scopes` are the rights that it keeps of its role's, all if left out; it acts for you, or `for_tenant`."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[Right], Meta(min_length=1, max_length=50)] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    role: Role | None = None
    for_tenant: bool = False


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A key, never the secret of it. `user_id` is whom it acts for, None is the tenant."""

    id: UUID
    prefix: str
    name: str
    role: Role
    scopes: list[str] | None
    user_id: UUID | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class KeyMadeOut(KeyOut, frozen=True, kw_only=True):
    """A key that was just made; `key` is shown this once."""

    key: str

    def __repr__(self) -> str:
        return f"KeyMadeOut(id={self.id})"


class KeysOut(msgspec.Struct, frozen=True):
    """A page of keys, newest first."""

    items: list[KeyOut]
    next_cursor: str | None


@post(
    "/",
    status_code=201,
    opt=described(example={"name": "my laptop", "expires_in_days": 90}),
    summary="Make an API key",
    tags=["auth"],
)
async def create_api_key(data: JSONBody[KeyIn], principal: MayHaveKeys, resources: Opened) -> Response[KeyMadeOut]:
    """The key can do no more than you can. It acts for you, sees what you see and ends with you; with `for_tenant`, which
    needs the right `keys.manage`, it acts for the tenant."""
    key, key_id = new_api_key(), new_id()
    parts, about = read_api_key(key), _about(principal, data)
    assert parts is not None
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        row = await api_keys.add_api_key(db, principal.tenant_id, key_id, parts, **about, created_by=principal.actor)
        detail = {"name": row["name"], "role": row["role"], "scopes": row["scopes"], "for_tenant": data.for_tenant}
        await note(db, principal, principal.tenant_id, "key.created", f"key:{key_id}", detail)
    return Response(KeyMadeOut(key=key, **_fields(row)), headers={"Cache-Control": "no-store"})


@get("/", summary="List API keys", tags=["auth"])
async def list_api_keys(principal: MayHaveKeys, resources: Opened, cursor: Cursor = None, limit: Limit = 20) -> KeysOut:
    """Your own; with the right `keys.manage`, those of the whole tenant."""
    before = read_cursor(cursor, UUID)
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        rows = await api_keys.list_api_keys(
            db, principal.tenant_id, limit=limit + 1, before=before, **_reach(principal)
        )
    items = [KeyOut(**_fields(row)) for row in rows[:limit]]
    return KeysOut(items, write_cursor(items[-1].id) if len(rows) > limit else None)


@delete("/{key_id:uuid}", responses=problems("not_found"), summary="Revoke an API key", tags=["auth"])
async def revoke_api_key(key_id: FromPath[UUID], principal: MayHaveKeys, resources: Opened) -> None:
    """It is refused everywhere within a second."""
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        fresh = await api_keys.revoke_api_key(db, principal.tenant_id, key_id, **_reach(principal))
        if fresh is None:
            raise NotFound(NO_KEY)
        if fresh:
            await note(db, principal, principal.tenant_id, "key.revoked", f"key:{key_id}")


def _about(principal: Principal, data: KeyIn) -> dict[str, Any]:
    """Return what the new key may do, for whom and how long. A key makes keys that act for whom it acts for itself."""
    role = _role(principal, data)
    return {
        "name": data.name,
        "role": role,
        "scopes": _scopes(principal, data, role),
        "expires_at": _expires_at(data),
        "user_id": None if data.for_tenant else principal.user_id,
    }


def _role(principal: Principal, data: KeyIn) -> Role:
    """Return the new key's role. Raises Forbidden for one above the maker's."""
    if data.for_tenant and "keys.manage" not in principal.rights:
        raise Forbidden("A key for the whole tenant needs the right 'keys.manage'.", field="for_tenant")
    default: Role = "member" if is_at_most("member", principal.role) else principal.role
    role = data.role or (default if data.for_tenant else principal.role)
    if not is_at_most(role, principal.role):
        raise Forbidden(f"Your {principal.role} access can't make a key with the role {role!r}.", field="role")
    return role


def _scopes(principal: Principal, data: KeyIn, role: Role) -> list[str] | None:
    """Return what the key is narrowed to: at most what its maker may do, also if that is a narrowed key."""
    whole = rights_of(role)
    if data.scopes is None:
        return None if whole <= principal.rights else sorted(whole & principal.rights)
    for place, scope in enumerate(data.scopes):
        if scope not in principal.rights:
            raise Forbidden(f"You don't have the right {scope!r} yourself.", field=f"scopes[{place}]")
        if scope not in whole:
            raise InputError(f"The role {role!r} does not have the right {scope!r}.", field=f"scopes[{place}]")
    return sorted(set(data.scopes))


def _expires_at(data: KeyIn) -> datetime | None:
    now = datetime.now(UTC)
    if data.expires_in_days is not None:
        if data.expires_at is not None:
            raise InputError("Send expires_at or expires_in_days, not both.", field="expires_in_days")
        return now + timedelta(days=data.expires_in_days)
    if data.expires_at is not None and data.expires_at <= now:
        raise InputError("expires_at must lie in the future.", field="expires_at")
    return data.expires_at


def _reach(principal: Principal) -> dict[str, UUID | None]:
    """Return which keys the caller sees and may revoke, as the queries name them."""
    if "keys.manage" in principal.rights:
        return {}
    return {"of_key": principal.id} if principal.user_id is None else {"of": principal.user_id}


def _fields(row: DictRow) -> dict[str, Any]:
    fields = {name: row[name] for name in KeyOut.__struct_fields__ if name != "prefix"}
    return {**fields, "prefix": f"{PREFIX}{row['find']}…"}


routes = Router("/auth/keys", route_handlers=[create_api_key, list_api_keys, revoke_api_key])
