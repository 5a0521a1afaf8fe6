"""Our signing keys: RS256, published at `/.well-known/jwks.json`, with the private keys encrypted in Postgres.

Every process knows a key before it signs, and accepts it as long as a token signed with it may be valid:

    rotate ── 10 min: published only ── signs until the next key does ── 24 h + 10 min after the next rotation: retired

Every process reads the keys again once a minute, so it learns of a rotation long before the new key signs. Tokens are issued
in `api/auth/tokens/access_tokens.py`.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from joserfc.jwk import RSAKey
from psycopg.rows import dict_row

from schema.errors import Unavailable
from schema.ids import new_id
from schema.postgres.connections import Db, Pool, tenant_tx
from schema.queries.identity.signing_keys import (
    SigningKey,
    add_signing_key,
    delete_retired_signing_keys,
    list_signing_keys,
    lock_signing_keys,
    retire_signing_keys,
)
from schema.vault import PLATFORM, Sealed, Vault

log = structlog.get_logger()

KEY_BITS = 2048
KEYS_TTL_S = 60.0
UNKNOWN_KEY_TTL_S = 1.0  # the same, if a token names an unknown key
PUBLISH_LEAD_TIME = timedelta(minutes=10)  # clients may cache our keys for 5 minutes
MAX_TOKEN_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class _Key:
    """A key in this process; `signs_at` and `ends_at` are times of its monotonic clock."""

    id: UUID
    public: RSAKey
    jwk: dict[str, Any]
    sealed: Sealed = field(repr=False)
    signs_at: float
    ends_at: float


@dataclass(frozen=True)
class Rotation:
    """Result of a rotation: the new key's id, when it starts to sign, and how many keys retire `retire_in` from now."""

    kid: UUID
    signs_in: timedelta
    retiring: int
    retire_in: timedelta


class SigningKeys:
    """The keys that are not retired, cached for a minute. While Postgres is unavailable the last known ones stay in use."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault
        self._keys: list[_Key] = []
        self._private: dict[UUID, RSAKey] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def current(self) -> RSAKey:
        """Return the private key that signs now, created if there is none. Raises Unavailable or SecretUnreadable."""
        await self._read(KEYS_TTL_S)
        if not self._live():
            await self._add_first()
        live = self._live()
        now = time.monotonic()
        # If none signs yet, the clocks of Postgres and this process disagree: take the one that will sign next.
        key = next((key for key in live if key.signs_at <= now), live[-1])
        if key.id not in self._private:
            self._private[key.id] = self._open(key)
        return self._private[key.id]

    async def find(self, kid: str) -> RSAKey | None:
        """Return the public key with this id; None if there is none. Unknown ids are looked up at most once a second."""
        await self._read(KEYS_TTL_S)
        if not any(kid == str(key.id) for key in self._keys):
            await self._read(UNKNOWN_KEY_TTL_S)
        return next((key.public for key in self._live() if kid == str(key.id)), None)

    async def public_jwks(self) -> dict[str, Any]:
        """Return the JWK set that verifies our tokens; it is never empty."""
        await self._read(KEYS_TTL_S)
        if not self._live():
            await self._add_first()
        return {"keys": [key.jwk for key in self._live()]}

    def _live(self) -> list[_Key]:
        now = time.monotonic()
        return [key for key in self._keys if now < key.ends_at]

    async def _read(self, max_age_s: float) -> None:
        if time.monotonic() - self._read_at < max_age_s:
            return
        async with self._lock:
            if time.monotonic() - self._read_at < max_age_s:
                return  # another task has read them meanwhile
            try:
                async with tenant_tx(self._pool, PLATFORM) as db:
                    self._set_keys(await list_signing_keys(db))
            except Unavailable:
                if not self._keys:
                    raise
                self._read_at = time.monotonic() - KEYS_TTL_S + UNKNOWN_KEY_TTL_S
                log.warning("signing_keys_not_read")

    def _set_keys(self, rows: list[SigningKey]) -> None:
        self._keys = [_key(row) for row in rows]
        self._read_at = time.monotonic()

    async def _add_first(self) -> None:
        """Create a key if there is none. If several processes try, one of them does."""
        async with self._lock:
            async with tenant_tx(self._pool, PLATFORM) as db:
                await lock_signing_keys(db)
                if not await list_signing_keys(db):
                    kid = await _add_new(db, self._vault, signs_in=timedelta(0))
                    log.info("signing_key_created", kid=str(kid))
                rows = await list_signing_keys(db)
            self._set_keys(rows)

    def _open(self, key: _Key) -> RSAKey:
        pem = self._vault.open(key.sealed, tenant_id=PLATFORM, owner_id=key.id)
        return RSAKey.import_key(pem, {"kid": str(key.id), "use": "sig", "alg": "RS256"})


async def rotate(db: Db, vault: Vault, *, immediately: bool = False) -> Rotation:
    """Add a key that will sign, and schedule the others to retire; `db` is a transaction of the tables' owner.

    `immediately` is for a leaked key: the new one signs and the others retire now, so everybody has to sign in again.
    """
    await lock_signing_keys(db)
    signs_in = timedelta(0) if immediately else PUBLISH_LEAD_TIME
    retire_in = timedelta(0) if immediately else PUBLISH_LEAD_TIME + MAX_TOKEN_LIFETIME
    kid = await _add_new(db, vault, signs_in=signs_in)
    retiring = await retire_signing_keys(db, but=kid, after=retire_in)
    await delete_retired_signing_keys(db)
    return Rotation(kid, signs_in, retiring, retire_in)


async def rotate_signing_key(database_url: str, vault: Vault, *, immediately: bool = False) -> Rotation:
    """Call `rotate` on a connection of its own; `database_url` is for the tables' owner."""
    options: dict[str, Any] = {"connect_timeout": 5, "application_name": "headrace rotate-keys"}
    # Commits when the block ends without an error.
    async with await Db.connect(database_url, row_factory=dict_row, **options) as db:
        return await rotate(db, vault, immediately=immediately)


async def _add_new(db: Db, vault: Vault, *, signs_in: timedelta) -> UUID:
    kid = new_id()
    key = await asyncio.to_thread(RSAKey.generate_key, KEY_BITS, {"kid": str(kid), "use": "sig", "alg": "RS256"})
    sealed = vault.seal(key.as_pem(private=True).decode(), tenant_id=PLATFORM, owner_id=kid)
    await add_signing_key(db, kid, dict(key.as_dict(private=False)), sealed, signs_in=signs_in)
    return kid


def _key(row: SigningKey) -> _Key:
    now = time.monotonic()
    return _Key(
        id=row.id,
        public=RSAKey.import_key(row.public),
        jwk=row.public,
        sealed=Sealed(row.key_id, row.sealed),
        signs_at=now - row.age_s,
        ends_at=float("inf") if row.left_s is None else now + row.left_s,
    )
