"""Sign-ins of browsers by cookie, and the codes that sign one in once. Both are stored as SHA-256."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from schema.postgres.batch import ScopedStatement, run_each
from schema.postgres.connections import Db, Pool, fetch_one


class BrowserSession(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that is signed in, with a person's sign-in or an API key; `find` is the public half of that key."""

    tenant_id: UUID
    id: UUID
    digest: str
    login_id: UUID | None
    find: str | None

    def __repr__(self) -> str:
        return f"BrowserSession(id={self.id})"


class EndedSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser's session stood for: a sign-in or an API key."""

    login_id: UUID | None
    key_id: UUID | None


FIND = """
SELECT s.tenant_id, s.id, s.digest, s.login_id, k.find
FROM browser_sessions s LEFT JOIN api_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
WHERE s.tenant_id = %(tenant_id)s AND s.id = %(id)s AND s.expires_at > now()
"""

ADD = """
INSERT INTO browser_sessions (tenant_id, id, digest, login_id, key_id, expires_at)
VALUES (%(tenant_id)s, %(id)s, %(digest)s, %(login_id)s, %(key_id)s, now() + %(lasts)s)
"""

# A key has one code at a time, so that whoever asks for codes for ever leaves one row.
ADD_CODE = """
INSERT INTO sign_in_codes (tenant_id, key_id, digest, expires_at)
VALUES (%(tenant_id)s, %(key_id)s, %(digest)s, now() + %(lasts)s)
ON CONFLICT (tenant_id, key_id) DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at
RETURNING expires_at
"""

TAKE_CODE = """
DELETE FROM sign_in_codes WHERE tenant_id = %(tenant_id)s AND key_id = %(key_id)s AND digest = %(digest)s
RETURNING expires_at > now() AS is_live
"""

# Written at most once an hour, whoever looks how often; a sign-in goes on with its browser.
PROLONG = """
WITH prolonged AS (
  UPDATE browser_sessions SET expires_at = now() + %(lasts)s
  WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND expires_at > now() AND expires_at < now() + %(lasts)s - interval '1 hour'
  RETURNING expires_at, login_id),
login AS (
  UPDATE logins l SET expires_at = p.expires_at FROM prolonged p
  WHERE l.tenant_id = %(tenant_id)s AND l.id = p.login_id AND l.revoked_at IS NULL)
SELECT coalesce((SELECT expires_at FROM prolonged), s.expires_at) AS expires_at FROM browser_sessions s
WHERE s.tenant_id = %(tenant_id)s AND s.id = %(id)s AND s.expires_at > now()
"""


async def find_browser_sessions(
    pool: Pool, wanted: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], BrowserSession]:
    """Return browsers' sessions that are not over, by tenant and id, in one round trip."""
    statements: list[ScopedStatement] = [
        (tenant_id, None, (FIND, {"tenant_id": tenant_id, "id": session_id})) for tenant_id, session_id in wanted
    ]
    results = zip(wanted, await run_each(pool, statements), strict=True)
    rows = {key: result.first() for key, result in results}
    return {key: msgspec.convert(row, BrowserSession, strict=False) for key, row in rows.items() if row}


async def add_browser_session(
    db: Db,
    tenant_id: UUID,
    session_id: UUID,
    digest: str,
    *,
    lasts: timedelta,
    login_id: UUID | None = None,
    key_id: UUID | None = None,
) -> None:
    """Insert a browser's session, of a sign-in or of a key."""
    values = {"tenant_id": tenant_id, "id": session_id, "digest": digest, "lasts": lasts}
    await db.execute(ADD, {**values, "login_id": login_id, "key_id": key_id})


async def prolong_browser_session(db: Db, tenant_id: UUID, session_id: UUID, *, lasts: timedelta) -> datetime | None:
    """Let a browser stay signed in for `lasts` from now, to the hour, and return until when; None if it no longer is."""
    row = await fetch_one(db, PROLONG, {"tenant_id": tenant_id, "id": session_id, "lasts": lasts})
    return row["expires_at"] if row else None


async def delete_browser_session(db: Db, tenant_id: UUID, session_id: UUID, digest: str) -> EndedSession | None:
    """Delete a browser's session and return what it stood for; None if there is none with this cookie."""
    sql = """DELETE FROM browser_sessions WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND digest = %(digest)s
      RETURNING login_id, key_id"""
    values = {"tenant_id": tenant_id, "id": session_id, "digest": digest}
    return await fetch_one(db, sql, values, into=EndedSession)


async def set_sign_in_code(db: Db, tenant_id: UUID, key_id: UUID, digest: str, *, lasts: timedelta) -> datetime:
    """Give a key its code, in place of an older one, and return until when it is good."""
    row = await fetch_one(db, ADD_CODE, {"tenant_id": tenant_id, "key_id": key_id, "digest": digest, "lasts": lasts})
    assert row is not None
    return row["expires_at"]


async def take_sign_in_code(db: Db, tenant_id: UUID, key_id: UUID, digest: str) -> bool:
    """Use a code up; whether it was good."""
    row = await fetch_one(db, TAKE_CODE, {"tenant_id": tenant_id, "key_id": key_id, "digest": digest})
    return row is not None and row["is_live"]
