"""Calls to base URLs that tenants set: which URLs are allowed, and aiohttp sessions that pass the egress guard.

`tools/egress` guards httpx clients; model vendors are called through aiohttp, so here its checks are put into aiohttp's
resolver. Base URLs that the operator configured are not checked.
"""

import socket
from ipaddress import ip_address
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from graphs.providers.registry import open_session
from schema.errors import EgressRefused
from tools.egress import EgressPolicy, Resolver, parse_url
from tools.egress.addresses import as_address
from tools.egress.urls import is_disguised_address

MAX_URL_LENGTH = 500
DEFAULT_PORTS = {"http": 80, "https": 443}
EXAMPLE = "it must look like https://models.example.com/v1"


def parse_base_url(text: str, policy: EgressPolicy) -> str:
    """Return a base URL as it is stored and called, without a trailing slash. Raises EgressRefused.

    aiohttp doesn't resolve a host that is an IP address, so addresses are checked here; names are checked when a connection
    is made, or by `admit_name`.
    """
    if len(text) > MAX_URL_LENGTH:
        raise EgressRefused(f"The address is longer than {MAX_URL_LENGTH} characters; {EXAMPLE}.")
    url = parse_url(text)
    if "?" in text or "#" in text:
        raise EgressRefused(f"The address must have neither a query nor a fragment; {EXAMPLE}.")
    host, port = url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme]
    if is_disguised_address(host):
        raise EgressRefused(
            f"{host} is an unusual spelling of an IP address; write it as four decimal numbers with dots."
        )
    if (address := as_address(host)) is not None:
        policy.check(url.scheme, host, port, [address])
    path = url.raw_path.decode("ascii").rstrip("/")
    if "," in unquote(path):  # only an installation's own settings may name several servers
        raise EgressRefused(f"The address must be one, without a comma; {EXAMPLE}.")
    return _rebuild(url.scheme, host, port, path)


def _rebuild(scheme: str, host: str, port: int, path: str) -> str:
    """Rebuild the URL from the checked parts. aiohttp parses it with yarl, so both must mean the same address."""
    host_part = f"[{host}]" if ":" in host else host
    text = f"{scheme}://{host_part if port == DEFAULT_PORTS[scheme] else f'{host_part}:{port}'}{path}"
    parsed = URL(text)
    if (parsed.scheme, parsed.raw_host, parsed.port) != (scheme, host, port):
        raise EgressRefused(f"The address can't be read; {EXAMPLE}.")
    return text


async def admit_name(url: str, policy: EgressPolicy, resolver: Resolver) -> None:
    """Resolve the host of a parsed base URL; return if it may be called. Raises EgressRefused."""
    parts = URL(url)
    host, port = parts.raw_host or "", parts.port or DEFAULT_PORTS[parts.scheme]
    if as_address(host) is not None:
        return  # `parse_base_url` has checked it
    try:
        await GuardedResolver(policy, parts.scheme, resolver).resolve(host, port)
    except OSError:
        raise EgressRefused(f"{host} can't be resolved: DNS doesn't know it or doesn't answer.") from None


class GuardedResolver(AbstractResolver):
    """Returns a name's addresses only if the policy admits all of them. aiohttp connects to just those, so a name that
    resolves differently a moment later has no effect. One for each scheme, because aiohttp doesn't pass it on."""

    def __init__(self, policy: EgressPolicy, scheme: str, resolver: Resolver) -> None:
        self._policy, self._scheme, self._resolver = policy, scheme, resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises EgressRefused, and OSError when the name has no address."""
        try:
            addresses = [ip_address(text) for text in await self._resolver(host, port)]
        except UnicodeError:
            addresses = []
        if not addresses:
            raise OSError("the name has no address")
        self._policy.check(self._scheme, host, port, addresses)
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in dict.fromkeys(addresses)
        ]

    async def close(self) -> None:
        """Does nothing: there is nothing to release."""


def open_guarded_session(policy: EgressPolicy, scheme: str, resolver: Resolver) -> aiohttp.ClientSession:
    """Return a session for `scheme` only. It ignores proxy settings and .netrc (aiohttp's default) and keeps no cookies."""
    return open_session(GuardedResolver(policy, scheme, resolver), ca_file=policy.ca_file)
