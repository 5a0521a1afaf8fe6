"""The cookie that marks a device on which a user has signed in, so that strangers' guesses don't lock the user out there
(`api/auth/login_throttle.py`). It signs nobody in.

It is encrypted for its user (`schema/vault.py`), so nobody can make one, and one of another user is none.
"""

import secrets
import time
from collections.abc import Mapping
from uuid import UUID

import msgspec
from litestar.datastructures import Cookie

from api.auth.login_throttle import short_hash
from schema.errors import SecretUnreadable
from schema.vault import Sealed, Vault

LIFETIME_S = 180 * 86400  # since the last sign-in
NAME = "headrace-device-"
HOST_PREFIX = "__Host-"  # browsers accept such a cookie only from this host, and only over https
MAX_LENGTH = 1000


class Device(msgspec.Struct, frozen=True):
    """What the cookie holds. `ends_at` is in seconds since 1970."""

    id: str
    ends_at: float


def new_device_cookie(vault: Vault, tenant_id: UUID, user_id: UUID, device: str | None, *, secure: bool) -> Cookie:
    """Return the cookie that marks this device as the user's; `device` is its id if it was one before."""
    held = Device(device or secrets.token_urlsafe(16), time.time() + LIFETIME_S)
    sealed = vault.seal(msgspec.json.encode(held).decode(), tenant_id=tenant_id, owner_id=user_id)
    return Cookie(
        key=_name(user_id, secure),
        value=f"{sealed.key_id}.{sealed.sealed.decode().rstrip('=')}",
        max_age=LIFETIME_S,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def read_device(
    cookies: Mapping[str, str], vault: Vault, tenant_id: UUID, user_id: UUID, *, secure: bool
) -> str | None:
    """Return the id of the device if this user has signed in on it, else None."""
    value = cookies.get(_name(user_id, secure), "")
    key_id, _, sealed = value.partition(".")
    if not sealed or len(value) > MAX_LENGTH or not value.isascii():
        return None
    padded = (sealed + "=" * (-len(sealed) % 4)).encode()
    try:
        device = msgspec.json.decode(
            vault.open(Sealed(key_id, padded), tenant_id=tenant_id, owner_id=user_id), type=Device
        )
    except (SecretUnreadable, msgspec.MsgspecError):
        return None
    return device.id if device.ends_at > time.time() else None


def _name(user_id: UUID, secure: bool) -> str:
    return f"{HOST_PREFIX if secure else ''}{NAME}{short_hash(str(user_id))}"
