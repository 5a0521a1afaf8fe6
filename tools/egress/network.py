"""Opens connections: resolves the host once, checks every address, and connects only to those.

httpcore2 calls `connect_tcp` with the host of the URL and keeps using that host for TLS and the Host header, so the certificate
is still verified against the name. DNS rebinding has no effect, since the name is never resolved a second time.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

import httpcore2

from schema.errors import EgressFailed
from tools.egress.addresses import Address, as_address
from tools.egress.policy import EgressPolicy

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, best first. Raises OSError when there are none."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's resolver, in a thread. Note that `getaddrinfo` also accepts 127.1 and the like, without DNS."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def ip_addresses(host: str, port: int, resolver: Resolver) -> list[Address]:
    """Return the addresses of a host name. Raises EgressFailed if there are none."""
    try:
        found = [ip_address(text) for text in await resolver(host, port)]
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise EgressFailed(f"{host} can't be resolved; check the host name.")
    return list(dict.fromkeys(found))


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections for one scheme. There is one instance for http and one for https, since httpcore2 does not pass the
    scheme."""

    def __init__(self, policy: EgressPolicy, scheme: str, resolver: Resolver) -> None:
        self._policy = policy
        self._scheme = scheme
        self._resolver = resolver
        # httpcore2's types know AnyIOBackend only as the stand-in for a missing anyio; httpx2 brings anyio.
        self._sockets: httpcore2.AsyncNetworkBackend = httpcore2.AnyIOBackend()  # pyright: ignore[reportAttributeAccessIssue]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises EgressRefused, EgressFailed if the name can't be resolved, and httpcore2's connection errors."""
        budget_s = min(self._policy.connect_timeout_s, self._policy.connect_timeout_s if timeout is None else timeout)
        deadline = asyncio.get_running_loop().time() + budget_s
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._resolve(host, port)
                self._policy.check(self._scheme, host, port, addresses)
                return await self._connect_first(addresses, port, deadline)
        except TimeoutError:
            raise httpcore2.ConnectTimeout() from None

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("unix sockets are not supported")

    async def _resolve(self, host: str, port: int) -> list[Address]:
        literal = as_address(host)
        return [literal] if literal is not None else await ip_addresses(host, port, self._resolver)

    async def _connect_first(
        self, addresses: list[Address], port: int, deadline: float
    ) -> httpcore2.AsyncNetworkStream:
        """Try one address after another; each gets an equal share of the remaining time."""
        clock = asyncio.get_running_loop().time
        for remaining, address in zip(range(len(addresses), 1, -1), addresses, strict=False):
            try:
                return await self._sockets.connect_tcp(str(address), port, (deadline - clock()) / remaining)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._sockets.connect_tcp(str(addresses[-1]), port, deadline - clock())
