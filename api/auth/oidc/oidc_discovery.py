"""What we believe of a provider's OpenID configuration: the addresses in it, once they are looked at."""

from typing import Any

from schema.errors import EgressFailed
from tools.egress import parse_url


def read_endpoints(issuer: str, document: dict[str, Any], *names: str) -> list[str]:
    """Return the addresses that a configuration names. Raises EgressFailed for one that is missing or can't be called; plain
    http is for issuers that are on it themselves."""
    host = parse_url(issuer).raw_host.decode("ascii")
    return [_read(issuer, host, document.get(name), name) for name in names]


def _read(issuer: str, host: str, said: Any, name: str) -> str:
    if not isinstance(said, str) or not said.isascii():
        raise EgressFailed(f"The OpenID configuration of {host} lacks {name}.")
    url = parse_url(said)
    if url.scheme != "https" and issuer.startswith("https:"):
        raise EgressFailed(f"The {name} in the OpenID configuration of {host} must be an https URL.")
    return said
