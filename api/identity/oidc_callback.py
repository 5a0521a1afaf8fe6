"""Completes a sign-in at an identity provider, when the browser comes back with a code.

The response counts only in the browser that started the sign-in, within ten minutes, once. Failures are throttled as with
passwords, and recorded in the tenant's audit log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from api.auth.login_throttle import guess_throttle, short_hash
from api.auth.oidc.code_flow import TokensIn, escape_for_display
from api.auth.oidc.login_state import LoginState, read_login_state
from api.auth.role_checks import ClientInfo
from api.identity.login_sessions import SUSPENDED
from api.identity.oidc_paths import redirect_uri
from api.resources import Resources
from schema.errors import EgressFailed, HeadraceError, TenantSuspended, Unauthenticated, Unavailable
from schema.postgres.connections import tenant_tx
from schema.queries.identity.identity_providers import SignInProvider
from schema.queries.identity.users import SignInUser
from schema.queries.tenants.audit import add_audit
from schema.redis_names import used_login_state
from workers.redis.client import RedisUnavailable

USED_STATE_TTL_S = 900  # longer than a sign-in may take

NO_LOGIN_STATE = (
    "This sign-in was started in another browser or over ten minutes ago. Start again where you wanted to sign in."
)
ALREADY_USED = "This sign-in has already been completed. Start again where you wanted to sign in."
INVALID_RESPONSE = (
    "The identity provider's response is not valid for this sign-in. Start again; if that fails too, contact your tenant's "
    "owner."
)
NO_ACTIVE_USER = "The identity provider signed you in, but you have no active user here. Contact your tenant's owner."


class OidcLoginRefused(Unauthenticated):
    """A sign-in that was rejected; `reason` is for the audit log."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class CallbackParameters:
    """Query parameters of the callback."""

    code: str | None
    state: str | None
    error: str | None
    error_description: str | None
    iss: str | None


async def finish_login(
    resources: Resources,
    provider: SignInProvider,
    parameters: CallbackParameters,
    cookies: Mapping[str, str],
    client_info: ClientInfo,
) -> tuple[SignInUser, LoginState]:
    """Return the user that the provider identifies, who may sign in. Raises Unauthenticated, TenantSuspended, LimitReached,
    EgressFailed if the provider is at fault, or Unavailable."""
    state = parameters.state or ""
    throttle = guess_throttle(resources.core.redis, provider.tenant_id, f"oidc {state}", client_info.address)
    await throttle.count_attempt()
    try:
        login_state = await _resume(resources, provider, state, cookies)
        user = await _find_user(resources, provider, login_state, parameters)
    except HeadraceError as error:
        if isinstance(error, EgressFailed | Unavailable):
            await throttle.take_back()
        await _record_failure(resources, provider, error, client_info)
        raise
    await throttle.reset()
    return user, login_state


async def _resume(resources: Resources, provider: SignInProvider, state: str, cookies: Mapping[str, str]) -> LoginState:
    """Return the sign-in that this browser started, and make sure that it completes only once."""
    secure = resources.settings.issuer.startswith("https:")
    login_state = read_login_state(cookies, state, resources.vault, provider, secure=secure)
    if login_state is None:
        raise OidcLoginRefused("not_begun", NO_LOGIN_STATE)
    name = used_login_state(provider.tenant_id, short_hash(state))
    try:
        first_use = await resources.core.redis.call("SET", name, 1, "NX", "EX", USED_STATE_TTL_S)
    except RedisUnavailable:
        first_use = (
            True  # fails open: the provider accepts a code only once too, and an outage must not lock everybody out
        )
    if not first_use:
        raise OidcLoginRefused("spent", ALREADY_USED)
    return login_state


async def _find_user(
    resources: Resources, provider: SignInProvider, login_state: LoginState, parameters: CallbackParameters
) -> SignInUser:
    """Return the user that the provider identifies, if they may sign in."""
    if not await resources.code_flow.is_response_from(provider, parameters.iss):
        raise OidcLoginRefused("issuer", INVALID_RESPONSE)
    if parameters.error is not None:
        _raise_provider_error(provider, parameters)
    if not parameters.code:
        raise OidcLoginRefused("no_code", INVALID_RESPONSE)
    redirect = redirect_uri(resources.settings.issuer, provider.slug, provider.name)
    tokens = await resources.code_flow.exchange(
        provider, _secret(resources, provider), login_state, parameters.code, redirect
    )
    claims = await _read_claims(resources, provider, tokens, login_state)
    if not claims.get("email"):
        claims = await resources.code_flow.add_user_info(provider, claims, tokens.access_token)
    user = await resources.tokens.external.find_user(provider, claims)
    state = user.tenant_snapshot.state if user else "deleting"
    if user is None or user.state != "active" or state == "deleting":
        raise OidcLoginRefused("nobody" if user is None else "disabled", NO_ACTIVE_USER)
    if state != "active":
        raise TenantSuspended(SUSPENDED)
    return user


async def _read_claims(
    resources: Resources, provider: SignInProvider, tokens: TokensIn, login_state: LoginState
) -> dict[str, Any]:
    external = resources.tokens.external
    try:
        return await external.read_id_token(
            provider, tokens.id_token, nonce=login_state.nonce, access_token=tokens.access_token
        )
    except Unauthenticated as error:
        if isinstance(error.__cause__, EgressFailed):  # without the provider's keys the token can't be judged
            raise error.__cause__ from None
        raise OidcLoginRefused("id_token", INVALID_RESPONSE) from error


def _raise_provider_error(provider: SignInProvider, parameters: CallbackParameters) -> NoReturn:
    """Repeat the provider's error. It can't be forged by a link, since the state was verified."""
    explanation = f" ({escape_for_display(parameters.error_description)})" if parameters.error_description else ""
    raise OidcLoginRefused(
        "refused",
        f"{provider.name} did not sign you in: {escape_for_display(parameters.error or '', 60)}{explanation}.",
    )


def _secret(resources: Resources, provider: SignInProvider) -> str | None:
    sealed = provider.client_secret
    if sealed is None:
        return None
    return resources.vault.open(sealed, tenant_id=provider.tenant_id, owner_id=provider.id)


async def _record_failure(
    resources: Resources, provider: SignInProvider, error: HeadraceError, client_info: ClientInfo
) -> None:
    """Record a failed sign-in. The user isn't known for sure, so the actor is anonymous."""
    reason = error.reason if isinstance(error, OidcLoginRefused) else error.code
    origin: dict[str, Any] = {"result": "denied", "address": client_info.address, "request_id": client_info.request_id}
    detail = {"how": "oidc", "provider": provider.name, "reason": reason}
    async with tenant_tx(resources.core.pool, provider.tenant_id) as db:
        await add_audit(db, provider.tenant_id, actor="anonymous", action="login.failed", detail=detail, **origin)
