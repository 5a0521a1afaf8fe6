"""The life of a sign-in: it starts with a password or at an identity provider, is prolonged by refresh tokens, and ends.

A refresh token contains its tenant, its sign-in and 32 secret bytes; Postgres stores only its SHA-256. Each is exchanged for
its successor, which follows from it and the installation's secret key. Two tabs may send the same token: within `GRACE` it has
the same successor. If it is sent again later, somebody has copied it, so the sign-in ends with all its tokens (RFC 9700, 4.14).
A thief who comes within `GRACE` gets the successor that the user has too, so the next refresh tells.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from api.auth.bound_secrets import BoundSecret, new_bound_secret, read_bound_secret
from api.auth.browser_cookie import LIFETIME
from api.auth.browser_cookie import PREFIX as COOKIE_PREFIX
from api.auth.login_throttle import LoginThrottle, login_name, short_hash, sign_in_throttle
from api.auth.passwords import is_outdated
from api.auth.role_checks import ClientInfo, SignedInUserOut, signed_in_user_out
from api.resources import Resources
from schema.errors import TenantSuspended, Unauthenticated, Unavailable
from schema.identity.tenancy import TenantSnapshot
from schema.ids import new_id
from schema.postgres.connections import Db, tenant_tx
from schema.queries.identity.browser_sessions import add_browser_session
from schema.queries.identity.callers import find_tenant_id
from schema.queries.identity.logins import (
    add_login,
    add_refresh_token,
    end_login,
    extend_login,
    use_refresh_token,
)
from schema.queries.identity.users import SignInUser, change_user, find_password
from schema.queries.tenants.audit import add_audit
from schema.vault import PLATFORM, Vault

PREFIX = "hrr_"
LOGIN_LIFETIME = LIFETIME  # since the last refresh
GRACE = timedelta(seconds=10)
"""How long after its first use a refresh token may be sent again."""

INVALID_CREDENTIALS = "The tenant, email or password is incorrect."
CANNOT_REFRESH = "The refresh token is invalid or has already been used. Sign in again with POST /api/auth/login."
SUSPENDED = "This tenant is suspended. Its data is kept. Contact the operator of this installation."


@dataclass(frozen=True)
class LoggedIn:
    """Result of a sign-in or a refresh."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    person: SignedInUserOut
    tenant: TenantSnapshot


def new_refresh_token(tenant_id: UUID, login_id: UUID, secret: bytes | None = None) -> str:
    """Return a new refresh token in plain text, with these 32 secret bytes or random ones."""
    return new_bound_secret(PREFIX, tenant_id, login_id, secret)


def derive_successor(presented: BoundSecret, vault: Vault) -> str:
    """Return the refresh token that this one is exchanged for, always the same while the secret key is."""
    return new_refresh_token(
        presented.tenant_id, presented.row_id, vault.derive("refresh token", presented.digest.encode())
    )


def read_refresh_token(text: str) -> BoundSecret | None:
    """Return the parts of a refresh token, whose row is its sign-in; None if it isn't one of ours."""
    return read_bound_secret(PREFIX, text)


async def authenticate(
    resources: Resources,
    slug: str,
    email: str,
    password: str,
    client_info: ClientInfo,
    read_device: Callable[[SignInUser], str | None],
) -> SignInUser:
    """Return the user with this password. Fails with the same message, after the same work, for an unknown tenant, an unknown
    user, a wrong password and a disabled user.

    `read_device` returns the id of the device if the user has signed in on it before. Raises Unauthenticated, TenantSuspended
    (only if the password is correct), LimitReached or Unavailable.
    """
    email = email.strip().lower()
    tenant_id = await find_tenant_id(resources.core.pool, slug)
    async with tenant_tx(resources.core.pool, tenant_id or PLATFORM) as db:
        user = await find_password(db, tenant_id or PLATFORM, email=email if tenant_id else "")
    throttle = sign_in_throttle(
        resources.core.redis,
        tenant_id or PLATFORM,
        login_name(slug, email),
        address=client_info.address,
        device=read_device(user) if user else None,
        known_addresses=user.known_addresses if user else (),
    )
    matches = await _verify(resources, throttle, user, password)
    reason = _refusal_reason(user, matches)
    if user is None or reason is not None:
        actor = f"user:{user.id}" if user else "anonymous"
        detail = {"reason": reason} if user else {"tenant": short_hash(slug), "email": short_hash(email)}
        await _record_failure(resources, tenant_id or PLATFORM, actor, detail, client_info)
        raise TenantSuspended(SUSPENDED) if reason == "suspended" else Unauthenticated(INVALID_CREDENTIALS)
    await throttle.reset()
    return user


async def _verify(resources: Resources, throttle: LoginThrottle, user: SignInUser | None, password: str) -> bool:
    await throttle.count_attempt()
    try:
        return await resources.passwords.verify(user.password_hash if user else None, password)
    except Unavailable:  # nothing was guessed
        await throttle.take_back()
        raise


async def begin_login(
    resources: Resources,
    user: SignInUser,
    client_info: ClientInfo,
    *,
    method: str = "password",
    password: str | None = None,
) -> LoggedIn:
    """Sign a user in. Given the verified `password`, its hash is replaced if the hash parameters have changed."""
    tenant, login_id = user.tenant_snapshot, new_id()
    refresh_token = new_refresh_token(tenant.id, login_id)
    access_token = await resources.tokens.issue(tenant.id, login_id, user)
    new_hash = await _renewed_hash(resources, user, password)
    async with tenant_tx(resources.core.pool, tenant.id) as db:
        await _add_login(db, login_id, user, client_info, method, new_hash)
        await add_refresh_token(db, tenant.id, login_id, _digest(refresh_token))
    return LoggedIn(access_token, refresh_token, signed_in_user_out(user), tenant)


