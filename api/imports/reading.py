"""Which reader understands a document, and what all of them hold together."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from api.imports import archives, chatgpt, librechat, open_webui, people, persona, session_files
from api.imports.conversations import Conversation, Unknown
from api.imports.documents import UNREADABLE, Document, list_files, read_documents
from api.imports.people import Person
from api.local.errors import LocalError
from api.tenants.configuration import PersonaIn
from schema.queries.sessions.archives import ArchivedSession

MAX_SHOWN = 10


@dataclass
class Found:
    """What was read; `collections` are LibreChat's, whose conversations lie in several files, `archived` our own."""

    conversations: list[Conversation] = field(default_factory=list[Conversation])
    archived: list[ArchivedSession] = field(default_factory=list[ArchivedSession])
    people: list[Person] = field(default_factory=list[Person])
    personas: list[PersonaIn] = field(default_factory=list[PersonaIn])
    collections: librechat.Collections = field(default_factory=librechat.Collections)


def read_all(path: Path, left_out: Counter[str]) -> Found:
    """Return what a file holds, or all files in a folder and below; what is left out of them is counted. Raises LocalError that
    names every file which can't be read, or says that there is nothing."""
    found, problems = Found(), list[str]()
    for document in _wanted(list(_documents(path)), left_out):
        try:
            _read(document, found, left_out)
        except UNREADABLE as error:
            problems.append(f"  {document.place}: {_told(error)}")
    if not problems:
        addresses = {person.source_id: person.email for person in found.people if person.source_id}
        _join_collections(found, addresses, left_out, problems, path)
    if problems:
        more = [f"  and {len(problems) - MAX_SHOWN} more"] if len(problems) > MAX_SHOWN else []
        shown = "\n".join([*problems[:MAX_SHOWN], *more])
        files = "1 file holds" if len(problems) == 1 else f"{len(problems):,} files hold"
        raise LocalError(f"Nothing was imported, as {files} nothing that can be read:\n{shown}")
    found.conversations = list(_once(found.conversations, left_out))
    found.archived = list(_newest(found.archived, left_out))
    _require_something(found, path)
    return found


def _documents(path: Path) -> Iterator[Document]:
    for file in list_files(path):
        name = file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else file.stem
        yield from read_documents(file, name)


def _wanted(documents: list[Document], left_out: Counter[str]) -> Iterator[Document]:
    """Yield the documents without those that ChatGPT puts beside its conversations."""
    theirs = {each.folder for each in documents if chatgpt.is_export(each.content)}
    for each in documents:
        beside = each.folder in theirs and not chatgpt.is_export(each.content)
        if beside and (each.packed or PurePath(each.name).name in chatgpt.OTHER_FILES):
            left_out["other files of ChatGPT's export"] += 1
        else:
            yield each


def _read(document: Document, found: Found, left_out: Counter[str]) -> None:
    content: Any = document.content
    if isinstance(content, Exception):
        raise content
    if archives.is_archive(content):
        found.archived += archives.read(content)
    elif people.is_people(content):
        found.people += people.read(content, left_out)
    elif persona.is_persona(content):
        found.personas.append(persona.read(content, left_out))
    elif open_webui.is_export(content):
        found.conversations += open_webui.read(content, document.name, left_out)
    elif chatgpt.is_export(content):
        found.conversations += chatgpt.read(content, document.name, left_out)
    elif librechat.is_export(content):
        found.conversations += librechat.read(content, left_out)
    elif not found.collections.take(content):
        found.conversations += session_files.read(content, document.name, left_out)


def _join_collections(
    found: Found, addresses: dict[str, str], left_out: Counter[str], problems: list[str], path: Path
) -> None:
    try:
        found.conversations += found.collections.read(addresses, left_out)
    except Unknown as error:
        problems.append(f"  {path}: {error}")


def _once(found: Iterable[Conversation], left_out: Counter[str]) -> Iterator[Conversation]:
    """Leave out what stands in the files twice. Raises LocalError for two conversations that are known by the same."""
    seen = dict[tuple[Any, ...], Conversation]()
    for each in found:
        before = seen.setdefault(each.key, each)
        if before is each:
            yield each
        elif before == each:
            left_out["conversations that stand there twice"] += 1
        else:
            raise LocalError(
                f"Nothing was imported, as two different conversations have the id {each.id[:60]!r} and begin at the same "
                "moment. Give one another id."
            )


def _newest(found: list[ArchivedSession], left_out: Counter[str]) -> Iterator[ArchivedSession]:
    """Yield each session once: as it was archived last, where it came back in between and was archived again."""
    newest = {each.session_id: each for each in sorted(found, key=lambda one: one.updated_at)}
    left_out["conversations that stand there twice"] += len(found) - len(newest)
    yield from newest.values()


def _require_something(found: Found, path: Path) -> None:
    emails = Counter(person.email for person in found.people)
    if len(found.personas) > 1:
        raise LocalError("Nothing was imported, as there are several personas, and a tenant has one. Name one file.")
    if twice := [email for email, number in emails.items() if number > 1]:
        raise LocalError(f"Nothing was imported, as {twice[0]} stands in several files of people.")
    if not (found.conversations or found.archived or found.people or found.personas):
        raise LocalError(f"There is nothing to import in {path}.")


def _told(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError):
        return error.strerror or "it can't be read"
    return str(error) if isinstance(error, Unknown) else f"it is no JSON ({error})"
