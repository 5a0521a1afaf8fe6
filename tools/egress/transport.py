"""The guard as an httpx2 transport: every client that uses it (`httpx2.AsyncClient`, Authlib's `AsyncOAuth2Client`) is guarded,
at each hop of a redirect too.
"""

import asyncio
import ssl

import httpcore2
import httpx2

from schema.errors import EgressFailed
from tools.egress.body import GuardedBody, translate_errors
from tools.egress.network import GuardedNetwork, Resolver, resolve
from tools.egress.policy import EgressPolicy
from tools.egress.trust import client_context
from tools.egress.urls import check_url

KEEP_ALIVE_S = 5.0
MAX_CONNECTIONS = 100
STRIPPED_HEADERS = (b"set-cookie", b"content-encoding", b"content-length")
"""Headers that don't match the decompressed body, and cookies, which must not be shared between callers."""


class EgressTransport(httpx2.AsyncBaseTransport):
    """Sends requests that the policy allows. Raises EgressRefused, EgressTooLarge or EgressFailed, never httpx2's own errors.
    Ignores system proxies; `ssl_context` is for tests and private certificate authorities."""

    def __init__(
        self, policy: EgressPolicy, *, resolver: Resolver = resolve, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        context = ssl_context or client_context(policy.ca_file)
        self._policy = policy
        self._pools = {
            scheme: httpcore2.AsyncConnectionPool(
                ssl_context=context,
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_S,
                network_backend=GuardedNetwork(policy, scheme, resolver),
            )
            for scheme in ("http", "https")
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        check_url(request.url)
        host = request.url.raw_host.decode("ascii")
        deadline = asyncio.get_running_loop().time() + self._policy.timeout_s
        with translate_errors(host):
            async with asyncio.timeout_at(deadline):
                response = await self._pools[request.url.scheme].handle_async_request(_wire_request(request))
        try:
            body = self._body(request, response, host, deadline)
        except BaseException:
            await response.aclose()
            raise
        headers = [(name, value) for name, value in response.headers if name.lower() not in STRIPPED_HEADERS]
        return httpx2.Response(response.status, headers=headers, stream=body, extensions=response.extensions)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    def _body(self, request: httpx2.Request, response: httpcore2.Response, host: str, deadline: float) -> GuardedBody:
        headers = httpx2.Headers(response.headers)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise EgressFailed(f"{host} sent an unsupported content encoding; only gzip is accepted.")
        length = headers.get("content-length", "")
        announced = int(length[:20]) if request.method != "HEAD" and length.isdigit() else 0
        compressed = encoding.endswith("gzip")
        return GuardedBody(
            *(response, host),
            compressed=compressed,
            announced=announced,
            max_bytes=self._policy.max_bytes,
            deadline=deadline,
        )


def _wire_request(request: httpx2.Request) -> httpcore2.Request:
    """Convert the request for httpcore2. Of the extensions only timeouts are passed on: `sni_hostname` and `target` could
    change what was checked."""
    assert isinstance(request.stream, httpx2.AsyncByteStream)
    request.headers["accept-encoding"] = "gzip"
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions={"timeout": request.extensions.get("timeout", {})},
    )
