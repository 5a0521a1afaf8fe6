"""A sign-in's life: it begins with a password (or at an identity provider), goes on with refresh tokens, and ends.

A refresh token names its tenant and its sign-in and carries 32 random bytes; Postgres has only its SHA-256. Each works once.
One that was used and comes again was copied by somebody, we can't tell by whom, so the sign-in ends with all its tokens.
That holds for a client too that sends the same one twice at once: one of the two is answered, then the sign-in is over.
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from api.auth.login_throttle import Throttle, short_hash
from api.auth.passwords import is_outdated
from api.auth.role_checks import PersonOut, Visit, person_of
from api.resources import Resources
from schema.db import Db, tenant_tx
from schema.errors import TenantSuspended, Unauthenticated
from schema.ids import new_id
from schema.queries.identity.callers import find_tenant_id
from schema.queries.identity.logins import (
    add_login,
    add_refresh_token,
    end_login,
    is_refresh_token_used,
    prolong_login,
    use_refresh_token,
)
from schema.queries.identity.users import SignInUser, change_user, find_password
from schema.queries.tenants.audit import add_audit
from schema.tenancy import TenantSnapshot
from schema.vault import PLATFORM

PREFIX = "hrr_"
LASTS = timedelta(days=30)  # a sign-in that is not refreshed for so long is over

WRONG = "The tenant, email or password is incorrect."
NOT_REFRESHED = "The refresh token is invalid or has already been used. Sign in again with POST /api/auth/login."
SUSPENDED = "This tenant is suspended. Its data is kept. Contact the operator of this installation."


@dataclass(frozen=True)
class RefreshToken:
    """A refresh token: what it names, and what Postgres has of it."""

    tenant_id: UUID
    login_id: UUID
    digest: str


@dataclass(frozen=True)
class LoggedIn:
    """What somebody gets who has signed in, or refreshed."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    person: PersonOut
    tenant: TenantSnapshot


def new_refresh_token(tenant_id: UUID, login_id: UUID) -> str:
    """Return a fresh refresh token in plain text."""
    body = base64.urlsafe_b64encode(tenant_id.bytes + login_id.bytes + secrets.token_bytes(32))
    return PREFIX + body.rstrip(b"=").decode()


def read_refresh_token(text: str) -> RefreshToken | None:
    """Return the parts of a refresh token, or None if it can't be one of ours."""
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX) + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if not text.startswith(PREFIX) or len(raw) != 64:
        return None
    return RefreshToken(UUID(bytes=raw[:16]), UUID(bytes=raw[16:32]), hashlib.sha256(raw).hexdigest())


async def authenticate(resources: Resources, slug: str, email: str, password: str, visit: Visit) -> SignInUser:
    """Return the user with this password. The same answer, after the same work, for an unknown
    tenant, an unknown user, a wrong password and a disabled user.

    Raises Unauthenticated, TenantSuspended (to who knows the password), LimitReached or Unavailable.
    """
    email = email.strip().lower()
    tenant_id = await find_tenant_id(resources.core.pool, slug)
    throttle = Throttle(resources.core.redis, tenant_id or PLATFORM, f"{slug} {email}", visit.address)
    await throttle.enter()
    async with tenant_tx(resources.core.pool, tenant_id or PLATFORM) as db:
        user = await find_password(db, tenant_id or PLATFORM, email=email if tenant_id else "")
    right = await resources.passwords.verify(user.password_hash if user else None, password)
    refusal = _refusal(user, right)
    if user is None or refusal is not None:
        await throttle.failed()
        who = f"user:{user.id}" if user else "anonymous"
        detail = {"reason": refusal} if user else {"tenant": short_hash(slug), "email": short_hash(email)}
        await _note_failure(resources, tenant_id or PLATFORM, who, detail, visit)
        raise TenantSuspended(SUSPENDED) if refusal == "suspended" else Unauthenticated(WRONG)
    await throttle.succeeded()
    return user


