"""The keys of foreign issuers over a real socket: how often they are asked for, how long they hold, which are taken."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from api.auth.tokens.jwks import MAX_KEYS, RemoteKeys
from schema.errors import EgressFailed, EgressRefused, EgressTooLarge
from tests.counterparts.http_server import CounterpartServer, Exchange
from tools.egress import EgressPolicy

MINUTE, HOUR = 60.0, 3600.0


class Issuer(CounterpartServer):
    """Answers every path with `document`, or with `status` when that is no 200; `gate` holds answers back."""

    def __init__(self) -> None:
        super().__init__()
        self.document: Any = {"keys": [public("one")]}
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, exchange: Exchange) -> None:
        await self.gate.wait()
        if isinstance(self.document, bytes):
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(self.document)}\r\n\r\n"
            exchange.write(head.encode() + self.document)
            exchange.finish()
        else:
            exchange.answer(self.status, self.document)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer() as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(issuer: Issuer, clock: Clock) -> AsyncIterator[RemoteKeys]:
    policy = EgressPolicy(allowed_hosts=frozenset({f"127.0.0.1:{issuer.port}"}))
    async with RemoteKeys(policy, clock=clock) as keys:
        yield keys


@cache
def private(name: str, bits: int) -> RSAKey:
    with pytest.warns() if bits < 2048 else pytest.MonkeyPatch.context():
        return RSAKey.generate_key(bits, {"kid": name})


def public(name: str, bits: int = 2048, **more: Any) -> dict[str, Any]:
    return {**private(name, bits).as_dict(private=False), **more}


async def kids(keys: RemoteKeys, issuer: Issuer) -> list[str | None]:
    return [key.kid for key in await keys.get(issuer.url)]


async def test_a_set_is_asked_for_once_in_ten_minutes(keys: RemoteKeys, issuer: Issuer, clock: Clock) -> None:
    for _ in range(3):
        assert ["one"] == await kids(keys, issuer)
    clock.now += 10 * MINUTE - 1
    await keys.get(issuer.url)
    assert 1 == len(issuer.requests)
    clock.now += 1
    issuer.document = {"keys": [public("two")]}
    assert ["two"] == await kids(keys, issuer)
    assert 2 == len(issuer.requests)


async def test_a_token_of_the_issuer_can_be_checked(keys: RemoteKeys, issuer: Issuer) -> None:
    token = jwt.encode({"alg": "RS256", "kid": "one"}, {"sub": "a"}, private("one", 2048))
    assert {"sub": "a"} == jwt.decode(token, await keys.get(issuer.url), algorithms=["RS256"]).claims


async def test_callers_at_the_same_time_share_one_fetch(keys: RemoteKeys, issuer: Issuer) -> None:
    issuer.gate.clear()
    authenticator = [asyncio.create_task(keys.get(issuer.url)) for _ in range(20)]
    refetching = [asyncio.create_task(keys.refetch(issuer.url)) for _ in range(20)]
    await issuer.until_begun()
    authenticator[0].cancel()
    issuer.gate.set()
    assert 39 == len([1 for done in await asyncio.gather(*authenticator[1:], *refetching) if done])
    assert authenticator[0].cancelled()
    assert 1 == len(issuer.requests)


async def test_an_unknown_key_is_asked_for_once_a_minute(keys: RemoteKeys, issuer: Issuer, clock: Clock) -> None:
    await keys.get(issuer.url)
    issuer.document = {"keys": [public("one"), public("two")]}
    assert {"one", "two"} == {key.kid for key in await keys.refetch(issuer.url)}
    for _ in range(59):
        clock.now += 1
        await keys.refetch(issuer.url)
    assert 2 == len(issuer.requests)
    clock.now += 1
    await keys.refetch(issuer.url)
    assert 3 == len(issuer.requests)


async def test_the_last_good_set_holds_for_a_day_while_the_issuer_is_away(
    keys: RemoteKeys, issuer: Issuer, clock: Clock
) -> None:
    await keys.get(issuer.url)
    issuer.status = 503
    clock.now += 24 * HOUR - 1
    assert ["one"] == await kids(keys, issuer)
    assert ["one"] == [key.kid for key in await keys.refetch(issuer.url)]
    clock.now += 1
    with pytest.raises(EgressFailed, match="responded with status 503"):
        await keys.get(issuer.url)
    issuer.status = 200
    clock.now += MINUTE
    assert ["one"] == await kids(keys, issuer)


async def test_an_issuer_that_is_away_is_asked_once_a_minute(keys: RemoteKeys, issuer: Issuer, clock: Clock) -> None:
    await keys.get(issuer.url)
    issuer.status = 503
    clock.now += HOUR
    for _ in range(10):
        await keys.get(issuer.url)
    assert 2 == len(issuer.requests)
    clock.now += MINUTE
    await keys.get(issuer.url)
    assert 3 == len(issuer.requests)


async def test_an_issuer_that_never_answered_is_asked_again_soon(
    keys: RemoteKeys, issuer: Issuer, clock: Clock
) -> None:
    issuer.status = 503
    for _ in range(10):
        with pytest.raises(EgressFailed):
            await keys.get(issuer.url)
    assert 1 == len(issuer.requests)
    issuer.status = 200
    clock.now += 5
    assert ["one"] == await kids(keys, issuer)


@pytest.mark.parametrize(
    "garbage",
    [b"<html>", b"", b"[" * 100_000, [], "keys", {"keys": None}, {"keys": {}}, {"error": "x"}, {"keys": [{}] * 101}],
    ids=repr,
)
async def test_garbage_is_a_failure_and_replaces_nothing(
    keys: RemoteKeys, issuer: Issuer, clock: Clock, garbage: Any
) -> None:
    good, issuer.document = issuer.document, garbage
    with pytest.raises(EgressFailed, match=r"127\.0\.0\.1"):
        await keys.get(issuer.url)
    issuer.document = good
    assert ["one"] == [key.kid for key in await keys.refetch(issuer.url)]
    issuer.document = garbage
    clock.now += HOUR
    assert ["one"] == await kids(keys, issuer)


async def test_a_set_that_is_too_large_is_a_failure(keys: RemoteKeys, issuer: Issuer) -> None:
    issuer.document = {"keys": [], "padding": "x" * 256 * 1024}
    with pytest.raises(EgressTooLarge):
        await keys.get(issuer.url)


async def test_an_issuer_without_keys_is_believed(keys: RemoteKeys, issuer: Issuer, clock: Clock) -> None:
    """It took its keys back; that is not the same as being away."""
    await keys.get(issuer.url)
    issuer.document = {"keys": []}
    clock.now += HOUR
    assert [] == await kids(keys, issuer)


WRONG = public("wrong")


@pytest.mark.parametrize(
    "key",
    [
        public("small", 1024),
        public("encrypting", use="enc"),
        public("listed", use=["sig"]),
        public("signing-only", key_ops=["sign"]),
        public("spelled", key_ops="verify"),
        ECKey.generate_key("P-256", {"kid": "ec"}).as_dict(private=False),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {**WRONG, "n": "!!!"},
        {**WRONG, "n": 5},
        {**WRONG, "n": "A" * 400},
        {**WRONG, "n": "_" * 3000},
        {**WRONG, "e": "AQ"},
        {**WRONG, "e": "_" * 400},
        {**WRONG, "kid": 7},
        {"kty": "RSA"},
        {},
        "key",
        None,
        [],
    ],
)
async def test_a_key_that_is_no_use_is_left_out(keys: RemoteKeys, issuer: Issuer, key: Any) -> None:
    issuer.document = {"keys": [key, public("one"), public("large", 3072, use="sig", alg="RS256")]}
    assert ["one", "large"] == await kids(keys, issuer)


async def test_private_parts_that_an_issuer_lets_slip_are_not_kept(keys: RemoteKeys, issuer: Issuer) -> None:
    issuer.document = {"keys": [private("one", 2048).as_dict(private=True)] * MAX_KEYS}
    assert {False} == {key.is_private for key in await keys.get(issuer.url)}


async def test_keys_come_over_https_unless_the_host_is_allowed(issuer: Issuer) -> None:
    async with RemoteKeys(EgressPolicy(allow_http=True)) as keys:
        with pytest.raises(EgressRefused, match="only over https"):
            await keys.get("http://1.1.1.1/keys")
        with pytest.raises(EgressRefused, match="HEADRACE_EGRESS_ALLOW"):
            await keys.get(issuer.url)
    assert [] == issuer.requests


@pytest.mark.parametrize("path", ["", "/", "/tenant", "/tenant/"])
async def test_an_issuer_is_discovered_once(keys: RemoteKeys, issuer: Issuer, clock: Clock, path: str) -> None:
    name = issuer.url + path
    issuer.document = {"issuer": name, "jwks_uri": f"{issuer.url}/keys"}
    for _ in range(3):
        assert f"{issuer.url}/keys" == (await keys.discover(name))["jwks_uri"]
    asked = [request.path for request in issuer.requests]
    assert [f"{path.rstrip('/')}/.well-known/openid-configuration"] == asked
    issuer.status = 500
    clock.now += HOUR
    assert name == (await keys.discover(name))["issuer"]


@pytest.mark.parametrize("named", ["https://other.example", "{url}/", None, ["{url}"]])
async def test_an_issuer_that_names_another_is_refused(keys: RemoteKeys, issuer: Issuer, named: Any) -> None:
    issuer.document = json.loads(json.dumps({"issuer": named}).replace("{url}", issuer.url))
    with pytest.raises(EgressFailed, match="has another issuer than the one registered"):
        await keys.discover(issuer.url)


async def test_closing_ends_a_fetch_that_is_under_way(issuer: Issuer) -> None:
    keys = RemoteKeys(EgressPolicy(allowed_hosts=frozenset({f"127.0.0.1:{issuer.port}"})))
    issuer.gate.clear()
    caller = asyncio.create_task(keys.get(issuer.url))
    await issuer.until_begun()
    await keys.aclose()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await issuer.until(lambda: not issuer.connections)
