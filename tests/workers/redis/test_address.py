"""URLs of Redis mean what they mean to redis-py, and those of sentinels what they mean to LangChain and others."""

from typing import Any

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from workers.redis.address import RedisAddress, Sentinels, check_redis_url

URLS = (
    "redis://localhost",
    "redis://localhost:6380/2",
    "redis://:s3cret@10.0.0.1:6379/0",
    "redis://me:p%40ss%2Fword@cache.example.com/15",
    "rediss://me@cache.example.com:6390/1?db=4",
    "redis://cache.example.com/1/",
    "redis://cache.example.com/name",
    "redis://[::1]:6379/3",
    "redis://host?password=abc&username=me",
    "redis://",
    "unix:///run/valkey/valkey.sock",
    "unix://:s3cret@/run/valkey%20a.sock?db=3",
)


@pytest.mark.parametrize("url", URLS)
def test_an_address_is_read_as_redis_py_reads_it(url: str) -> None:
    parts: dict[str, Any] = dict(parse_url(url))
    kind = parts.get("connection_class")
    assert RedisAddress.from_url(url) == RedisAddress(
        host=parts.get("host", "localhost"),
        port=parts.get("port", 6379),
        path=parts.get("path") if kind is UnixDomainSocketConnection else None,
        tls=kind is SSLConnection,
        username=parts.get("username", ""),
        password=parts.get("password", ""),
        db=parts.get("db", 0),
    )


def test_an_address_of_sentinels_has_their_hosts_and_the_name_of_the_master() -> None:
    url = "rediss+sentinel://me:p%40ss@one:1,two,[::1]:3/prime/4?sentinel_username=watch&sentinel_password=s%26cret"
    hosts = (("one", 1), ("two", 26379), ("::1", 3))
    sentinels = Sentinels(hosts, "prime", username="watch", password="s&cret")
    address = RedisAddress(tls=True, username="me", password="p@ss", db=4, sentinels=sentinels)
    assert address == RedisAddress.from_url(url)
    assert (("AUTH", "me", "p@ss"), ("SELECT", 4)) == address.at("there", 5).handshake
    assert [(("AUTH", "watch", "s&cret"),)] * 3 == [each.handshake for each in address.of_sentinels()]
    assert {"p@ss", "s&cret"}.isdisjoint(repr(address).split("'"))


def test_without_a_database_or_passwords_a_url_of_sentinels_is_short() -> None:
    address = RedisAddress.from_url("redis+sentinel://one/prime")
    assert RedisAddress(sentinels=Sentinels((("one", 26379),), "prime")) == address
    assert () == address.at("there", 5).handshake


WRONG = (
    *("http://localhost", "localhost:6379", "redis://localhost:port", "redis://h?db=x", "sentinel://one/prime"),
    *("redis+sentinel://one", "redis+sentinel:///prime", "redis+sentinel://one,/prime", "redis+sentinel://one:x/prime"),
    *("redis+sentinel://one/prime/x", "redis+sentinel://:s3cret@one:26379"),
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://:s3cret@a/0?socket_timeout=5", "socket_timeout"),
        ("redis+sentinel://:s3cret@a,b/prime?sentinel_pasword=s3cret", "sentinel_pasword"),
        ("redis://a/0?sentinel_password=s3cret", "sentinel_password"),
    ],
)
def test_a_parameter_that_nobody_reads_is_refused_by_its_name(url: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"has a parameter '{name}'. It may have .*password") as refused:
        check_redis_url("HEADRACE_REDIS_URL", url)
    assert "s3cret" not in str(refused.value)
    assert check_redis_url("HEADRACE_REDIS_URL", "redis+sentinel://a/prime?sentinel_password=b&db=2")


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_address_is_a_value_error_that_says_what_is_right(url: str) -> None:
    with pytest.raises(ValueError, match=r"is no URL of a Redis") as refused:
        check_redis_url("HEADRACE_REDIS_URL", url)
    assert "s3cret" not in str(refused.value)
