"""What is said to an identity provider: the authorization code flow with PKCE (S256), by Authlib, through the egress guard.

Authlib makes the addresses and the requests. What the answers are worth is settled elsewhere: ID tokens are read as other
foreign tokens are (`foreign.py`), by joserfc.
"""

import asyncio
import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from api.auth.oidc.login_state import LoginState
from api.auth.oidc.oidc_discovery import read_endpoints
from api.auth.tokens.external_tokens import ExternalKeys
from schema.errors import EgressFailed, Unauthenticated
from schema.queries.identity.identity_providers import SignInProvider
from tools.egress import EgressPolicy, EgressTransport

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

SCOPE = "openid email profile"
MAX_BYTES = 64 * 1024
TIMEOUT_S = 10.0

KNOWN_ERRORS = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "invalid_scope"),
        *("unauthorized_client", "unsupported_grant_type"),
    }
)
"""RFC 6749 §5.2. Other words of a token endpoint are not repeated: they may quote the secret that we sent."""


@dataclass(frozen=True)
class TokensIn:
    """What a provider gave for a code."""

    id_token: str = field(repr=False)
    access_token: str | None = field(repr=False)


class CodeFlow:
    """Talks to the identity providers of all tenants. Close it."""

    def __init__(self, policy: EgressPolicy, keys: ExternalKeys) -> None:
        timeout_s = min(TIMEOUT_S, policy.timeout_s)
        # As with key sets, plain http is for hosts that an admin allowed.
        self._policy = replace(policy, allow_http=False, max_bytes=MAX_BYTES, timeout_s=timeout_s)
        self._keys = keys
        self._transport: EgressTransport | None = None

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    async def authorization_url(self, provider: SignInProvider, begun: LoginState, redirect_uri: str) -> str:
        """Return where the browser goes to sign in. Raises EgressFailed."""
        document = await self._keys.discover(provider.issuer)
        (url,) = read_endpoints(provider.issuer, document, "authorization_endpoint")
        client = await self._client(provider, redirect_uri)
        asked = {"state": begun.state, "nonce": begun.nonce, "code_verifier": begun.verifier}
        return client.create_authorization_url(url, **asked)[0]

    async def is_from(self, provider: SignInProvider, issuer: str | None) -> bool:
        """Whether an answer that names `issuer` can be this provider's; one that says it names itself must (RFC 9207)."""
        if issuer is not None:
            return issuer == provider.issuer
        document = await self._keys.discover(provider.issuer)
        return document.get("authorization_response_iss_parameter_supported") is not True

    async def exchange(
        self, provider: SignInProvider, secret: str | None, begun: LoginState, code: str, redirect_uri: str
    ) -> TokensIn:
        """Return the tokens for a code. Raises Unauthenticated if the provider does not take the code, EgressFailed if it
        does not take us, or does not answer in a way that can be used."""
        document = await self._keys.discover(provider.issuer)
        (url,) = read_endpoints(provider.issuer, document, "token_endpoint")
        client = await self._client(provider, redirect_uri)
        auth = _client_auth(provider.client_id, secret, document)
        with _failures(provider.name):
            said = await client.fetch_token(
                url, grant_type="authorization_code", code=code, code_verifier=begun.verifier, auth=auth
            )
        id_token, access_token = said.get("id_token"), said.get("access_token")
        if not isinstance(id_token, str):
            raise EgressFailed(f"{provider.name} sent no ID token. Register this client there for OpenID Connect.")
        return TokensIn(id_token, access_token if isinstance(access_token, str) else None)

    async def ask_about(
        self, provider: SignInProvider, claims: dict[str, Any], access_token: str | None
    ) -> dict[str, Any]:
        """Return the claims with what the provider tells about the person besides; some leave the email out of ID tokens.
        Raises EgressFailed, and Unauthenticated if it tells about somebody else."""
        document = await self._keys.discover(provider.issuer)
        if access_token is None or "userinfo_endpoint" not in document:
            return claims
        (url,) = read_endpoints(provider.issuer, document, "userinfo_endpoint")
        client = await self._client(provider, "")
        with _failures(provider.name):
            headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
            answer = await client.request("GET", url, withhold_token=True, headers=headers)
            told = answer.raise_for_status().json()
        if not isinstance(told, dict) or told.get("sub") != claims["sub"]:
            raise Unauthenticated(
                f"The user info of {provider.name} is about a different person than the one who signed in."
            )
        return {**told, **claims}

    async def _client(self, provider: SignInProvider, redirect_uri: str) -> "AsyncOAuth2Client":
        """A client for one call. It is not closed, since it would close the transport that all share."""
        if self._transport is None:
            # Certificates and Authlib take a seventh of a second to load: not at the start, and not on the loop.
            transport = await asyncio.to_thread(_load, self._policy)
            self._transport = self._transport or transport
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        return AsyncOAuth2Client(
            client_id=provider.client_id,
            scope=SCOPE,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=self._transport,
            timeout=httpx2.Timeout(self._policy.timeout_s, connect=self._policy.connect_timeout_s),
            trust_env=False,
            follow_redirects=False,
        )


def shown(text: str, most: int = 200) -> str:
    """Return what a provider said as it may stand in an answer: one line, short, and no markup wherever it is shown."""
    return html.escape("".join(char if char.isprintable() else " " for char in text[:most]))


def _load(policy: EgressPolicy) -> EgressTransport:
    import authlib.integrations.httpx_client  # noqa: F401 (so that the next import finds it)

    return EgressTransport(policy)


def _client_auth(client_id: str, secret: str | None, document: dict[str, Any]) -> Any:
    """How we prove to be the client. In the body if the provider takes that, where no two readings of a character exist;
    in a header as RFC 6749 §2.3.1 encodes it otherwise, which Authlib leaves out; public clients only say who they are."""
    from authlib.integrations.httpx_client import OAuth2ClientAuth

    if secret is None:
        return OAuth2ClientAuth(client_id, None, "none")
    methods = document.get("token_endpoint_auth_methods_supported")
    if isinstance(methods, list) and "client_secret_post" in methods:
        return OAuth2ClientAuth(client_id, secret, "client_secret_post")
    return OAuth2ClientAuth(quote(client_id, safe=""), quote(secret, safe=""), "client_secret_basic")


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """Turns what Authlib and httpx2 raise into our errors, which repeat nothing of what was sent or answered."""
    from authlib.integrations.base_client import OAuthError

    try:
        yield
    except OAuthError as error:
        code = error.error if error.error in KNOWN_ERRORS else "an error"
        if code == "invalid_grant":
            raise Unauthenticated(
                f"{name} refused the authorization code of this sign-in, or it has expired. Start again."
            ) from None
        raise EgressFailed(
            f"{name} issued no tokens: {code}. The tenant's owner should check the client settings."
        ) from None
    except httpx2.HTTPStatusError as error:
        raise EgressFailed(f"{name} responded with status {error.response.status_code}.") from None
    except (httpx2.HTTPError, ValueError, TypeError, RecursionError):
        raise EgressFailed(f"{name} sent no response that can be used.") from None
