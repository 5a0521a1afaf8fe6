"""Reads endpoints from a provider's OpenID configuration, and checks that they are usable."""

from typing import Any

from schema.errors import EgressFailed
from tools.egress import parse_url


def read_endpoints(issuer: str, document: dict[str, Any], *names: str) -> list[str]:
    """Return the named endpoints of a configuration. Raises EgressFailed for one that is missing or can't be called; plain
    http is only for issuers that use it themselves."""
    host = parse_url(issuer).raw_host.decode("ascii")
    return [_read(issuer, host, document.get(name), name) for name in names]


def _read(issuer: str, host: str, url: Any, name: str) -> str:
    if not isinstance(url, str) or not url.isascii():
        raise EgressFailed(f"The OpenID configuration of {host} lacks {name}.")
    if parse_url(url).scheme != "https" and issuer.startswith("https:"):
        raise EgressFailed(f"The {name} in the OpenID configuration of {host} must be an https URL.")
    return url
