"""Routes of users: list, create, get, update, delete, and change your own password."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from api.audit.log import record
from api.auth.login_throttle import guess_throttle
from api.auth.principals import MayManageUsers, MayReadUsers, Principal, SignedIn
from api.auth.role_checks import read_email, require_may_manage
from api.http.errors import problems
from api.http.fields import CreatedAt, NextCursor, UpdatedAt
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.usage import caller_budgets as budgets
from schema.errors import Conflict, Forbidden, InputError, NotFound
from schema.identity.budgets import LIMITS
from schema.identity.rights import SEES_ALL, Role
from schema.ids import new_id
from schema.postgres.connections import Db, tenant_tx
from schema.queries.identity import users
from schema.queries.identity.api_keys import revoke_user_keys
from schema.queries.identity.logins import end_logins
from schema.queries.identity.users import SignInUser, User
from schema.queries.identity.users import UserState as State
from schema.queries.tenants.audit import add_audit
from schema.vault import PLATFORM

NO_USER = "No such user. GET /api/users lists the users of your tenant."

StateFilter = Annotated[State | None, QueryParameter(name="state", description="Only users in this state.")]
RoleFilter = Annotated[Role | None, QueryParameter(description="Only users with this role.")]
UserId = Annotated[UUID, PathParameter(description="The user's id.")]

Name = Annotated[str, Meta(max_length=200, description="Display name.")]
UserRole = Annotated[Role, Meta(description="`owner` manages the tenant, `member` works in it, `viewer` only reads.")]
UserState = Annotated[State, Meta(description="`disabled` users can't sign in, and their API keys are refused.")]
Password = Annotated[
    str, Meta(max_length=1000, description="Password of 10 to 200 characters; not a common one, nor the email address.")
]


class UserIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user to create. Without a password, they sign in through the tenant's identity provider."""

    email: Annotated[str, Meta(max_length=300, description="Email address, unique in the tenant.")]
    name: Name = ""
    role: UserRole = "member"
    password: Password | None = None

    def __repr__(self) -> str:
        return f"UserIn(role={self.role!r})"


class UserChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields of a user to update. Omitted fields keep their value."""

    name: Name | UnsetType = UNSET
    role: UserRole | UnsetType = UNSET
    state: UserState | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    budget_day_usd: budgets.BudgetDay | UnsetType | None = UNSET
    budget_month_usd: budgets.BudgetMonth | UnsetType | None = UNSET
    tokens_per_day: budgets.TokensPerDay | UnsetType | None = UNSET

    def __repr__(self) -> str:
        return "UserChangeIn()"


class PasswordIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new password for yourself."""

    current_password: Annotated[str, Meta(min_length=1, max_length=1000, description="Your current password.")]
    new_password: Password

    def __repr__(self) -> str:
        return "PasswordIn()"


