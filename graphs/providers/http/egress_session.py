"""The way to addresses that tenants gave: what such a base URL may be, and aiohttp sessions that pass the egress guard.

`tools/egress` guards clients of httpx; model vendors are called through aiohttp, so its checks are put into aiohttp's
resolver here. Addresses that the deployment configured come nowhere near this: they are the operator's own.
"""

import socket
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from graphs.providers.registry import open_session
from schema.errors import EgressRefused
from tools.egress import EgressPolicy, Resolver, parse_url
from tools.egress.addresses import as_address
from tools.egress.urls import is_oddly_spelled

MAX_LENGTH = 500
PORTS = {"http": 80, "https": 443}
RIGHT = "right is, say, https://models.example.com/v1"


def parse_base_url(text: str, policy: EgressPolicy) -> str:
    """Return a base URL as it is stored and called, without a slash at its end. Raises EgressRefused.

    aiohttp asks no resolver about a host that is an address, so addresses are admitted here; names are when they are
    connected to, or by `admit_name`.
    """
    if len(text) > MAX_LENGTH:
        raise EgressRefused(f"The address is longer than {MAX_LENGTH} characters; {RIGHT}.")
    url = parse_url(text)
    if "?" in text or "#" in text:
        raise EgressRefused(f"The address must have neither a query nor a fragment; {RIGHT}.")
    host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
    if is_oddly_spelled(host):
        raise EgressRefused(f"{host} is an odd spelling of an address; write it as four numbers with dots.")
    if (address := as_address(host)) is not None:
        policy.admit(url.scheme, host, port, [address])
    return _rebuilt(url.scheme, host, port, url.raw_path.decode("ascii").rstrip("/"))


def _rebuilt(scheme: str, host: str, port: int, path: str) -> str:
    """The URL from the parts that were checked. aiohttp reads it with yarl, so the two must mean the same place."""
    shown = f"[{host}]" if ":" in host else host
    text = f"{scheme}://{shown if port == PORTS[scheme] else f'{shown}:{port}'}{path}"
    again = URL(text)
    if (again.scheme, again.raw_host, again.port) != (scheme, host, port):
        raise EgressRefused(f"The address can't be read; {RIGHT}.")
    return text


async def admit_name(url: str, policy: EgressPolicy, resolver: Resolver) -> None:
    """Look the host of a parsed base URL up and return when a call may go there. Raises EgressRefused."""
    parts = URL(url)
    host, port = parts.raw_host or "", parts.port or PORTS[parts.scheme]
    if as_address(host) is not None:
        return  # `parse_base_url` has admitted it
    try:
        await GuardedResolver(policy, parts.scheme, resolver).resolve(host, port)
    except OSError:
        raise EgressRefused(f"{host} is not known to DNS, or DNS does not answer.") from None


class GuardedResolver(AbstractResolver):
    """Hands aiohttp only addresses that the policy admits, and none unless all are; it connects to just those, so a name
    that leads elsewhere a moment later finds nobody who asks again. One for each scheme: aiohttp does not say which."""

    def __init__(self, policy: EgressPolicy, scheme: str, resolver: Resolver) -> None:
        self._policy, self._scheme, self._resolver = policy, scheme, resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises EgressRefused, and OSError when the name has no address."""
        try:
            found = [ip_address(text) for text in await self._resolver(host, port)]
        except UnicodeError:
            found = []
        if not found:
            raise OSError("the name has no address")
        self._policy.admit(self._scheme, host, port, found)
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in dict.fromkeys(found)
        ]

    async def close(self) -> None:
        """There is nothing to release."""


def open_guarded_session(policy: EgressPolicy, scheme: str, resolver: Resolver) -> aiohttp.ClientSession:
    """A session for `scheme` only. It reads no proxies and no .netrc (aiohttp's default), and keeps no cookies."""
    return open_session(GuardedResolver(policy, scheme, resolver))
