"""Passwords: Argon2id with OWASP's parameters, and which passwords are taken at all.

A hash costs 19 MiB and some 50 ms of a core, so two at a time are made, in threads of their own. A user who isn't there costs
the same as one who is: there is a hash of nobody's password to compare with.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from schema.errors import InputError, Unavailable

T = TypeVar("T")

# OWASP Password Storage Cheat Sheet: the floor for Argon2id.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# Of a password that nobody knows.
NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$5emnT9qu7Ih/a0LHH4BiXw$xevrnpzAqK4vHTfXZfMGAJCWuP1WqbzoWjzvzj+E95s"

AT_ONCE = 2
WAITING = 64  # more would wait for longer than a client does: they are told to come again
SHORTEST, LONGEST = 10, 200

# The first of the usual lists that are long enough to pass; a list of a million is for whoever wants to read one.
COMMON = frozenset(
    (
        *("0123456789", "1111111111", "1122334455", "1234512345", "1234567890", "12345678910", "123456789a"),
        *("123456789q", "0987654321", "0000000000", "1q2w3e4r5t", "1q2w3e4r5t6y", "1qaz2wsx3edc", "a123456789"),
        *("aa12345678", "abcd123456", "abcdefghij", "administrator", "asdfghjkl1", "asdfghjkl;", "baseball123"),
        *("changeme123", "football123", "iloveyou123", "letmein123", "password12", "password123", "password1234"),
        *("password12345", "passw0rd123", "p@ssw0rd123", "princess123", "q1w2e3r4t5", "q1w2e3r4t5y6", "qwerty1234"),
        *("qwerty12345", "qwerty123456", "qwertyuiop", "qwertyuiop123", "superman123", "welcome123", "welcome1234"),
        *("zaq12wsxcde", "headrace123", "matkhau123", "matkhau1234", "anhyeuem123", "correcthorsebatterystaple"),
    )
)


def hash_password(password: str) -> str:
    """Return the hash to store. Takes some 50 ms."""
    return HASHER.hash(password)


def verify_password(hashed: str | None, password: str) -> bool:
    """Whether a password is the one behind `hashed`. None costs as much as any other and is never right."""
    try:
        right = HASHER.verify(hashed or NOBODYS, password)
    except (VerificationError, InvalidHashError):
        return False
    return right and hashed is not None


def is_outdated(hashed: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(hashed)


def check_password(password: str, *, email: str, field: str = "password") -> None:
    """Raise InputError that names `field` and says what is wrong, unless this may be the password of `email`.

    Length counts, not signs of every kind (NIST SP 800-63B).
    """
    plain = password.strip().lower()
    if not SHORTEST <= len(password) <= LONGEST:
        raise InputError(f"{field} must be {SHORTEST} to {LONGEST} characters long.", field=field)
    if plain in (email, email.partition("@")[0]):
        raise InputError(f"{field} must not be the email address, or the part of it before the @.", field=field)
    if plain in COMMON or len(set(plain)) < 3:
        raise InputError(f"{field} is too common. Choose a password that is harder to guess.", field=field)


class Passwords:
    """Hashes and checks passwords in its threads, `AT_ONCE` at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash to store. Raises Unavailable when too many wait already."""
        return await self._run(hash_password, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether a password is right; None is a user who isn't there. Raises Unavailable when too many wait already."""
        return await self._run(verify_password, hashed, password)

    async def _run(self, work: Callable[..., T], *values: str | None) -> T:
        if self._waiting >= WAITING:
            raise Unavailable("Too many users are signing in right now. Try again shortly.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *values)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads; what they are at is finished."""
        self._threads.shutdown(wait=False)
