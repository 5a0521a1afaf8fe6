"""Passwords: hashing with Argon2id and OWASP's parameters, and the rules for new passwords.

A hash takes 19 MiB and about 50 ms of a core, so at most two are computed at a time, in their own threads. Unknown users take
as long as known ones: their password is compared with a dummy hash.
Imported people have bcrypt's hashes until they first sign in, which takes longer: 0.3 s for a cost of 12. Who measures that
learns that such a person hasn't signed in yet.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.auth.password_strength import is_common
from schema.errors import InputError, Unavailable

T = TypeVar("T")

# OWASP Password Storage Cheat Sheet: the floor for Argon2id.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# The hash of a password that nobody knows.
DUMMY_HASH = "$argon2id$v=19$m=19456,t=2,p=1$5emnT9qu7Ih/a0LHH4BiXw$xevrnpzAqK4vHTfXZfMGAJCWuP1WqbzoWjzvzj+E95s"

BCRYPT_PREFIX = "$2"
BCRYPT_BYTES = 72  # of a password; those who made the hash ignored the rest, which bcrypt refuses today

MAX_CONCURRENT = 2
MAX_WAITING = 64  # further ones would wait longer than a client does, so they get 503
MIN_LENGTH, MAX_LENGTH = 10, 200


def hash_password(password: str) -> str:
    """Return the hash to store. Takes about 50 ms."""
    return HASHER.hash(password)


def verify_password(hashed: str | None, password: str) -> bool:
    """Whether a password matches `hashed`. None never matches, and takes as long as a real hash."""
    if hashed is not None and hashed.startswith(BCRYPT_PREFIX):
        return _matches_bcrypt(hashed, password)
    try:
        matches = HASHER.verify(hashed or DUMMY_HASH, password)
    except (VerificationError, InvalidHashError):
        return False
    return matches and hashed is not None


def _matches_bcrypt(hashed: str, password: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], hashed.encode())
    except ValueError:  # it is no such hash
        return False


def is_outdated(hashed: str) -> bool:
    """Whether a hash was made in another way, or with other parameters, than today's."""
    return hashed.startswith(BCRYPT_PREFIX) or HASHER.check_needs_rehash(hashed)


def check_password(password: str, *, email: str, field: str = "password") -> None:
    """Raise InputError that names `field` unless this is an acceptable password for `email`.

    Length is required, a mix of character classes isn't (NIST SP 800-63B).
    """
    lowered = password.strip().lower()
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InputError(f"{field} must be {MIN_LENGTH} to {MAX_LENGTH} characters long.", field=field)
    if lowered in (email, email.partition("@")[0]):
        raise InputError(f"{field} must not be the email address, or the part of it before the @.", field=field)
    if is_common(password, email=email):
        raise InputError(
            f"{field} is too common: it is among the first million that are guessed. Choose one that is harder to guess, such "
            "as four unrelated words.",
            field=field,
        )


class Passwords:
    """Hashes and verifies passwords in threads, `MAX_CONCURRENT` at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash to store. Raises Unavailable if too many are waiting."""
        return await self._run(hash_password, password)

    async def check(self, password: str, *, email: str, field: str = "password") -> None:
        """Raise InputError as `check_password` does, or Unavailable if too many are waiting."""
        await self._run(partial(check_password, email=email, field=field), password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether a password matches; `hashed` is None for an unknown user. Raises Unavailable if too many are waiting."""
        return await self._run(verify_password, hashed, password)

    async def _run(self, work: Callable[..., T], *values: str | None) -> T:
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many users are signing in right now. Try again shortly.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *values)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop the threads once they have finished what they are doing."""
        self._threads.shutdown(wait=False)
