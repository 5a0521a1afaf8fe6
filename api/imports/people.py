"""`users.json`: people by their addresses, with the hashes of their passwords, which stay theirs until they first sign in.

`{EMAIL: {"hashed_password" | "password_hash" | "password": "$2b$12$…", "name", "role"}}`, a list of such objects with `email`,
or either as `users`. LibreChat's collection `users` has this shape, too. Hashes are bcrypt's; a password in plain text is none.
Who has no hash can't sign in with a password until an owner gives them one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from api.auth.role_checks import EMAIL
from api.imports.conversations import Unknown, first
from api.imports.librechat import plain

HASH_NAMES = ("hashed_password", "password_hash", "password")
NAME_NAMES = ("name", "full_name", "username")
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("owner", "admin", "administrator"), "owner"),
    **dict.fromkeys(("member", "user"), "member"),
    **dict.fromkeys(("viewer", "guest", "readonly"), "viewer"),
}
MAX_NAME = 200
BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
COSTS = range(4, 16)  # above, one sign-in takes more than two seconds of a core


@dataclass(frozen=True)
class Person:
    """Somebody who may sign in; `source_id` is their id where they come from."""

    email: str
    name: str
    role: str
    password_hash: str | None
    source_id: str | None = None


def is_people(content: Any) -> bool:
    """Whether a file's content is such a list of people: all have an address, and one of them a hash."""
    entries = _entries(content)
    return bool(entries) and all(fields.get("email") for fields in entries) and any(map(_has_hash, entries))


def read(content: Any, left_out: Counter[str]) -> Iterator[Person]:
    """Yield the people of a file. Raises Unknown that names everybody who can't be taken, and never a hash."""
    people, problems = list[Person](), list[str]()
    for fields in _entries(content):
        email = str(fields["email"]).strip().lower()
        if problem := _problem(email, fields):
            problems.append(f"{email[:60]}: {problem}")
            continue
        role = ROLES[str(fields.get("role") or "member").lower()]
        name = str(first(fields, NAME_NAMES) or "")[:MAX_NAME]
        people.append(Person(email, name, role, _hash(fields), plain(fields.get("_id"))))
    twice = [email for email, number in Counter(person.email for person in people).items() if number > 1]
    problems += [f"{email}: it stands there twice" for email in twice]
    if problems:
        raise Unknown("; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else ""))
    left_out["people without a password"] += sum(person.password_hash is None for person in people)
    yield from people


def _entries(content: Any) -> list[dict[str, Any]]:
    """Return the people's fields, each with `email`; none if it is something else."""
    if isinstance(content, dict):
        fields = cast(dict[str, Any], content)
        if isinstance(fields.get("users"), list | dict):
            return _entries(fields["users"])
        if not all(isinstance(entry, dict) for entry in fields.values()):
            return []
        return [{"email": key if "@" in key else None, **entry} for key, entry in fields.items()]
    items = cast(list[Any], content) if isinstance(content, list) else []
    return items if all(isinstance(item, dict) for item in items) else []


def _has_hash(fields: dict[str, Any]) -> bool:
    return any(name in fields for name in HASH_NAMES)


def _hash(fields: dict[str, Any]) -> str | None:
    return cast(str | None, first(fields, HASH_NAMES))


def _problem(email: str, fields: dict[str, Any]) -> str:
    hashed = _hash(fields)
    if not EMAIL.fullmatch(email):
        return "it is no email address"
    if str(fields.get("role") or "member").lower() not in ROLES:
        return f"the role {str(fields['role'])[:20]!r} is unknown"
    if hashed is None:
        return ""
    match = BCRYPT.fullmatch(hashed) if isinstance(hashed, str) else None
    if match is None:
        return "what stands for the password is no hash of bcrypt"
    if int(match[1]) not in COSTS:
        return f"the hash has a cost of {match[1]}; {COSTS.start} to {COSTS.stop - 1} are taken"
    return ""
