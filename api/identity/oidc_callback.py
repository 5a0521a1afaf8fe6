"""The end of a sign-in at an identity provider: the browser is back with a code; whom does it bring?

What the provider said counts only for the browser that began the sign-in, within ten minutes, once. Who fails too often from
one address is not listened to for a while, as with passwords. Every failure is in the tenant's audit log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from api.auth.login_throttle import Throttle, short_hash
from api.auth.oidc.code_flow import TokensIn, shown
from api.auth.oidc.login_state import LoginState, read_login_state
from api.auth.role_checks import Visit
from api.identity.login_sessions import SUSPENDED, LoggedIn, begin_login
from api.identity.oidc_paths import redirect_uri
from api.resources import Resources
from schema.db import tenant_tx
from schema.errors import EgressFailed, HeadraceError, TenantSuspended, Unauthenticated, Unavailable
from schema.queries.identity.identity_providers import SignInProvider
from schema.queries.identity.users import SignInUser
from schema.queries.tenants.audit import add_audit
from schema.redis_names import spent_sign_in
from workers.redis.client import RedisUnavailable

SPENT_S = 900  # longer than a sign-in may take, so that no state outlives the memory of it

NOT_BEGUN = (
    "This sign-in was started in another browser or over ten minutes ago. Start again where you wanted to sign in."
)
SPENT = "This sign-in has already been completed. Start again where you wanted to sign in."
NOT_VALID = (
    "The identity provider's response is not valid for this sign-in. Start again; if that fails too, contact your tenant's "
    "owner."
)
NOBODY = "The identity provider signed you in, but you have no active user here. Contact your tenant's owner."


class LoginRefused(Unauthenticated):
    """`reason` is for the audit log."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class CallbackParameters:
    """What the browser brought in the address it came back to."""

    code: str | None
    state: str | None
    error: str | None
    error_description: str | None
    iss: str | None


async def finish_login(
    resources: Resources, provider: SignInProvider, told: CallbackParameters, cookies: Mapping[str, str], visit: Visit
) -> tuple[LoggedIn, LoginState]:
    """Sign in whom the provider vouches for. Raises Unauthenticated, TenantSuspended, LimitReached, EgressFailed when the
    provider is at fault, or Unavailable."""
    state = told.state or ""
    throttle = Throttle(resources.core.redis, provider.tenant_id, f"oidc {state}", visit.address)
    await throttle.enter()
    try:
        begun = await _resume(resources, provider, state, cookies)
        user = await _find_person(resources, provider, begun, told)
    except HeadraceError as error:
        if not isinstance(error, EgressFailed | Unavailable):
            await throttle.failed()
        await _note_failure(resources, provider, error, visit)
        raise
    return await begin_login(resources, user, visit, how="oidc"), begun


async def _resume(resources: Resources, provider: SignInProvider, state: str, cookies: Mapping[str, str]) -> LoginState:
    """Return the sign-in that this browser began, and see that it comes back once."""
    secure = resources.settings.issuer.startswith("https:")
    begun = read_login_state(cookies, state, resources.vault, provider, secure=secure)
    if begun is None:
        raise LoginRefused("not_begun", NOT_BEGUN)
    name = spent_sign_in(provider.tenant_id, short_hash(state))
    try:
        fresh = await resources.core.redis.call("SET", name, 1, "NX", "EX", SPENT_S)
    except RedisUnavailable:
        fresh = True  # fails open: the provider takes a code once as well, and an outage must not lock everybody out
    if not fresh:
        raise LoginRefused("spent", SPENT)
    return begun


async def _find_person(
    resources: Resources, provider: SignInProvider, begun: LoginState, told: CallbackParameters
) -> SignInUser:
    """Return the user whom the provider vouches for, who may sign in."""
    if not await resources.code_flow.is_from(provider, told.iss):
        raise LoginRefused("issuer", NOT_VALID)
    if told.error is not None:
        _refuse(provider, told)
    if not told.code:
        raise LoginRefused("no_code", NOT_VALID)
    where = redirect_uri(resources.settings.issuer, provider.slug, provider.name)
    tokens = await resources.code_flow.exchange(provider, _secret(resources, provider), begun, told.code, where)
    claims = await _read_claims(resources, provider, tokens, begun)
    if not claims.get("email"):
        claims = await resources.code_flow.ask_about(provider, claims, tokens.access_token)
    user = await resources.tokens.foreign.find_user(provider, claims)
    state = user.tenant_snapshot.state if user else "deleting"
    if user is None or user.state != "active" or state == "deleting":
        raise LoginRefused("nobody" if user is None else "disabled", NOBODY)
    if state != "active":
        raise TenantSuspended(SUSPENDED)
    return user


async def _read_claims(
    resources: Resources, provider: SignInProvider, tokens: TokensIn, begun: LoginState
) -> dict[str, Any]:
    foreign = resources.tokens.foreign
    try:
        return await foreign.read_id_token(
            provider, tokens.id_token, nonce=begun.nonce, access_token=tokens.access_token
        )
    except Unauthenticated as error:
        if isinstance(error.__cause__, EgressFailed):  # its keys can't be had, so nothing is known of the token
            raise error.__cause__ from None
        raise LoginRefused("id_token", NOT_VALID) from error


def _refuse(provider: SignInProvider, told: CallbackParameters) -> NoReturn:
    """Say what the provider said; whoever made up the address can't, since the state has been looked at."""
    about = f" ({shown(told.error_description)})" if told.error_description else ""
    raise LoginRefused("refused", f"{provider.name} did not sign you in: {shown(told.error or '', 60)}{about}.")


def _secret(resources: Resources, provider: SignInProvider) -> str | None:
    sealed = provider.client_secret
    if sealed is None:
        return None
    return resources.vault.open(sealed, tenant_id=provider.tenant_id, owner_id=provider.id)


async def _note_failure(resources: Resources, provider: SignInProvider, error: HeadraceError, visit: Visit) -> None:
    """Who it was is not known for sure, so nobody is named."""
    reason = error.reason if isinstance(error, LoginRefused) else error.code
    about: dict[str, Any] = {"result": "denied", "address": visit.address, "request_id": visit.request_id}
    detail = {"how": "oidc", "provider": provider.name, "reason": reason}
    async with tenant_tx(resources.core.pool, provider.tenant_id) as db:
        await add_audit(db, provider.tenant_id, actor="anonymous", action="login.failed", detail=detail, **about)
