"""Sessions by what was said in them. A page looks at so many sessions and turns, the last used first, so that a search costs
the same whatever is stored; whoever wants more asks for the next page.

No index of words or trigrams: under row-level security Postgres asks the policy of each row before an operator that might tell
of it, and none that searches a text is leakproof, so such an index would not be used (DECISIONS 137).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all
from schema.queries.pages import END, LAST_ID
from schema.queries.sessions.sessions import COLUMNS, Session

SCANNED = 200
"""Sessions that are looked at for one page."""

SCANNED_TURNS = 2000
"""Turns that are: sessions after these are the next page's. One session is looked at in any case."""

Place = tuple[datetime, UUID]
"""When a session was last used, and its id."""

SEARCH = f"""
WITH recent AS MATERIALIZED (
  SELECT {COLUMNS} FROM sessions
  WHERE tenant_id = %(tenant_id)s AND widget_id IS NULL {{owner}} AND (updated_at, id) < (%(moment)s, %(id)s)
  ORDER BY updated_at DESC, id DESC LIMIT %(scanned)s),
page AS MATERIALIZED (
  SELECT * FROM (SELECT *, sum(turns) OVER (ORDER BY updated_at DESC, id DESC) - turns AS before FROM recent) AS counted
  WHERE before < %(turns)s ORDER BY updated_at DESC, id DESC),
last AS (SELECT updated_at, id FROM page ORDER BY updated_at, id LIMIT 1)
SELECT {COLUMNS}, true AS found FROM (
  SELECT * FROM page p WHERE strpos(unaccent(lower(p.title)), unaccent(lower(%(search)s))) > 0 OR EXISTS (
    SELECT 1 FROM messages m CROSS JOIN jsonb_array_elements(m.parts) AS part
    WHERE m.tenant_id = %(tenant_id)s AND m.session_id = p.id AND part ->> 'type' = 'text'
      AND strpos(unaccent(lower(part ->> 'text')), unaccent(lower(%(search)s))) > 0)
  ORDER BY updated_at DESC, id DESC LIMIT %(limit)s) AS found
UNION ALL SELECT {COLUMNS}, false FROM page
WHERE (updated_at, id) = (SELECT updated_at, id FROM last)
  AND ((SELECT count(*) FROM recent) = %(scanned)s OR (SELECT count(*) FROM page) < (SELECT count(*) FROM recent))
"""


class FoundSession(Session, frozen=True, kw_only=True):
    """A session that was found; or, as the last row, the one after which the next page begins."""

    found: bool


class FoundSessions(msgspec.Struct, frozen=True):
    """Sessions in which a text was found, the last used first, and where the next page begins; None if there is none. A page of
    few sessions can have a next one."""

    sessions: list[FoundSession]
    next_before: Place | None


async def search_sessions(
    db: Db, tenant_id: UUID, search: str, *, limit: int, before: Place | None = None, user_id: UUID | None = None
) -> FoundSessions:
    """Return the sessions that have this text in their title or in a message, whatever its case and accents. `user_id` is to be
    that of the transaction, which sees no others' sessions."""
    moment, session_id = before or (END, LAST_ID)
    values: dict[str, Any] = {"tenant_id": tenant_id, "user_id": user_id, "moment": moment, "id": session_id}
    values |= {"search": search, "limit": limit + 1, "scanned": SCANNED, "turns": SCANNED_TURNS}
    sql = SEARCH.format(owner="AND user_id = %(user_id)s" if user_id else "")
    rows = await fetch_all(db, sql, values, into=FoundSession)
    found, last = [row for row in rows if row.found], [row for row in rows if not row.found]
    found.sort(key=_place, reverse=True)
    if len(found) > limit:
        return FoundSessions(found[:limit], _place(found[limit - 1]))
    return FoundSessions(found, _place(last[0]) if last else None)


def _place(session: Session) -> Place:
    return session.updated_at, session.id
