"""Checks of an identity provider before it is registered: name, issuer, key set and client. What they fetch goes through the
egress guard."""

import re
from ipaddress import ip_address
from uuid import UUID

from api.auth.oidc.oidc_discovery import read_endpoints
from api.auth.tokens.jwks import RemoteKeys
from api.settings import ApiSettings
from schema.errors import EgressFailed, EgressRefused, HeadraceError, InputError, SecretsRequired
from tools.egress import EgressPolicy, parse_url
from tools.egress.addresses import as_address
from tools.egress.network import resolve

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAX_SECRET = 1000

SECRET_ALONE = "client_secret requires a client_id."  # noqa: S105 (a sentence)


def check_name(name: str) -> None:
    """Raise InputError unless a provider may have this name in paths."""
    if not NAME.fullmatch(name):
        raise InputError(
            "name must be lowercase letters (a to z), digits and hyphens, such as okta or entra-id.", field="name"
        )


def check_client(client_id: str | None, secret: str | None) -> None:
    """Raise InputError for an impossible client id or secret (RFC 6749 appendix A). Never repeats the secret."""
    if secret is not None and client_id is None:
        raise InputError(SECRET_ALONE, field="client_secret")
    for field, text in (("client_id", client_id), ("client_secret", secret)):
        if text is not None and not (text.isascii() and text.isprintable()):
            raise InputError(f"{field} must be printable ASCII. Copy it from the provider again.", field=field)
    if secret is not None and not 0 < len(secret) <= MAX_SECRET:
        raise InputError(f"client_secret must be 1 to {MAX_SECRET:,} characters long.", field="client_secret")


def check_same_origin(before: str, now: str) -> None:
    """Raise SecretsRequired if the keys now come from another scheme, host or port: who moves a provider's addresses must know
    its secret."""
    if _origin(before) != _origin(now):
        raise SecretsRequired(
            "jwks_url now leads to another host, so the stored client_secret is not kept. Send client_secret again, or null "
            "for a public client.",
            field="client_secret",
        )


def _origin(url: str) -> tuple[str, str, int]:
    parsed = parse_url(url)
    return parsed.scheme, parsed.host.rstrip("."), parsed.port or (443 if parsed.scheme == "https" else 80)


async def check_issuer(settings: ApiSettings, policy: EgressPolicy, issuer: str) -> None:
    """Raise InputError or EgressRefused unless this can be the issuer of an external provider."""
    if issuer.rstrip("/") == settings.issuer:
        raise InputError("issuer must not be this server itself, whose tokens are accepted anyway.", field="issuer")
    try:
        await _require_https(policy, issuer)
    except EgressFailed as failure:
        raise _of_field(failure, "issuer") from None
    if "?" in issuer or "#" in issuer:
        raise InputError("issuer must have neither a query nor a fragment.", field="issuer")


async def check_keys(keys: RemoteKeys, tenant_id: UUID, issuer: str, jwks_url: str | None, *, signs_in: bool) -> None:
    """Fetch the keys at `jwks_url`, or at the one that the issuer's configuration names. If users sign in at the provider
    (`signs_in`), the configuration must also name the endpoints for that. Raises InputError."""
    field = "issuer" if jwks_url is None else "jwks_url"
    try:
        if jwks_url is None:
            document = await keys.discover(issuer, tenant_id)
            read_endpoints(issuer, document, *(("authorization_endpoint", "token_endpoint") if signs_in else ()))
            jwks_url = read_endpoints(issuer, document, "jwks_uri")[0]
        usable = await keys.get(jwks_url, tenant_id)
    except EgressFailed as failure:
        raise _of_field(failure, field) from None
    if not usable.keys:
        raise InputError(
            f"{field}: the key set contains no RSA signing key of at least 2048 bits, which RS256 requires.",
            field=field,
        )


def _of_field(failure: EgressFailed, field: str) -> HeadraceError:
    """Return the error of a field whose address could not be fetched, or may not be."""
    kind = EgressRefused if isinstance(failure, EgressRefused) else InputError
    return kind(f"{field}: {failure.message}", field=field)


async def _require_https(policy: EgressPolicy, issuer: str) -> None:
    """Raise EgressRefused for a plain http URL, unless its host is allowed."""
    url = parse_url(issuer)
    if url.scheme == "https":
        return
    host, port = url.raw_host.decode("ascii"), url.port or 80
    literal = as_address(host)
    try:
        found = [literal] if literal else [ip_address(text) for text in await resolve(host, port)]
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise EgressFailed(f"{host} could not be resolved: it is not in DNS, or DNS does not answer.")
    policy.check(url.scheme, host, port, found)