async def begin_browser_login(
    resources: Resources,
    user: SignInUser,
    client_info: ClientInfo,
    *,
    method: str = "password",
    password: str | None = None,
) -> str:
    """Sign a user in by cookie, without tokens, and return the cookie's value."""
    tenant_id, login_id = user.tenant_snapshot.id, new_id()
    new_hash = await _renewed_hash(resources, user, password)
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        await _add_login(db, login_id, user, client_info, method, new_hash)
        return await start_browser_session(db, tenant_id, login_id=login_id)


async def start_browser_session(
    db: Db, tenant_id: UUID, *, login_id: UUID | None = None, key_id: UUID | None = None
) -> str:
    """Store that a browser is signed in, with a sign-in or an API key, and return the value of its cookie."""
    session_id = new_id()
    cookie = new_bound_secret(COOKIE_PREFIX, tenant_id, session_id)
    parts = read_bound_secret(COOKIE_PREFIX, cookie)
    assert parts is not None
    owner = {"login_id": login_id, "key_id": key_id}
    await add_browser_session(db, tenant_id, session_id, parts.digest, lasts=LIFETIME, **owner)
    return cookie


async def _renewed_hash(resources: Resources, user: SignInUser, password: str | None) -> str | None:
    """Return a new hash of a verified password if the parameters of hashes have changed."""
    if password is None or user.password_hash is None or not is_outdated(user.password_hash):
        return None
    return await resources.passwords.hash(password)


async def _add_login(
    db: Db, login_id: UUID, user: SignInUser, client_info: ClientInfo, method: str, new_hash: str | None
) -> None:
    tenant_id, origin = user.tenant_snapshot.id, {"address": client_info.address, "client": client_info.client}
    await add_login(db, tenant_id, login_id, user.id, lasts=LOGIN_LIFETIME, **origin)
    if new_hash is not None:
        await change_user(db, tenant_id, user.id, {"password_hash": new_hash})
    await _record(db, tenant_id, login_id, user.id, "login.succeeded", client_info, detail={"how": method})


async def renew_login(resources: Resources, text: str, client_info: ClientInfo) -> LoggedIn:
    """Exchange a refresh token for new tokens. Raises Unauthenticated, TenantSuspended or Unavailable."""
    presented = read_refresh_token(text)
    if presented is None:
        raise Unauthenticated(CANNOT_REFRESH)
    refresh_token = derive_successor(presented, resources.vault)
    async with tenant_tx(resources.core.pool, presented.tenant_id) as db:
        user = await _exchange(db, presented, _digest(refresh_token), client_info)
        if user is not None and user.tenant_snapshot.state != "active":
            raise TenantSuspended(SUSPENDED)  # rolls back, so the token still works when the tenant is resumed
    if user is None:
        resources.forget(presented.tenant_id)  # the sign-in may have been ended
        raise Unauthenticated(CANNOT_REFRESH)
    access_token = await resources.tokens.issue(presented.tenant_id, presented.row_id, user)
    return LoggedIn(access_token, refresh_token, signed_in_user_out(user), user.tenant_snapshot)


async def _exchange(db: Db, presented: BoundSecret, new_digest: str, client_info: ClientInfo) -> SignInUser | None:
    """Return the user if the sign-in continues, else None. A token that was used before `GRACE` ends the sign-in."""
    login_key = (presented.tenant_id, presented.row_id)
    use = await use_refresh_token(db, *login_key, presented.digest, grace=GRACE)
    if use in ("first", "repeated"):
        user = await extend_login(db, *login_key, lasts=LOGIN_LIFETIME)
        if user is not None:
            await add_refresh_token(db, *login_key, new_digest)
        return user
    if use == "reused":
        user_id = await end_login(db, *login_key, reason="refresh_reused")
        if user_id is not None:
            await _record(db, *login_key, user_id, "refresh.reused", client_info, result="denied")
    return None


def _refusal_reason(user: SignInUser | None, matches: bool) -> str | None:
    """Return why a user may not sign in; None if they may."""
    if user is None or not matches:
        return "password"
    state = user.tenant_snapshot.state
    if user.state != "active" or state == "deleting":
        return "disabled"
    return "suspended" if state != "active" else None


def _digest(refresh_token: str) -> str:
    parts = read_refresh_token(refresh_token)
    assert parts is not None
    return parts.digest


async def _record(
    db: Db,
    tenant_id: UUID,
    login_id: UUID,
    user_id: UUID,
    action: str,
    client_info: ClientInfo,
    *,
    result: str = "ok",
    detail: dict[str, Any] | None = None,
) -> None:
    origin: dict[str, Any] = {"result": result, "address": client_info.address, "request_id": client_info.request_id}
    actor, target = f"user:{user_id}", f"login:{login_id}"
    await add_audit(db, tenant_id, actor=actor, action=action, target=target, detail=detail, **origin)


async def _record_failure(
    resources: Resources, tenant_id: UUID, actor: str, detail: dict[str, Any], client_info: ClientInfo
) -> None:
    origin: dict[str, Any] = {"result": "denied", "address": client_info.address, "request_id": client_info.request_id}
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        await add_audit(db, tenant_id, actor=actor, action="login.failed", detail=detail, **origin)