async def begin_login(
    resources: Resources, user: SignInUser, visit: Visit, *, how: str = "password", password: str | None = None
) -> LoggedIn:
    """Sign a user in. With the `password` that was right, its hash is made anew if the parameters have changed."""
    tenant, login_id = user.tenant_snapshot, new_id()
    refresh_token = new_refresh_token(tenant.id, login_id)
    access_token = await resources.tokens.issue(tenant.id, login_id, user)
    fresh_hash = None
    if password is not None and user.password_hash is not None and is_outdated(user.password_hash):
        fresh_hash = await resources.passwords.hash(password)
    async with tenant_tx(resources.core.pool, tenant.id) as db:
        place, where = (tenant.id, login_id), {"address": visit.address, "client": visit.client}
        await add_login(db, *place, user.id, lasts=LASTS, **where)
        await add_refresh_token(db, tenant.id, login_id, _digest(refresh_token))
        if fresh_hash is not None:
            await change_user(db, tenant.id, user.id, {"password_hash": fresh_hash})
        await _note(db, tenant.id, login_id, user.id, "login.succeeded", visit, detail={"how": how})
    return LoggedIn(access_token, refresh_token, person_of(user), tenant)


async def renew_login(resources: Resources, text: str, visit: Visit) -> LoggedIn:
    """Exchange a refresh token for new tokens. Raises Unauthenticated, TenantSuspended or Unavailable."""
    used = read_refresh_token(text)
    if used is None:
        raise Unauthenticated(NOT_REFRESHED)
    refresh_token = new_refresh_token(used.tenant_id, used.login_id)
    async with tenant_tx(resources.core.pool, used.tenant_id) as db:
        user = await _exchange(db, used, _digest(refresh_token), visit)
        if user is not None and user.tenant_snapshot.state != "active":
            raise TenantSuspended(SUSPENDED)  # which rolls back, so that the token works once the tenant does
    if user is None:
        raise Unauthenticated(NOT_REFRESHED)
    access_token = await resources.tokens.issue(used.tenant_id, used.login_id, user)
    return LoggedIn(access_token, refresh_token, person_of(user), user.tenant_snapshot)


async def _exchange(db: Db, used: RefreshToken, fresh_digest: str, visit: Visit) -> SignInUser | None:
    """Return the user of the sign-in that goes on; None if it doesn't. A token that was used before ends it."""
    place = (used.tenant_id, used.login_id)
    if await use_refresh_token(db, *place, used.digest):
        user = await prolong_login(db, *place, lasts=LASTS)
        if user is not None:
            await add_refresh_token(db, *place, fresh_digest)
        return user
    if await is_refresh_token_used(db, *place, used.digest):
        user_id = await end_login(db, *place, reason="refresh_reused")
        if user_id is not None:
            await _note(db, *place, user_id, "refresh.reused", visit, result="denied")
    return None


def _refusal(user: SignInUser | None, right: bool) -> str | None:
    """Return why somebody may not sign in, None if they may."""
    if user is None or not right:
        return "password"
    state = user.tenant_snapshot.state
    if user.state != "active" or state == "deleting":
        return "disabled"
    return "suspended" if state != "active" else None


def _digest(refresh_token: str) -> str:
    parts = read_refresh_token(refresh_token)
    assert parts is not None
    return parts.digest


async def _note(
    db: Db,
    tenant_id: UUID,
    login_id: UUID,
    user_id: UUID,
    action: str,
    visit: Visit,
    *,
    result: str = "ok",
    detail: dict[str, Any] | None = None,
) -> None:
    about: dict[str, Any] = {"result": result, "address": visit.address, "request_id": visit.request_id}
    actor, target = f"user:{user_id}", f"login:{login_id}"
    await add_audit(db, tenant_id, actor=actor, action=action, target=target, detail=detail, **about)


async def _note_failure(resources: Resources, tenant_id: UUID, who: str, detail: dict[str, Any], visit: Visit) -> None:
    about: dict[str, Any] = {"result": "denied", "address": visit.address, "request_id": visit.request_id}
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        await add_audit(db, tenant_id, actor=who, action="login.failed", detail=detail, **about)
