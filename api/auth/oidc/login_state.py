"""The state of a pending sign-in at an identity provider, kept encrypted in a cookie until the browser comes back.

The cookie ties the sign-in to the browser that started it: a callback link of somebody else's sign-in comes without the
cookie, so nobody can be tricked into their account. It is sealed for one provider of one tenant. Each sign-in has its own
cookie, so several tabs can sign in at the same time.
"""

import hmac
import secrets
import time
from collections.abc import Iterable, Mapping

import msgspec
from litestar.datastructures import Cookie

from api.auth.login_throttle import short_hash
from schema.errors import SecretUnreadable
from schema.queries.identity.identity_providers import SignInProvider
from schema.vault import Sealed, Vault

LOGIN_STATE_TTL_S = 600
MAX_PENDING = 8  # in one browser; with more, the older ones are dropped before the request headers grow too large

COOKIE_PREFIX = "headrace-oidc-"
HOST_PREFIX = (
    "__Host-"  # browsers accept such a cookie only from this host, over https, and never from a sibling domain
)


class LoginState(msgspec.Struct, frozen=True):
    """What must match when the browser comes back. `ends_at` is in seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    return_to: str | None
    ends_at: float

    def __repr__(self) -> str:
        return f"LoginState(return_to={self.return_to!r})"


def new_login_state(return_to: str | None) -> LoginState:
    """Return a new state; each secret part has 256 random bits."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return LoginState(state, nonce, verifier, return_to, time.time() + LOGIN_STATE_TTL_S)


def login_state_cookie(login_state: LoginState, vault: Vault, provider: SignInProvider, *, secure: bool) -> Cookie:
    """Return the cookie that holds the state."""
    text = msgspec.json.encode(login_state).decode()
    sealed = vault.seal(text, tenant_id=provider.tenant_id, owner_id=provider.id)
    value = f"{sealed.key_id}.{sealed.sealed.decode().rstrip('=')}"
    return _cookie(_name(login_state.state, secure), value, LOGIN_STATE_TTL_S, secure)


def read_login_state(
    cookies: Mapping[str, str], state: str, vault: Vault, provider: SignInProvider, *, secure: bool
) -> LoginState | None:
    """Return the state that this browser started at this provider; None if there is none or it has expired."""
    key_id, _, sealed = cookies.get(_name(state, secure), "").partition(".")
    padded = (sealed + "=" * (-len(sealed) % 4)).encode()
    try:
        text = vault.open(Sealed(key_id, padded), tenant_id=provider.tenant_id, owner_id=provider.id)
    except SecretUnreadable:
        return None
    login_state = msgspec.json.decode(text, type=LoginState)
    valid = hmac.compare_digest(login_state.state.encode(), state.encode()) and login_state.ends_at > time.time()
    return login_state if valid else None


def expired_cookie(login_state: LoginState, *, secure: bool) -> Cookie:
    """Return the cookie that deletes a state from the browser."""
    return _cookie(_name(login_state.state, secure), "", 0, secure)


def excess_cookies(cookies: Iterable[str], *, secure: bool) -> list[Cookie]:
    """Return cookies that delete all pending states if there are too many; empty otherwise."""
    pending = [name for name in cookies if name.removeprefix(HOST_PREFIX).startswith(COOKIE_PREFIX)]
    return [_cookie(name, "", 0, secure) for name in pending] if len(pending) >= MAX_PENDING else []


def _name(state: str, secure: bool) -> str:
    return f"{HOST_PREFIX if secure else ''}{COOKIE_PREFIX}{short_hash(state)}"


def _cookie(name: str, value: str, max_age: int, secure: bool) -> Cookie:
    return Cookie(key=name, value=value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax")
