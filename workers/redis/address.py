"""Where Redis is, read from a URL: one server, or the sentinels that know which of several is the master.

A URL of sentinels is spelled as LangChain, Prefect, `limits` and others spell it, since redis-py has none of its own:

    redis+sentinel://[user:password@]host[:port][,host[:port]…]/NAME[/db][?sentinel_username=…&sentinel_password=…]

User and password are those of Redis; `rediss+sentinel://` speaks TLS with Redis and with the sentinels. Not here: connecting
(`workers/redis/connection.py`), and asking sentinels (`workers/redis/sentinel.py`).
"""

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Command = tuple[Any, ...]

SERVER_SCHEMES = ("redis", "rediss", "unix")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379
URL_PARAMETERS = frozenset({"username", "password", "db"})
SENTINEL_PARAMETERS = frozenset({"sentinel_username", "sentinel_password"})
"""What may follow `?` in a URL; of sentinels both."""
EXAMPLE = "redis://127.0.0.1:6379/0"
SENTINEL_EXAMPLE = "redis+sentinel://host1:26379,host2:26379,host3:26379/mymaster"


@dataclass(frozen=True)
class Sentinels:
    """Who is asked for the master called `master_name`."""

    hosts: tuple[tuple[str, int], ...]
    master_name: str
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is, who we are there, and which of its databases is meant. With `sentinels`, these know host and port."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    sentinels: Sentinels | None = None

    @classmethod
    def from_url(cls, url: str) -> "RedisAddress":
        """Read a URL: of one server as redis-py does, which is 6 MB. Raises ValueError for any other, which may quote a
        password."""
        scheme = url.partition("://")[0]
        if scheme in SENTINEL_SCHEMES:
            return _sentinel_address(url)
        if scheme not in SERVER_SCHEMES:
            raise ValueError("A URL of Redis begins with redis://, rediss://, unix:// or redis+sentinel://.")
        parts = urlsplit(url)
        asked, local = dict(parse_qsl(parts.query)), scheme == "unix"
        named = "" if local else unquote(parts.path).replace("/", "")
        return cls(
            host=unquote(parts.hostname or "") or "localhost",
            port=parts.port or 6379,
            path=unquote(parts.path) if local else None,
            tls=scheme == "rediss",
            username=unquote(parts.username or "") or asked.get("username", ""),
            password=unquote(parts.password or "") or asked.get("password", ""),
            db=int(asked.get("db") or (named if named.isdecimal() else 0)),
        )

    @property
    def handshake(self) -> tuple[Command, ...]:
        """The commands that open a connection: authentication and database."""
        auth: tuple[Command, ...] = (("AUTH", self.username or "default", self.password),) if self.password else ()
        return (*auth, *((("SELECT", self.db),) if self.db else ()))

    def at(self, host: str, port: int) -> "RedisAddress":
        """Return the address of one server of those that the sentinels watch."""
        return replace(self, host=host, port=port, sentinels=None)

    def of_sentinels(self) -> "list[RedisAddress]":
        """Return the addresses of the sentinels themselves."""
        known = self.sentinels
        if known is None:
            return []
        as_whom = (known.username, known.password)
        return [RedisAddress(host, port, None, self.tls, *as_whom) for host, port in known.hosts]


def check_redis_url(name: str, url: str) -> str:
    """Return the URL that is the setting `name`. Raises ValueError, which says what is right and does not repeat what is
    wrong: it may hold a password."""
    try:
        RedisAddress.from_url(url)
    except ValueError:
        raise ValueError(
            f"{name} is no URL of a Redis. One looks like {EXAMPLE}, or like {SENTINEL_EXAMPLE} where these sentinels know the "
            "master by the name at the end."
        ) from None
    known = URL_PARAMETERS | (SENTINEL_PARAMETERS if url.partition("://")[0] in SENTINEL_SCHEMES else frozenset())
    unknown = {name for name, _ in parse_qsl(urlsplit(url).query)} - known
    if unknown:
        raise ValueError(f"{name} has a parameter {min(unknown)[:40]!r}. It may have {', '.join(sorted(known))}.")
    return url


def _sentinel_address(url: str) -> RedisAddress:
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    user, _, hosts = authority.rpartition("@")
    username, _, password = user.partition(":")
    master_name, _, db = unquote(path).strip("/").partition("/")
    asked = dict(parse_qsl(query))
    found = [urlsplit(f"//{host.strip()}") for host in hosts.split(",")]
    if not master_name or not all(host.hostname and not host.path for host in found):
        raise ValueError("A URL of sentinels has their hosts and the name of the master.")
    return RedisAddress(
        tls=scheme.startswith("rediss"),
        username=unquote(username) or asked.get("username", ""),
        password=unquote(password) or asked.get("password", ""),
        db=int(asked.get("db") or db or 0),
        sentinels=Sentinels(
            hosts=tuple((host.hostname or "", host.port or SENTINEL_PORT) for host in found),
            master_name=master_name,
            username=asked.get("sentinel_username", ""),
            password=asked.get("sentinel_password", ""),
        ),
    )
