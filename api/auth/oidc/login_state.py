"""A sign-in at an identity provider that was begun: what the browser keeps of it, sealed, until it comes back.

The cookie ties the sign-in to the browser that began it: a link that somebody else began brings no cookie along, and so can't
sign anybody in as them. It is sealed for one provider of one tenant. Each sign-in has a cookie of its own, so that
several tabs may sign in at once.
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

LASTS_S = 600
MOST = 8  # begun and not finished in one browser; beyond it the others are forgotten, lest the headers grow too large

PREFIX = "headrace-oidc-"
HOST_PREFIX = "__Host-"  # browsers take such a cookie only from this very host over https, never from a sibling of it


class LoginState(msgspec.Struct, frozen=True):
    """What has to be the same when the browser comes back. `ends_at` is in seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    return_to: str | None
    ends_at: float

    def __repr__(self) -> str:
        return f"Begun(return_to={self.return_to!r})"


def new_login_state(return_to: str | None) -> LoginState:
    """Return a fresh sign-in; the parts that nobody may guess have 256 bits."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return LoginState(state, nonce, verifier, return_to, time.time() + LASTS_S)


def cookie_of(begun: LoginState, vault: Vault, provider: SignInProvider, *, secure: bool) -> Cookie:
    """Return the cookie that the browser keeps."""
    text = msgspec.json.encode(begun).decode()
    sealed = vault.seal(text, tenant_id=provider.tenant_id, owner_id=provider.id)
    value = f"{sealed.key_id}.{sealed.sealed.decode().rstrip('=')}"
    return _cookie(_name(begun.state, secure), value, LASTS_S, secure)


def read_login_state(
    cookies: Mapping[str, str], state: str, vault: Vault, provider: SignInProvider, *, secure: bool
) -> LoginState | None:
    """Return the sign-in that this browser began at this provider with this state; None if there is none, or no longer."""
    key_id, _, sealed = cookies.get(_name(state, secure), "").partition(".")
    padded = (sealed + "=" * (-len(sealed) % 4)).encode()
    try:
        text = vault.open(Sealed(key_id, padded), tenant_id=provider.tenant_id, owner_id=provider.id)
    except SecretUnreadable:
        return None
    begun = msgspec.json.decode(text, type=LoginState)
    good = hmac.compare_digest(begun.state.encode(), state.encode()) and begun.ends_at > time.time()
    return begun if good else None


def forget(begun: LoginState, *, secure: bool) -> Cookie:
    """Return the cookie that makes the browser forget a sign-in."""
    return _cookie(_name(begun.state, secure), "", 0, secure)


def forget_others(cookies: Iterable[str], *, secure: bool) -> list[Cookie]:
    """Return cookies that make the browser forget all that it has begun, if that is too much."""
    begun = [name for name in cookies if name.removeprefix(HOST_PREFIX).startswith(PREFIX)]
    return [_cookie(name, "", 0, secure) for name in begun] if len(begun) >= MOST else []


def _name(state: str, secure: bool) -> str:
    return f"{HOST_PREFIX if secure else ''}{PREFIX}{short_hash(state)}"


def _cookie(name: str, value: str, max_age: int, secure: bool) -> Cookie:
    return Cookie(key=name, value=value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax")
