"""What callers of the guard use: an httpx2 client that can reach only what the policy allows, and `fetch_json`."""

import json
import ssl
from dataclasses import replace
from typing import Any

import httpx2

from schema.errors import EgressFailed
from tools.egress.network import Resolver, resolve
from tools.egress.policy import EgressPolicy
from tools.egress.transport import EgressTransport
from tools.egress.urls import check_characters, unreadable_url


class EgressClient(httpx2.AsyncClient):
    """httpx2's client with our errors, including for failures before and after the transport."""

    def build_request(self, method: str, url: httpx2.URL | str, **options: Any) -> httpx2.Request:
        """Raises EgressRefused for an invalid URL."""
        check_characters(str(url))
        try:
            return super().build_request(method, url, **options)
        except (httpx2.InvalidURL, UnicodeError):
            raise unreadable_url() from None

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Raises EgressRefused, EgressTooLarge and EgressFailed."""
        try:
            return await super().send(request, **options)
        except (httpx2.RequestError, httpx2.InvalidURL):
            # The transport raises our errors; what is left is a redirect to an invalid URL.
            raise EgressFailed(f"{request.url.raw_host.decode()} redirects to an invalid URL.") from None


def open_client(
    policy: EgressPolicy,
    *,
    max_bytes: int | None = None,
    timeout_s: float | None = None,
    resolver: Resolver = resolve,
    ssl_context: ssl.SSLContext | None = None,
) -> httpx2.AsyncClient:
    """Return a client, which the caller must close. It follows no redirects, keeps no cookies, and ignores proxies and
    passwords in the environment. `max_bytes` and `timeout_s` override the policy's."""
    policy = replace(
        policy,
        max_bytes=policy.max_bytes if max_bytes is None else max_bytes,
        timeout_s=policy.timeout_s if timeout_s is None else timeout_s,
    )
    transport = EgressTransport(policy, resolver=resolver, ssl_context=ssl_context)
    return client_over(transport, policy.timeout_s, connect_timeout_s=policy.connect_timeout_s)


def client_over(
    transport: EgressTransport, timeout_s: float, *, connect_timeout_s: float = EgressPolicy.connect_timeout_s
) -> httpx2.AsyncClient:
    """Return a client over a transport; as `open_client` otherwise. Closing the client closes the transport."""
    return EgressClient(
        transport=transport,
        timeout=httpx2.Timeout(timeout_s, connect=connect_timeout_s),
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": "headrace"},
    )


async def fetch_json(client: httpx2.AsyncClient, url: str) -> Any:
    """Return the JSON at `url`. Raises EgressFailed if the response is not 2xx or not JSON, and the guard's errors."""
    response = await client.get(url, headers={"accept": "application/json"})
    host = response.url.raw_host.decode("ascii")
    if not response.is_success:
        raise EgressFailed(f"{host} responded with status {response.status_code}.")
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise EgressFailed(f"The response from {host} is not JSON.") from None
