"""`import`: conversations of other programs, from their JSON files, as sessions of a tenant: all or none, and none twice."""

import argparse
import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from api.cli.plural import pluralize
from api.local.errors import LocalError
from api.local.imports.conversations import Conversation
from api.local.imports.reading import read_all
from api.local.stack import running_database_url
from api.local.stack_settings import settings_from
from schema.installation.settings_check import require_valid
from schema.postgres.connections import Db
from schema.queries.sessions.imported import (
    ImportedMessage,
    ImportedSession,
    add_imported,
    confine,
    find_tenant,
    list_people,
)
from schema.queries.tenants.audit import add_audit

TITLE_LENGTH = 80
MAX_SHOWN = 10
IMPORTED, KNOWN, MESSAGES = "imported", "known", "messages"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="a JSON file, or a folder with JSON files")
    parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant whose sessions they become")
    parser.add_argument("--user", metavar="EMAIL", help="whose they all are; by default, whose address each names")
    parser.add_argument("--check", action="store_true", help="change nothing, and say what would be imported")


def run(arguments: argparse.Namespace) -> int:
    require_valid(os.environ, settings_from)
    left_out = Counter[str]()
    conversations = read_all(arguments.path.absolute(), left_out)
    database_url = running_database_url(settings_from(os.environ))
    try:
        done = asyncio.run(
            import_all(
                database_url, arguments.tenant, conversations, left_out, email=arguments.user, check=arguments.check
            )
        )
    except psycopg.errors.UndefinedTable as error:
        raise LocalError("The database schema is out of date. Run ./headrace migrate first.") from error
    except psycopg.Error as error:
        raise LocalError(f"Nothing was imported. Postgres says: {str(error).strip()}") from error
    report(done, left_out, arguments.tenant, check=arguments.check)
    return 0


async def import_all(
    database_url: str,
    slug: str,
    conversations: Sequence[Conversation],
    left_out: Counter[str],
    *,
    email: str | None,
    check: bool,
) -> Counter[str]:
    """Write the conversations in one transaction, which `check` takes back. Returns how many sessions and messages were
    imported, and how many sessions were known; what is left out is counted in `left_out`."""
    done = Counter[str]()
    async with await Db.connect(database_url, row_factory=dict_row, application_name="headrace import") as db:
        tenant = await find_tenant(db, slug)
        if tenant is None:
            raise LocalError(f"There is no active tenant {slug!r}.")
        people = await list_people(db, tenant["id"])
        owners = owners_of(conversations, people, email)
        await confine(db, tenant["id"])
        for session in sessions_of(conversations, owners, tenant, left_out):
            if await add_imported(db, tenant["id"], session):
                done.update({IMPORTED: 1, MESSAGES: len(session.messages)})
            else:
                done[KNOWN] += 1
        if check:
            await db.rollback()
        elif done[IMPORTED]:
            await add_audit(db, tenant["id"], actor="system", action="sessions.imported", detail=dict(done))
    return done


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
        raise LocalError(
            f"Nothing was imported, as {len(unknown)} people are not in this tenant by these addresses: {shown}. Add them "
            "first, or give all conversations to one person with --user EMAIL."
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
            origin = f"{each.source}/{each.user or ''}/{each.id}"
            yield ImportedSession(origin, each.first_at, short, owners[each.user], messages)


def placed(conversation: Conversation, now: datetime) -> Iterator[ImportedMessage]:
    """Yield the messages at their places: each of a person begins a turn. One without a time has that of the one before it,
    and a conversation without any is of now."""
    at = next((said.at for said in conversation.said if said.at), conversation.created_at) or now
    turn, ordinal = 0, 0
    for said in conversation.said:
        turn, ordinal = (turn + 1, 0) if said.role == "user" else (max(turn, 1), ordinal + 1)
        at = max(at, said.at or at)
        yield ImportedMessage(turn, ordinal, said.role, said.text, at)


def report(done: Counter[str], left_out: Counter[str], slug: str, *, check: bool) -> None:
    """Say what was imported, or would be."""
    what = f"{pluralize(done[IMPORTED], 'conversation')} with {pluralize(done[MESSAGES], 'message')}"
    verb = "would be" if check else "was" if done[IMPORTED] == 1 else "were"
    print(f"{what} {verb} imported into {slug}.")
    if known := done[KNOWN]:
        verbs = ("is", "stays as it is") if known == 1 else ("are", "stay as they are")
        print(f"{pluralize(known, 'conversation')} {verbs[0]} there from an earlier import, and {verbs[1]}.")
    for name, number in sorted(left_out.items()):
        if number:
            print(f"  left out: {number:,} {name}")