class UserOut(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the tenant."""

    id: Annotated[UUID, Meta(description="Id of the user.")]
    email: Annotated[str, Meta(description="Email address, in lower case.")]
    name: Name
    role: UserRole
    state: UserState
    has_password: Annotated[bool, Meta(description="Whether they can sign in with a password.")]
    provider_id: Annotated[
        UUID | None, Meta(description="The identity provider they sign in through; null if there is none.")
    ]
    created_at: CreatedAt
    updated_at: UpdatedAt
    last_login_at: Annotated[datetime | None, Meta(description="When they last signed in; null if never.")]
    budget_day_usd: budgets.BudgetDay | None
    budget_month_usd: budgets.BudgetMonth | None
    tokens_per_day: budgets.TokensPerDay | None


class UserDetailOut(UserOut, frozen=True, kw_only=True):
    """A user of the tenant, with what was spent in their name."""

    spent: Annotated[budgets.SpentOut, Meta(description="What was spent in their name, with their keys too.")]


class UsersOut(msgspec.Struct, frozen=True):
    """A page of users, ordered by email."""

    items: Annotated[list[UserOut], Meta(description="The users on this page.")]
    next_cursor: NextCursor


NEW_USER_EXAMPLE: dict[str, Any] = {"email": "ada@example.com", "name": "Ada Lovelace", "role": "member"}
USER_EXAMPLE: dict[str, Any] = {
    "id": "019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "role": "member",
    "state": "active",
    "has_password": True,
    "provider_id": None,
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
    "last_login_at": None,
    **dict.fromkeys(budgets.BUDGET_EXAMPLE),
}


@get("/", opt=described(response={"items": [USER_EXAMPLE], "next_cursor": None}), summary="List users", tags=["users"])
async def list_users(
    principal: MayReadUsers,
    resources: AppResources,
    state_filter: StateFilter = None,
    role: RoleFilter = None,
    search: Annotated[
        str | None, QueryParameter(max_length=200, description="Text that emails or names contain, in any case.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> UsersOut:
    """Lists the users of your tenant."""
    list_name = f"users/{principal.tenant_id}"
    after = read_cursor(list_name, cursor, str) or ""
    filters: dict[str, Any] = {"state": state_filter, "role": role, "search": search}
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        rows = await users.list_users(db, principal.tenant_id, limit=limit + 1, after=after, **filters)
    items = [_user_out(row) for row in rows[:limit]]
    return UsersOut(items, write_cursor(list_name, items[-1].email) if len(rows) > limit else None)


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=NEW_USER_EXAMPLE, response=USER_EXAMPLE),
    responses=problems("conflict"),
    summary="Create a user",
    tags=["users"],
)
async def create_user(data: JSONBody[UserIn], principal: MayManageUsers, resources: AppResources) -> Response[UserOut]:
    """You can't give a user a role above your own. Returns 409 if the email is taken."""
    email, user_id = read_email(data.email), new_id()
    _require_may_manage(principal, data.role)
    hashed = await _hash(resources, data.password, email)
    filters = {"email": email, "name": data.name, "role": data.role, "password_hash": hashed}
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await users.add_user(db, principal.tenant_id, user_id, **filters)
        if row is None:
            raise Conflict("A user with this email already exists.", field="email")
        await record(db, principal, principal.tenant_id, "user.created", f"user:{user_id}", {"role": data.role})
    return Response(_user_out(row), headers={"Location": f"/api/users/{user_id}"})


@get(
    "/{user_id:uuid}",
    opt=described(response=USER_EXAMPLE | budgets.BUDGET_EXAMPLE | {"spent": budgets.SPENT_EXAMPLE}),
    responses=problems("not_found"),
    summary="Get a user",
    tags=["users"],
)
async def get_user(user_id: UserId, principal: MayReadUsers, resources: AppResources) -> UserDetailOut:
    """Returns a user of your tenant, with their budgets and what was spent."""
    row = await _find(resources, principal, user_id)
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        spent = await budgets.read_spent_out(db, principal.tenant_id, "user", user_id)
    return from_row(UserDetailOut, row, spent=spent, **budgets.budget_fields(row))


@patch(
    "/{user_id:uuid}",
    opt=described(example={"role": "viewer"}, response=USER_EXAMPLE | {"role": "viewer"}),
    responses=problems("not_found", "conflict"),
    summary="Update a user",
    tags=["users"],
)
async def update_user(
    user_id: UserId, data: JSONBody[UserChangeIn], principal: MayManageUsers, resources: AppResources
) -> UserOut:
    """Changes the fields you send; the others keep their value. Budgets hold for all that is done in the user's name, also with
    their keys; what is used up is refused with 429. Setting a password ends the user's sign-ins and revokes their
    API keys; disabling the user ends their sign-ins. Returns 409 if the tenant would lose its last active owner."""
    sent = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    values: dict[str, Any] = {name: value for name, value in sent.items() if name not in budgets.BUDGET_EXAMPLE}
    values |= budgets.budget_columns(data)
    if "role" in values:
        _require_may_manage(principal, values["role"])
    if "password" in values:
        _require_somebody_else(principal, user_id)
        before = await _find(resources, principal, user_id)
        _require_may_manage(principal, before.role)
        values["password_hash"] = await _hash(resources, values.pop("password"), before.email)
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await _lock(db, principal, user_id)
        if values.get("role", row.role) != row.role or values.get("state") == "disabled":
            await _require_not_last(db, principal, row)
        return await _update(db, principal, row, values)


@delete("/{user_id:uuid}", responses=problems("not_found", "conflict"), summary="Delete a user", tags=["users"])
async def delete_user(user_id: UserId, principal: MayManageUsers, resources: AppResources) -> None:
    """Deletes a user with their sign-ins and API keys; their sessions and jobs remain with the tenant. To remove everything,
    erase the user instead. Returns 409 for the last active owner."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await _lock(db, principal, user_id)
        await _require_not_last(db, principal, row)
        await users.delete_user(db, principal.tenant_id, user_id)
        await record(db, principal, principal.tenant_id, "user.deleted", f"user:{user_id}", {"role": row.role})


@post(
    "/me/password",
    status_code=204,
    opt=described(example={"current_password": "seven mill wheels", "new_password": "eight water gates"}),
    responses=problems("rate_limit_exceeded"),
    summary="Change your password",
    tags=["users"],
)
async def change_my_password(data: JSONBody[PasswordIn], principal: SignedIn, resources: AppResources) -> None:
    """Ends all your other sign-ins."""
    if principal.kind != "user":
        raise Forbidden("An API key has no password. Sign in to change yours.")
    row = await _require_own_password(resources, principal, data.current_password)
    hashed = await _hash(resources, data.new_password, row.email, "new_password")
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        await users.change_user(db, principal.tenant_id, principal.id, {"password_hash": hashed})
        await end_logins(db, principal.tenant_id, principal.id, reason="password_changed", but=principal.login_id)
        await record(db, principal, principal.tenant_id, "password.changed", principal.actor)


async def _update(db: Db, principal: Principal, row: User, values: dict[str, Any]) -> UserOut:
    """Update the row, end the sign-ins that must end, and record it."""
    tenant_id, user_id = principal.tenant_id, row.id
    changed = await users.change_user(db, tenant_id, user_id, values)
    assert changed is not None
    if values.get("state") == "disabled":
        await end_logins(db, tenant_id, user_id, reason="user_disabled")
    if "password_hash" in values:  # whoever knew the old one may have made keys
        ended = await end_logins(db, tenant_id, user_id, reason="password_changed")
        revoked = await revoke_user_keys(db, tenant_id, user_id)
        counts = {"logins_ended": ended, "keys_revoked": revoked}
        await record(db, principal, tenant_id, "password.changed", f"user:{user_id}", counts)
    detail = {name: value for name, value in values.items() if name in ("role", "state", *LIMITS)}
    if set(values) - {"password_hash"}:
        await record(db, principal, tenant_id, "user.changed", f"user:{user_id}", detail)
    return _user_out(changed)


def _user_out(row: User) -> UserOut:
    return from_row(UserOut, row, **budgets.budget_fields(row))


async def _find(resources: Resources, principal: Principal, user_id: UUID) -> User:
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await users.find_user(db, principal.tenant_id, user_id)
    if row is None:
        raise NotFound(NO_USER)
    return row


async def _lock(db: Db, principal: Principal, user_id: UUID) -> User:
    row = await users.lock_user(db, principal.tenant_id, user_id)
    if row is None:
        raise NotFound(NO_USER)
    _require_may_manage(principal, row.role)
    return row


async def _require_not_last(db: Db, principal: Principal, row: User) -> None:
    """Raise Conflict if the tenant (or the platform) would be left without an active owner (or admin)."""
    is_leader = row.role in SEES_ALL and row.state == "active"
    if is_leader and await users.count_others(db, principal.tenant_id, row.role, but=row.id) == 0:
        raise Conflict(f"This is the last active {row.role}. Create another one first.")


async def _require_own_password(resources: Resources, principal: Principal, password: str) -> SignInUser:
    """Return the caller's own row if the password is correct. Counts failures as signing in does."""
    tenant_id = principal.tenant_id
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        row = await users.find_password(db, tenant_id, user_id=principal.id)
    if row is None or row.password_hash is None:
        raise Forbidden("You sign in through an identity provider. Change your password there.")
    throttle = guess_throttle(resources.core.redis, tenant_id, f"password of {principal.id}", principal.address)
    await throttle.count_attempt()
    if await resources.passwords.verify(row.password_hash, password):
        await throttle.reset()
        return row
    filters = {"result": "denied", "address": principal.address, "request_id": principal.request_id}
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        await add_audit(
            db, tenant_id, actor=principal.actor, action="password.changed", target=principal.actor, **filters
        )
    raise InputError("current_password is incorrect.", field="current_password")


def _require_may_manage(principal: Principal, role: Role) -> None:
    require_may_manage(principal, role)
    if role == "admin" and principal.tenant_id != PLATFORM:
        raise Forbidden("role must not be admin: admins belong to the platform's own tenant.", field="role")


def _require_somebody_else(principal: Principal, user_id: UUID) -> None:
    """Raise Forbidden if the callers would set their own password: a token or key that was stolen must not be enough."""
    if principal.user_id == user_id:
        raise Forbidden(
            "To change your own password, send POST /api/users/me/password with your current one.", field="password"
        )


async def _hash(resources: Resources, password: str | None, email: str, field: str = "password") -> str | None:
    """Return the hash of a password, None for none. Raises InputError for one that isn't acceptable."""
    if password is None:
        return None
    await resources.passwords.check(password, email=email, field=field)
    return await resources.passwords.hash(password)


routes = Router(
    "/users", route_handlers=[list_users, create_user, get_user, update_user, delete_user, change_my_password]
)
