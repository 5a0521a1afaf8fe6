"""The authorization code flow with PKCE (S256): requests to an identity provider, by Authlib, through the egress guard.

Authlib builds the URLs and the requests. It does not verify ID tokens: `api/auth/tokens/external_tokens.py` does, with joserfc.
"""

import asyncio
import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from api.auth.oidc.login_state import LoginState
from api.auth.oidc.oidc_discovery import read_endpoints
from api.auth.tokens.external_tokens import ExternalKeys
from schema.errors import EgressFailed, Unauthenticated
from schema.queries.identity.identity_providers import SignInProvider
from tools.egress import TenantEgress

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

SCOPE = "openid email profile"
MAX_BYTES = 64 * 1024
TIMEOUT_S = 10.0

SAFE_ERRORS = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "invalid_scope"),
        *("unauthorized_client", "unsupported_grant_type"),
    }
)
"""Error codes of RFC 6749 §5.2. Anything else that a token endpoint says is not repeated: it might quote our secret."""


@dataclass(frozen=True)
class TokensIn:
    """Tokens that a provider issued for a code."""

    id_token: str = field(repr=False)
    access_token: str | None = field(repr=False)


class CodeFlow:
    """Client for the identity providers of all tenants; each is called as its tenant may."""

    def __init__(self, egress: TenantEgress, keys: ExternalKeys) -> None:
        self._egress, self._issuer_keys = egress, keys

    async def authorization_url(self, provider: SignInProvider, login_state: LoginState, redirect_uri: str) -> str:
        """Return the URL to redirect the browser to. Raises EgressFailed."""
        document = await self._issuer_keys.discover(provider.issuer, provider.tenant_id)
        (url,) = read_endpoints(provider.issuer, document, "authorization_endpoint")
        client = await self._client(provider, redirect_uri)
        parameters = {"state": login_state.state, "nonce": login_state.nonce, "code_verifier": login_state.verifier}
        return client.create_authorization_url(url, **parameters)[0]

    async def is_response_from(self, provider: SignInProvider, issuer: str | None) -> bool:
        """Whether a response with this `iss` can be this provider's. A provider that supports RFC 9207 must send its issuer."""
        if issuer is not None:
            return issuer == provider.issuer
        document = await self._issuer_keys.discover(provider.issuer, provider.tenant_id)
        return document.get("authorization_response_iss_parameter_supported") is not True

    async def exchange(
        self, provider: SignInProvider, secret: str | None, login_state: LoginState, code: str, redirect_uri: str
    ) -> TokensIn:
        """Exchange a code for tokens. Raises Unauthenticated if the provider rejects the code, EgressFailed if it rejects our
        client or sends no usable response."""
        document = await self._issuer_keys.discover(provider.issuer, provider.tenant_id)
        (url,) = read_endpoints(provider.issuer, document, "token_endpoint")
        client = await self._client(provider, redirect_uri)
        auth = _client_auth(provider.client_id, secret, document)
        with _translate_errors(provider.name):
            token_response = await client.fetch_token(
                url, grant_type="authorization_code", code=code, code_verifier=login_state.verifier, auth=auth
            )
        id_token, access_token = token_response.get("id_token"), token_response.get("access_token")
        if not isinstance(id_token, str):
            raise EgressFailed(f"{provider.name} sent no ID token. Register this client there for OpenID Connect.")
        return TokensIn(id_token, access_token if isinstance(access_token, str) else None)

    async def add_user_info(
        self, provider: SignInProvider, claims: dict[str, Any], access_token: str | None
    ) -> dict[str, Any]:
        """Return the claims together with the provider's user info; some providers leave the email out of ID tokens. Raises
        EgressFailed, and Unauthenticated if the user info is about somebody else."""
        document = await self._issuer_keys.discover(provider.issuer, provider.tenant_id)
        if access_token is None or "userinfo_endpoint" not in document:
            return claims
        (url,) = read_endpoints(provider.issuer, document, "userinfo_endpoint")
        client = await self._client(provider, "")
        with _translate_errors(provider.name):
            headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
            response = await client.request("GET", url, withhold_token=True, headers=headers)
            user_info = response.raise_for_status().json()
        if not isinstance(user_info, dict) or user_info.get("sub") != claims["sub"]:
            raise Unauthenticated(
                f"The user info of {provider.name} is about a different person than the one who signed in."
            )
        return {**user_info, **claims}

    async def _client(self, provider: SignInProvider, redirect_uri: str) -> "AsyncOAuth2Client":
        """Return a client for one call. Don't close it: that would close the shared transport."""
        # Loading certificates and Authlib takes 150 ms: not at startup, and not on the event loop.
        await asyncio.to_thread(_load_authlib)
        # As with key sets, plain http is only for hosts that the tenant was granted.
        limits = {"allow_http": False, "max_bytes": MAX_BYTES, "timeout_s": TIMEOUT_S}
        transport = await self._egress.transport(provider.tenant_id, "sign_in", **limits)
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        return AsyncOAuth2Client(
            client_id=provider.client_id,
            scope=SCOPE,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=transport,
            timeout=httpx2.Timeout(TIMEOUT_S),
            trust_env=False,
            follow_redirects=False,
        )


def escape_for_display(text: str, max_length: int = 200) -> str:
    """Return a provider's text made safe to repeat: one short line without markup."""
    return html.escape("".join(char if char.isprintable() else " " for char in text[:max_length]))


def _load_authlib() -> None:
    import authlib.integrations.httpx_client  # noqa: F401 (so that the next import finds it)


def _client_auth(client_id: str, secret: str | None, document: dict[str, Any]) -> Any:
    """Return how to authenticate as the client: in the body if the provider supports it, since its encoding is unambiguous;
    otherwise in a header, encoded as RFC 6749 §2.3.1 says, which Authlib does not do. Public clients send only their id."""
    from authlib.integrations.httpx_client import OAuth2ClientAuth

    if secret is None:
        return OAuth2ClientAuth(client_id, None, "none")
    methods = document.get("token_endpoint_auth_methods_supported")
    if isinstance(methods, list) and "client_secret_post" in methods:
        return OAuth2ClientAuth(client_id, secret, "client_secret_post")
    return OAuth2ClientAuth(quote(client_id, safe=""), quote(secret, safe=""), "client_secret_basic")


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    """Translates errors of Authlib and httpx2 into ours, which repeat nothing of the request or the response."""
    from authlib.integrations.base_client import OAuthError

    try:
        yield
    except OAuthError as error:
        code = error.error if error.error in SAFE_ERRORS else "an error"
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
