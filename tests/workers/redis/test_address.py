"""URLs of Redis mean what they mean to redis-py."""

from typing import Any

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from workers.redis.connection import RedisAddress

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
    auth = [("AUTH", parts.get("username") or "default", parts["password"])] if parts.get("password") else []
    select = [("SELECT", parts["db"])] if parts.get("db") else []
    assert RedisAddress.from_url(url) == RedisAddress(
        host=parts.get("host", "localhost"),
        port=parts.get("port", 6379),
        path=parts.get("path") if kind is UnixDomainSocketConnection else None,
        tls=kind is SSLConnection,
        handshake=(*auth, *select),
    )


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://localhost:port", "redis://h?db=x"])
def test_what_is_no_address_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"Redis|Port|literal"):
        RedisAddress.from_url(url)
