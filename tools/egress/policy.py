"""What may be reached: the public internet over https, plus what an admin has allowed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

import httpx2

from schema.errors import EgressRefused
from tools.egress.addresses import Address, Network, as_address, is_public, unmapped, within
from tools.egress.urls import is_disguised_address

SETTING = "HEADRACE_EGRESS_ALLOW"
EXPECTED = (
    "it must list hosts, host:port or networks, separated by commas, such as erp.internal, 10.1.2.3:8080, 10.1.0.0/16"
)
ENTRY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\\%*\[\]]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class EgressPolicy:
    """`allowed_hosts` (lower case: `erp.internal`, `erp.internal:8080`, `[::1]:9000`) and `allowed_networks` may be
    reached even if they are private, over plain http and at any port. Everything else must be public, at one of `ports` (and
    80 with `allow_http`). `max_bytes` limits a response after decompression, `timeout_s` a request from DNS lookup to the
    last byte of the response, `connect_timeout_s` the time to connect."""

    allowed_hosts: frozenset[str] = frozenset()
    allowed_networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({443, 8443})
    allow_http: bool = False
    max_bytes: int = 1024 * 1024
    timeout_s: float = 15.0
    connect_timeout_s: float = 5.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "EgressPolicy":
        """Read HEADRACE_EGRESS_ALLOW. Raises ValueError that names the setting, the invalid entry and what is expected."""
        entries = [_parse_entry(text.strip()) for text in env.get(SETTING, "").split(",") if text.strip()]
        return cls(
            allowed_hosts=frozenset(entry for entry in entries if isinstance(entry, str)),
            allowed_networks=tuple(entry for entry in entries if not isinstance(entry, str)),
        )

    def check(self, scheme: str, host: str, port: int, addresses: Sequence[Address]) -> None:
        """Return if `host`, with all of these addresses, may be called. Raises EgressRefused."""
        if self._allows_host(host, port) or all(self._allows_address(address) for address in addresses):
            return
        if scheme != "https" and not self.allow_http:
            raise refusal(host, "may be called only over https")
        if port not in self.ports and not (self.allow_http and port == 80):
            raise refusal(host, f"may not be called at port {port}; use port {_join_ports(self.ports)}")
        if is_disguised_address(host):
            raise refusal(host, "is an unusual spelling of an IP address; write it as four decimal numbers with dots")
        if not all(self._allows_address(address) or is_public(address) for address in addresses):
            raise refusal(host, "may not be called: it is not a public address, or resolves to one that isn't")

    def _allows_host(self, host: str, port: int) -> bool:
        name = host.lower().rstrip(".")
        shown = f"[{name}]" if ":" in name else name
        return not self.allowed_hosts.isdisjoint((shown, f"{shown}:{port}"))

    def _allows_address(self, address: Address) -> bool:
        return within(address, self.allowed_networks) or within(unmapped(address), self.allowed_networks)


def refusal(host: str, why: str) -> EgressRefused:
    """The error for a refused host, which tells an admin what to set."""
    return EgressRefused(f"{host} {why}. If this is intended, an admin can allow the host in {SETTING}.")


def _parse_entry(text: str) -> str | Network:
    """Parse one entry of the setting: a network, or a host with or without a port, as in URLs."""
    if "/" in text:
        try:
            return ip_network(text)
        except ValueError as error:
            raise _setting_error(text, f" ({error})" if "host bits" in str(error) else "") from None
    host = text if ":" in text and as_address(text) else ""  # IPv6 as written outside URLs
    port = ""
    if not host and (found := ENTRY.fullmatch(text)):
        host, port = _normalize_host(found[1]), (found[2] or "")[1:]
    if not host or "%" in host or (port and not 1 <= int(port) <= 65_535):
        raise _setting_error(text)
    if not port and (address := as_address(host)):
        return ip_network(address)
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def _normalize_host(host: str) -> str:
    """The host as in a parsed URL: lower case, international names as xn--; empty if invalid."""
    try:
        return httpx2.URL(f"//{host}").raw_host.decode("ascii").rstrip(".")
    except httpx2.InvalidURL:
        return ""


def _setting_error(text: str, why: str = "") -> ValueError:
    return ValueError(f"{SETTING} contains {text!r}{why}; {EXPECTED}.")


def _join_ports(ports: frozenset[int]) -> str:
    return " or ".join(str(port) for port in sorted(ports))
