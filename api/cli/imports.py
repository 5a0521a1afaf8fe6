"""`import`: what other programs stored becomes a tenant's: conversations, people, a persona; all or none, and none twice."""

import argparse
import asyncio
import os
from collections import Counter

import psycopg

from api.cli.arguments import path_here
from api.cli.plural import pluralize
from api.imports.reading import Found, read_all
from api.imports.writing import IMPORTED, KNOWN, KNOWN_PEOPLE, MESSAGES, PEOPLE, PERSONA, import_all
from api.local.errors import LocalError
from api.local.stack import running_database_url
from api.local.stack_settings import settings_from
from schema.installation.settings_check import require_valid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", type=path_here, metavar="PATH", help="a file of JSON, a zip, a webui.db, or a folder with such files"
    )
    parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant whose they become")
    parser.add_argument(
        "--user", metavar="EMAIL", help="whose all conversations are; by default, whose address each names"
    )
    parser.add_argument("--check", action="store_true", help="change nothing, and say what would be imported")


def run(arguments: argparse.Namespace) -> int:
    require_valid(os.environ, settings_from)
    left_out = Counter[str]()
    found = read_all(arguments.path, left_out)
    database_url = running_database_url(settings_from(os.environ))
    try:
        done = asyncio.run(
            import_all(database_url, arguments.tenant, found, left_out, email=arguments.user, check=arguments.check)
        )
    except psycopg.errors.UndefinedTable as error:
        raise LocalError("The database schema is out of date. Run ./headrace migrate first.") from error
    except psycopg.Error as error:
        raise LocalError(f"Nothing was imported. Postgres says: {str(error).strip()}") from error
    report(found, done, left_out, arguments.tenant, check=arguments.check)
    return 0 if done.total() or found.personas else 1


def report(found: Found, done: Counter[str], left_out: Counter[str], slug: str, *, check: bool) -> None:
    """Say what was imported, or would be."""
    if found.people:
        people = pluralize(done[PEOPLE], "person", "people")
        print(f"{people} {_verb(done[PEOPLE], check=check)} added to {slug}.{_known(done[KNOWN_PEOPLE])}")
    if found.personas:
        is_set = f"{'would be' if check else 'was'} set" if done[PERSONA] else "is set already"
        print(f"The persona of {slug} {is_set}.")
    if found.conversations or found.archived:
        what = f"{pluralize(done[IMPORTED], 'conversation')} with {pluralize(done[MESSAGES], 'message')}"
        print(f"{what} {_verb(done[IMPORTED], check=check)} imported into {slug}.")
    if known := done[KNOWN]:
        verbs = ("is", "stays as it is") if known == 1 else ("are", "stay as they are")
        print(f"{pluralize(known, 'conversation')} {verbs[0]} there from an earlier import, and {verbs[1]}.")
    for name, number in sorted(left_out.items()):
        if number:
            print(f"  left out: {name} ({number:,})")


def _known(number: int) -> str:
    return f" {number:,} more {'is' if number == 1 else 'are'} there already, and unchanged." if number else ""


def _verb(number: int, *, check: bool) -> str:
    return "would be" if check else "was" if number == 1 else "were"
