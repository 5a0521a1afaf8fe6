"""Guessing passwords: how many guesses reach the hash, and who still gets in while others guess."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest

from api.auth.device_cookie import NAME
from api.auth.login_throttle import (
    MAX_ADDRESS_FAILURES,
    MAX_DEVICE_FAILURES,
    MAX_STRANGER_FAILURES,
    MAX_USER_FAILURES,
    client_network,
)
from schema.errors import Unavailable
from tests.api.people import log_in, make_user, some_email
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S

AT_ONCE = 120


pytestmark = pytest.mark.usefixtures("nobody_has_guessed")


@pytest.fixture
def hashed(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that reached the hash."""
    passwords, reached = api._transport.app.state.resources.passwords, []
    verify = passwords.verify

    async def count(stored: str | None, password: str) -> bool:
        reached.append(password)
        return await verify(stored, password)

    monkeypatch.setattr(passwords, "verify", count)
    return reached


@pytest.fixture
def ada(tenant: TestTenant, database_url: str) -> str:
    """The email of a user with a password."""
    email = some_email()
    make_user(database_url, tenant.id, email)
    return email


@asynccontextmanager
async def at(api: httpx.AsyncClient, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at this address, without any cookies."""
    transport = httpx.ASGITransport(app=api._transport.app, raise_app_exceptions=False, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=PATIENCE_S) as client:
        yield client


async def guess(api: httpx.AsyncClient, tenant: TestTenant, email: str, *, address: str) -> int:
    """Guess once; again while the machine is too busy to say anything (503)."""
    async with at(api, address) as browser:
        while True:
            status = (await log_in(browser, tenant, email, f"guess {uuid4().hex}")).status_code
            if status != 503:
                return status


async def lock_strangers_out(api: httpx.AsyncClient, tenant: TestTenant, email: str) -> None:
    for number in range(MAX_STRANGER_FAILURES):
        assert 401 == await guess(api, tenant, email, address=f"10.0.0.{number}")
    assert 429 == await guess(api, tenant, email, address="10.0.1.1")


async def test_of_guesses_at_once_at_many_users_exactly_the_addresss_limit_reaches_the_hash(
    api: httpx.AsyncClient, tenant: TestTenant, hashed: list[str]
) -> None:
    guesses = [guess(api, tenant, some_email(), address="10.0.0.1") for _ in range(AT_ONCE)]
    statuses = await asyncio.gather(*guesses)
    assert MAX_ADDRESS_FAILURES == len(hashed)
    assert {401, 429} >= set(statuses)


async def test_of_guesses_at_once_at_one_user_exactly_the_users_limit_reaches_the_hash(
    api: httpx.AsyncClient, tenant: TestTenant, hashed: list[str], ada: str
) -> None:
    statuses = await asyncio.gather(*(guess(api, tenant, ada, address="10.0.0.1") for _ in range(AT_ONCE)))
    assert MAX_USER_FAILURES == len(hashed)
    assert {401, 429} >= set(statuses)


async def test_of_guesses_at_once_from_everywhere_exactly_the_strangers_limit_reaches_the_hash(
    api: httpx.AsyncClient, tenant: TestTenant, hashed: list[str], ada: str
) -> None:
    guesses = [guess(api, tenant, ada, address=f"10.0.0.{number}") for number in range(AT_ONCE)]
    statuses = await asyncio.gather(*guesses)
    assert MAX_STRANGER_FAILURES == len(hashed)
    assert {401, 429} >= set(statuses)


async def test_strangers_lock_nobody_out_of_a_device_that_they_have_used(
    api: httpx.AsyncClient, tenant: TestTenant, ada: str
) -> None:
    async with at(api, "192.0.2.1") as laptop, at(api, "192.0.2.9") as other:
        assert 200 == (await log_in(laptop, tenant, ada)).status_code
        await lock_strangers_out(api, tenant, ada)
        other.cookies = laptop.cookies  # the laptop, elsewhere
        assert 200 == (await log_in(other, tenant, ada)).status_code


async def test_strangers_lock_nobody_out_of_an_address_that_they_have_used(
    api: httpx.AsyncClient, tenant: TestTenant, ada: str
) -> None:
    async with at(api, "192.0.2.1") as laptop, at(api, "192.0.2.1") as script, at(api, "192.0.2.9") as elsewhere:
        assert 200 == (await log_in(laptop, tenant, ada)).status_code
        await lock_strangers_out(api, tenant, ada)
        assert 200 == (await log_in(script, tenant, ada)).status_code
        refused = await log_in(elsewhere, tenant, ada)
    assert 429 == refused.status_code
    assert "from which you have signed in before" in refused.json()["detail"]


async def test_five_wrong_tries_of_a_stranger_are_nobody_elses(
    api: httpx.AsyncClient, tenant: TestTenant, ada: str
) -> None:
    for _ in range(MAX_USER_FAILURES + 1):
        status = await guess(api, tenant, ada, address="10.0.0.1")
    assert 429 == status
    async with at(api, "192.0.2.1") as laptop:
        assert 200 == (await log_in(laptop, tenant, ada)).status_code


async def test_a_device_has_its_own_tries_and_a_success_forgets_them(
    api: httpx.AsyncClient, tenant: TestTenant, ada: str
) -> None:
    async with at(api, "192.0.2.1") as laptop:
        await log_in(laptop, tenant, ada)
        for tries in (MAX_DEVICE_FAILURES - 1, MAX_DEVICE_FAILURES - 1, MAX_DEVICE_FAILURES):
            statuses = [(await log_in(laptop, tenant, ada, "not the password")).status_code for _ in range(tries)]
            assert [401] * tries == statuses
            last = (await log_in(laptop, tenant, ada)).status_code
    assert 429 == last


async def test_a_success_leaves_an_address_its_tries(api: httpx.AsyncClient, tenant: TestTenant, ada: str) -> None:
    for _ in range(MAX_ADDRESS_FAILURES + 1):
        async with at(api, "192.0.2.1") as browser:
            assert 200 == (await log_in(browser, tenant, ada)).status_code


async def test_the_cookie_of_a_device_is_sealed_for_its_user_and_out_of_reach_of_scripts(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str, ada: str
) -> None:
    async with at(api, "192.0.2.1") as laptop:
        (cookie,) = (await log_in(laptop, tenant, ada)).headers.get_list("set-cookie")
        again = (await log_in(laptop, tenant, ada)).headers["set-cookie"]
    name, _, value = cookie.partition(";")[0].partition("=")
    assert name.startswith(NAME)
    assert name == again.partition("=")[0]
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=15552000"):
        assert attribute.lower() in cookie.lower()
    assert ada not in cookie
    bob = some_email()
    make_user(database_url, tenant.id, bob)
    async with at(api, "192.0.2.2") as theirs:
        (own,) = (await log_in(theirs, tenant, bob)).headers.get_list("set-cookie")
    bobs_value = own.partition(";")[0].partition("=")[2]
    await lock_strangers_out(api, tenant, ada)
    for forged in ("", "x", value[:-2], bobs_value, "a.b", "ä.b", "x" * 5000):
        async with at(api, "192.0.2.7") as stranger:
            headers = {"Cookie": f"{name}={forged}".encode()}
            body = {"tenant": tenant.slug, "email": ada, "password": "seven mill wheels"}
            assert 429 == (await stranger.post("/api/auth/login", json=body, headers=headers)).status_code


async def test_a_guess_that_was_not_checked_does_not_count(
    api: httpx.AsyncClient, tenant: TestTenant, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> bool:
        raise Unavailable("Too many users are signing in right now. Try again shortly.")

    with monkeypatch.context() as patch:
        patch.setattr(api._transport.app.state.resources.passwords, "verify", refuse)
        async with at(api, "10.0.0.1") as browser:
            answers = [await log_in(browser, tenant, ada, "a guess") for _ in range(MAX_USER_FAILURES + 2)]
    assert {503} == {answer.status_code for answer in answers}
    assert 401 == await guess(api, tenant, ada, address="10.0.0.1")


def test_an_ipv6_customer_is_one_address() -> None:
    assert (
        client_network("2001:db8:1:2::1") == client_network("2001:db8:1:2:ffff::9") != client_network("2001:db8:1:3::1")
    )
    assert "192.0.2.1" == client_network("192.0.2.1") == client_network("::ffff:192.0.2.1")
    assert "testclient" == client_network("testclient")
