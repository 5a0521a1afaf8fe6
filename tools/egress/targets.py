"""Checks an address that will be called later, when it is stored: whoever made a mistake should learn it then."""

import asyncio

from schema.errors import EgressFailed
from tools.egress.addresses import as_address
from tools.egress.network import Resolver, ip_addresses, resolve
from tools.egress.policy import EgressPolicy
from tools.egress.urls import parse_url


async def check_target(policy: EgressPolicy, url: str, *, resolver: Resolver = resolve) -> None:
    """Return if the policy allows this URL as it resolves now; each call checks it again. Raises EgressRefused, and
    EgressFailed if the name can't be resolved."""
    parsed = parse_url(url)
    host = parsed.raw_host.decode("ascii")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    literal = as_address(host)
    if literal is not None:
        policy.check(parsed.scheme, host, port, [literal])
        return
    try:
        async with asyncio.timeout(policy.connect_timeout_s):
            addresses = await ip_addresses(host, port, resolver)
    except TimeoutError:
        raise EgressFailed(f"{host} can't be resolved in time; check the host name.") from None
    policy.check(parsed.scheme, host, port, addresses)
