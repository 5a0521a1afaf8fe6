"""How a browser is signed in by cookie, stays so, and is signed out: with a password, an API key or a one-time code."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.datastructures import Cookie

from api.auth.authentication import INVALID_KEY, SIGNED_OUT
from api.auth.bound_secrets import new_bound_secret, read_bound_secret
from api.auth.browser_cookie import LIFETIME, PREFIX
from api.auth.device_cookie import new_device_cookie, read_device
from api.auth.principals import Principal, client_address
from api.auth.role_checks import ClientInfo, read_client_info
from api.identity.login_sessions import authenticate, begin_browser_login, start_browser_session
from api.resources import Resources
from schema.errors import Unauthenticated
from schema.identity.api_keys import PREFIX as KEY_PREFIX
from schema.postgres.connections import Db, tenant_tx
from schema.queries.identity import browser_sessions
from schema.queries.identity.logins import end_login
from schema.queries.identity.users import SignInUser
from schema.queries.tenants.audit import add_audit

CODE_PREFIX = "hrc_"
CODE_LIFETIME = timedelta(minutes=10)
USED_CODE = (
    "This code was used already, is over ten minutes old, or a newer one took its place. Ask for a new link where you got this "
    "one, or sign in with an API key or a password."
)
NO_CODE = (
    f"This is no sign-in code: those begin with {CODE_PREFIX}. Open the link as you got it, with all behind the #."
)


async def sign_in_with_password(
    resources: Resources, request: Request[Any, Any, Any], tenant: str, email: str, password: str
) -> tuple[str, Cookie]:
    """Return the value of the browser's cookie, and the one that marks the device. Raises what `authenticate` raises."""
    client_info, secure = read_client_info(request), resources.settings.issuer.startswith("https:")

    def device_of(user: SignInUser) -> str | None:
        return read_device(request.cookies, resources.vault, user.tenant_snapshot.id, user.id, secure=secure)

    user = await authenticate(resources, tenant, email, password, client_info, device_of)
    value = await begin_browser_login(resources, user, client_info, password=password)
    tenant_id = user.tenant_snapshot.id
    return value, new_device_cookie(resources.vault, tenant_id, user.id, device_of(user), secure=secure)


async def sign_in_with_key(resources: Resources, api_key: str, client_info: ClientInfo) -> str:
    """Return the value of the cookie of a browser that may do what the key may. Raises Unauthenticated, TenantSuspended."""
    if not api_key.startswith(KEY_PREFIX):
        raise Unauthenticated(INVALID_KEY)
    address, request_id = client_info.address, client_info.request_id
    caller = await resources.authenticator.authenticate(api_key, address=address, request_id=request_id)
    async with tenant_tx(resources.core.pool, caller.tenant_id) as db:
        return await _start(db, caller.tenant_id, caller.id, "api_key", client_info)


async def sign_in_with_code(resources: Resources, code: str, client_info: ClientInfo) -> str:
    """Use a code up, and return the value of the cookie of a browser that may do what the code's key may. Raises
    Unauthenticated."""
    parts = read_bound_secret(CODE_PREFIX, code)
    if parts is None:
        raise Unauthenticated(NO_CODE)
    async with tenant_tx(resources.core.pool, parts.tenant_id) as db:
        is_good = await browser_sessions.take_sign_in_code(db, parts.tenant_id, parts.row_id, parts.digest)
        value = await _start(db, parts.tenant_id, parts.row_id, "code", client_info) if is_good else None
    if value is None:
        raise Unauthenticated(USED_CODE)
    return value


async def _start(db: Db, tenant_id: UUID, key_id: UUID, how: str, client_info: ClientInfo) -> str:
    name = f"key:{key_id}"
    origin: dict[str, Any] = {"address": client_info.address, "request_id": client_info.request_id, "result": "ok"}
    await add_audit(db, tenant_id, actor=name, action="login.succeeded", target=name, detail={"how": how}, **origin)
    return await start_browser_session(db, tenant_id, key_id=key_id)


async def find_browser(resources: Resources, request: Request[Any, Any, Any], value: str) -> Principal:
    """Return who is signed in by this cookie. Raises Unauthenticated, TenantSuspended or Unavailable."""
    origin = {"address": client_address(request), "request_id": request.scope.get("request_id")}
    return await resources.authenticator.authenticate_browser(value, **origin)


async def prolong(resources: Resources, principal: Principal, value: str) -> datetime:
    """Let a browser stay signed in for another 30 days, and return until when; at most as long as its key is good. Raises
    Unauthenticated if it has just been signed out."""
    parts = read_bound_secret(PREFIX, value)
    assert parts is not None, "it was authenticated"
    async with tenant_tx(resources.core.pool, parts.tenant_id) as db:
        until = await browser_sessions.prolong_browser_session(db, parts.tenant_id, parts.row_id, lasts=LIFETIME)
    if until is None:
        raise Unauthenticated(SIGNED_OUT)
    return min(until, principal.expires_at or until).astimezone(UTC)


async def sign_out(resources: Resources, value: str, client_info: ClientInfo) -> None:
    """End a browser's session, and the sign-in that it stands for. Nothing happens if it is over."""
    parts = read_bound_secret(PREFIX, value)
    if parts is None:
        return
    async with tenant_tx(resources.core.pool, parts.tenant_id) as db:
        ended = await browser_sessions.delete_browser_session(db, parts.tenant_id, parts.row_id, parts.digest)
        if ended is not None:
            await _record_end(db, parts.tenant_id, ended, client_info)
    resources.forget(parts.tenant_id)


async def _record_end(db: Db, tenant_id: UUID, ended: browser_sessions.EndedSession, client_info: ClientInfo) -> None:
    actor, target = f"key:{ended.key_id}", f"key:{ended.key_id}"
    if ended.login_id is not None:
        user_id = await end_login(db, tenant_id, ended.login_id, reason="logout")
        if user_id is None:
            return
        actor, target = f"user:{user_id}", f"login:{ended.login_id}"
    origin: dict[str, Any] = {"address": client_info.address, "request_id": client_info.request_id, "result": "ok"}
    await add_audit(db, tenant_id, actor=actor, action="login.ended", target=target, detail=None, **origin)


async def new_code(resources: Resources, principal: Principal) -> tuple[str, datetime]:
    """Return a code that signs a browser in once, with the caller's key, and until when."""
    code = new_bound_secret(CODE_PREFIX, principal.tenant_id, principal.id)
    parts = read_bound_secret(CODE_PREFIX, code)
    assert parts is not None
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        expires_at = await browser_sessions.set_sign_in_code(
            db, principal.tenant_id, principal.id, parts.digest, lasts=CODE_LIFETIME
        )
    return code, expires_at
