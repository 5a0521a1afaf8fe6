"""Writes what was read into a tenant, in one transaction: all or none, and none twice."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import dict_row

from api.imports.conversations import Conversation
from api.imports.people import Person
from api.imports.reading import Found
from api.local.errors import LocalError
from api.tenants.configuration import PersonaIn
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.identity.users import add_user
from schema.queries.sessions.archives import ArchivedSession, restore_session
from schema.queries.sessions.imported import (
    ImportedMessage,
    ImportedSession,
    add_imported,
    confine,
    find_tenant,
    list_people,
)
from schema.queries.tenants.audit import add_audit
from schema.queries.tenants.tenant_settings import find_configuration, put_configuration

TITLE_LENGTH = 80
MAX_SHOWN = 10
IMPORTED, KNOWN, MESSAGES = "imported", "known", "messages"
PEOPLE, KNOWN_PEOPLE, PERSONA = "people", "known people", "persona"
ACTOR = "system"


async def import_all(
    database_url: str, slug: str, found: Found, left_out: Counter[str], *, email: str | None, check: bool
) -> Counter[str]:
    """Write what was found in one transaction, which `check` takes back. Returns how many sessions, messages and people were
    imported, how many were known, and whether there is another persona; what is left out is counted in `left_out`."""
    done = Counter[str]()
    async with await Db.connect(database_url, row_factory=dict_row, application_name="headrace import") as db:
        tenant = await find_tenant(db, slug)
        if tenant is None:
            raise LocalError(f"There is no active tenant {slug!r}.")
        await confine(db, tenant["id"])
        done += await _add_people(db, tenant["id"], found.people)
        for persona in found.personas:
            done[PERSONA] += await _set_persona(db, tenant["id"], persona)
        people = await list_people(db, tenant["id"])
        owners = owners_of(found.conversations, people, email)
        done += await _add_sessions(db, tenant["id"], sessions_of(found.conversations, owners, tenant, left_out))
        given_to = None if email is None else _person(people, email)
        done += await _restore(db, tenant["id"], found.archived, set(people.values()), given_to, left_out)
        if check:
            await db.rollback()
    return done


async def _add_people(db: Db, tenant_id: UUID, people: Sequence[Person]) -> Counter[str]:
    """Add those who aren't there; the others keep their names, roles and passwords."""
    done = Counter[str]()
    for each in people:
        values = {"email": each.email, "name": each.name, "role": each.role, "password_hash": each.password_hash}
        added = await add_user(db, tenant_id, new_id(), **values)
        done[PEOPLE if added else KNOWN_PEOPLE] += 1
        if added:
            detail = {"role": each.role, "how": "imported"}
            await add_audit(db, tenant_id, actor=ACTOR, action="user.created", target=f"user:{added.id}", detail=detail)
    return done


async def _set_persona(db: Db, tenant_id: UUID, persona: PersonaIn) -> bool:
    """Make this the persona of the tenant; return whether it was another one."""
    before = await find_configuration(db, tenant_id)
    settings, new = before.settings if before else {}, msgspec.to_builtins(persona)
    if settings.get("persona") == new:
        return False
    await put_configuration(db, tenant_id, {**settings, "persona": new}, updated_by=ACTOR)
    await add_audit(db, tenant_id, actor=ACTOR, action="configuration.changed", detail={"fields": ["persona"]})
    return True


async def _add_sessions(db: Db, tenant_id: UUID, sessions: Iterator[ImportedSession]) -> Counter[str]:
    done = Counter[str]()
    for session in sessions:
        if await add_imported(db, tenant_id, session):
            done.update({IMPORTED: 1, MESSAGES: len(session.messages)})
        else:
            done[KNOWN] += 1
    await _audit(db, tenant_id, "sessions.imported", done)
    return done


async def _restore(
    db: Db,
    tenant_id: UUID,
    archived: Sequence[ArchivedSession],
    people: Collection[UUID],
    given_to: UUID | None,
    left_out: Counter[str],
) -> Counter[str]:
    """Bring sessions back to those whose they were, or to one person; those of people who are no more stay away."""
    done = Counter[str]()
    for each in archived:
        if given_to is None and each.user_id is not None and each.user_id not in people:
            left_out["conversations of people who are not in this tenant any more"] += 1
        elif await restore_session(db, tenant_id, each, given_to or each.user_id):
            done.update({IMPORTED: 1, MESSAGES: len(each.messages)})
        else:
            done[KNOWN] += 1
    await _audit(db, tenant_id, "sessions.restored", done)
    return done


async def _audit(db: Db, tenant_id: UUID, action: str, done: Counter[str]) -> None:
    if done[IMPORTED]:
        detail = {name: number for name, number in done.items() if name != KNOWN}
        await add_audit(db, tenant_id, actor=ACTOR, action=action, detail=detail)


def owners_of(
    conversations: Sequence[Conversation], people: Mapping[str, UUID], email: str | None
) -> Mapping[str | None, UUID | None]:
    """Return whose the conversations of each name in the source are. Raises LocalError if somebody isn't in the tenant."""
    named = {each.user for each in conversations}
    if email is not None:
        return dict.fromkeys(named, _person(people, email))
    unknown = sorted(name for name in named if name is not None and name.lower() not in people)
    if unknown:
        shown = ", ".join(name[:60] for name in unknown[:MAX_SHOWN]) + (" …" if len(unknown) > MAX_SHOWN else "")
        one = len(unknown) == 1
        who, address = ("1 person is", "this address") if one else (f"{len(unknown):,} people are", "these addresses")
        raise LocalError(
            f"Nothing was imported, as {who} not in this tenant by {address}: {shown}. Add who is missing first, such as with "
            "a users.json, or give all conversations to one person with --user EMAIL."
        )
    return {name: None if name is None else people[name.lower()] for name in named}


def _person(people: Mapping[str, UUID], email: str) -> UUID:
    if email.lower() not in people:
        raise LocalError(f"Nobody in this tenant has the address {email}.")
    return people[email.lower()]


def sessions_of(
    conversations: Sequence[Conversation],
    owners: Mapping[str | None, UUID | None],
    tenant: Mapping[str, Any],
    left_out: Counter[str],
) -> Iterator[ImportedSession]:
    """Yield what is to be stored, and count in `left_out` what isn't."""
    now = datetime.now(UTC)
    days = tenant["retention_days"]
    for each in conversations:
        messages = list(placed(each, now))
        if not messages:
            left_out["conversations without a message"] += 1
        elif days is not None and messages[-1].at < now - timedelta(days=days):
            left_out[f"conversations older than the {days} days for which this tenant keeps any"] += 1
        else:
            title = " ".join((each.title or each.said[0].text).split())
            short = title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1]}…"
            yield ImportedSession(each.origin, each.first_at, short, owners[each.user], messages)


def placed(conversation: Conversation, now: datetime) -> Iterator[ImportedMessage]:
    """Yield the messages at their places: each of a person begins a turn. One without a time has that of the one before it,
    and a conversation without any is of now."""
    at = next((said.at for said in conversation.said if said.at), conversation.created_at) or now
    turn, ordinal = 0, 0
    for said in conversation.said:
        turn, ordinal = (turn + 1, 0) if said.role == "user" else (max(turn, 1), ordinal + 1)
        at = max(at, said.at or at)
        yield ImportedMessage(turn, ordinal, said.role, said.text, at)
