"""Passwords: how they are kept, and which are taken."""

import asyncio

import pytest
from argon2 import PasswordHasher

from api.auth.passwords import (
    DUMMY_HASH,
    MAX_CONCURRENT,
    MAX_WAITING,
    Passwords,
    check_password,
    hash_password,
    is_outdated,
    verify_password,
)
from schema.errors import InputError, Unavailable

PASSWORD = "seven mill wheels"
TOO_COMMON = (
    "password is too common: it is among the first million that are guessed. Choose one that is harder to guess, such as "
    "four unrelated words."
)


def test_a_hash_has_the_parameters_that_owasp_asks_for() -> None:
    assert hash_password(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_only_the_right_password_is_right() -> None:
    hashed = hash_password(PASSWORD)
    assert verify_password(hashed, PASSWORD)
    assert not verify_password(hashed, PASSWORD + " ")
    assert not verify_password("what is this", PASSWORD)


def test_nobodys_password_is_never_right_and_costs_as_much_as_anybodys() -> None:
    assert not is_outdated(DUMMY_HASH)
    assert not verify_password(None, "")
    assert not verify_password(None, PASSWORD)


def test_a_hash_of_other_parameters_still_verifies_and_is_outdated() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    assert verify_password(old, PASSWORD)
    assert is_outdated(old)
    assert not is_outdated(hash_password(PASSWORD))


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short one", "password must be 10 to 200 characters long."),
        ("x y" * 67, "password must be 10 to 200 characters long."),
        ("ADA.Lovelace@Example.com", "password must not be the email address, or the part of it before the @."),
        ("ada.lovelace", "password must not be the email address, or the part of it before the @."),
        *(
            (password, TOO_COMMON)
            for password in (
                *(
                    "Qwertyuiop",
                    "aaaaaaaaaaaa",
                    "          x",
                    "0123456789ab",
                    "Password123!",
                    "welcome2024",
                    "P@ssw0rd2025",
                ),
                *(
                    "iloveyou123",
                    "liverpool1",
                    "dragon1234",
                    "letmeinplease",
                    "headrace123",
                    "anhyeuem123",
                    "lovelace2024",
                ),
            )
        ),
    ],
)
def test_a_bad_password_is_refused_with_what_is_wrong(password: str, complaint: str) -> None:
    with pytest.raises(InputError) as refused:
        check_password(password, email="ada.lovelace@example.com")
    assert (complaint, "password") == (refused.value.message, refused.value.field)


@pytest.mark.parametrize("password", ["seven mill wheels", "seven mill wheels " * 11, "mật khẩu của tôi", "jfkd83kdsl"])
def test_a_long_password_needs_no_signs_of_every_kind(password: str) -> None:
    check_password(password, email="ada@example.com")


async def test_the_loop_goes_on_while_passwords_are_checked() -> None:
    passwords, turns = Passwords(), 0
    checks = asyncio.gather(*(passwords.verify(None, PASSWORD) for _ in range(6)))
    while not checks.done():
        await asyncio.sleep(0)
        turns += 1
    assert [False] * 6 == checks.result()
    assert turns > 100
    passwords.close()


async def test_more_than_a_client_waits_for_is_refused_at_once() -> None:
    passwords = Passwords()
    asked = [asyncio.ensure_future(passwords.verify(None, PASSWORD)) for _ in range(MAX_WAITING + 5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert 5 == sum(isinstance(answer, Unavailable) for answer in answers)
    assert MAX_CONCURRENT == 2
    passwords.close()
