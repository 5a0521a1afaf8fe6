"""What callers of the guard use: a client of httpx2 that can reach only what the policy admits, and `fetch_json`."""

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
    """httpx2's client with our errors, also for what fails before a request reaches the transport or after it."""

    def build_request(self, method: str, url: httpx2.URL | str, **options: Any) -> httpx2.Request:
        """Raises EgressRefused for a URL that can't be read."""
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
            # The transport has its own errors; what is left is a redirect to somewhere that can't be read.
            raise EgressFailed(
                f"{request.url.raw_host.decode()} sends us on to an address that can't be read."
            ) from None


def open_client(
    policy: EgressPolicy,
    *,
    max_bytes: int | None = None,
    timeout_s: float | None = None,
    resolver: Resolver = resolve,
    ssl_context: ssl.SSLContext | None = None,
) -> httpx2.AsyncClient:
    """Return a client that the caller closes. It follows no redirects, keeps no cookies, reads no proxies or passwords
    from the environment; `max_bytes` and `timeout_s` replace the policy's."""
    policy = replace(
        policy,
        max_bytes=policy.max_bytes if max_bytes is None else max_bytes,
        timeout_s=policy.timeout_s if timeout_s is None else timeout_s,
    )
    return EgressClient(
        transport=EgressTransport(policy, resolver=resolver, ssl_context=ssl_context),
        timeout=httpx2.Timeout(policy.timeout_s, connect=policy.connect_timeout_s),
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": "headrace"},
    )


async def fetch_json(client: httpx2.AsyncClient, url: str) -> Any:
    """Return the JSON at `url`. Raises EgressFailed when the answer is not 2xx or not JSON, and the guard's errors."""
    response = await client.get(url, headers={"accept": "application/json"})
    host = response.url.raw_host.decode("ascii")
    if not response.is_success:
        raise EgressFailed(f"{host} answered with status {response.status_code}.")
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise EgressFailed(f"The answer of {host} is not JSON.") from None
