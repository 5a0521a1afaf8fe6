"""What may be reached: the public internet over https, plus what the operator has allowed and a tenant was granted."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

import httpx2

from schema.errors import EgressRefused
from tools.egress.addresses import Address, Network, as_address, is_public, unmapped, within
from tools.egress.trust import ca_file_from
from tools.egress.urls import is_disguised_address

SETTING = "HEADRACE_EGRESS_ALLOW"
EXPECTED = (
    "it must list hosts, host:port or networks, separated by commas, such as erp.internal, 10.1.2.3:8080, 10.1.0.0/16"
)
ENTRY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\\%*\[\]]+)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class AllowList:
    """Hosts (lower case: `erp.internal`, `erp.internal:8080`, `[::1]:9000`) and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "AllowList":
        """Raises ValueError that names the invalid entry and what is expected."""
        entries = [parse_entry(text) for text in texts]
        return cls(
            frozenset(entry for entry in entries if isinstance(entry, str)),
            tuple(entry for entry in entries if not isinstance(entry, str)),
        )

    def allows(self, host: str, port: int, address: Address) -> bool:
        """Whether it lists the host, with or without the port, or a network with the address."""
        name = host.lower().rstrip(".")
        shown = f"[{name}]" if ":" in name else name
        if not self.hosts.isdisjoint((shown, f"{shown}:{port}")):
            return True
        return within(address, self.networks) or within(unmapped(address), self.networks)


@dataclass(frozen=True, kw_only=True)
class EgressPolicy:
    """`allowed_hosts` and `allowed_networks` (as in AllowList) may be reached even if they are private, over plain http and at
    any port, if they are also in `granted`: what a tenant was granted for this use; None for the operator's own calls.
    Everything else must be public, at one of `ports` (and 80 with `allow_http`). `max_bytes` limits a response after
    decompression, `timeout_s` a request from DNS lookup to the last byte of the response, `connect_timeout_s` the time to
    connect. `ca_file`: authorities that are trusted besides the usual ones."""

    allowed_hosts: frozenset[str] = frozenset()
    allowed_networks: tuple[Network, ...] = ()
    granted: AllowList | None = None
    ports: frozenset[int] = frozenset({443, 8443})
    allow_http: bool = False
    max_bytes: int = 1024 * 1024
    timeout_s: float = 15.0
    connect_timeout_s: float = 5.0
    ca_file: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "EgressPolicy":
        """Read HEADRACE_EGRESS_ALLOW and HEADRACE_CA_FILE. Raises ValueError that names the setting and what is expected."""
        try:
            listed = AllowList.parse(text.strip() for text in env.get(SETTING, "").split(",") if text.strip())
        except ValueError as error:
            raise ValueError(f"{SETTING} contains {error}") from None
        return cls(allowed_hosts=listed.hosts, allowed_networks=listed.networks, ca_file=ca_file_from(env))

    def for_tenant(self, granted: Iterable[str]) -> "EgressPolicy":
        """Return the policy for a tenant that was granted these entries: of what this policy allows, only they remain."""
        return replace(self, granted=AllowList.parse(granted))

    def may_open(self, entry: "str | Network") -> bool:
        """Whether the operator's setting opens anything of a grant's entry. Without a look into DNS, so that a name counts as
        possible where networks are listed."""
        if isinstance(entry, str):
            host, port = _split_port(entry)
            address = as_address(host)
            if address is not None:
                return AllowList(self.allowed_hosts, self.allowed_networks).allows(host, int(port or 0), address)
            return bool(self.allowed_networks) or any(
                _overlap((host, port), _split_port(one)) for one in self.allowed_hosts
            )
        within_entry = (as_address(_split_port(one)[0]) for one in self.allowed_hosts)
        if any(address is None or within(address, (entry,)) for address in within_entry):
            return True
        return any(entry.version == one.version and entry.overlaps(one) for one in self.allowed_networks)

    @property
    def may_allow_names(self) -> bool:
        """Whether a host name could be allowed because of the address that it turns out to have."""
        granted = self.granted
        if granted is None:
            return bool(self.allowed_networks)
        some = bool(self.allowed_hosts or self.allowed_networks) and bool(granted.hosts or granted.networks)
        return some and bool(self.allowed_networks or granted.networks)

    def check(self, scheme: str, host: str, port: int, addresses: Sequence[Address]) -> None:
        """Return if `host`, with all of these addresses, may be called. Raises EgressRefused."""
        admitted = [self._admits(host, port, address) for address in addresses]
        if all(admitted):
            return
        if is_disguised_address(host):
            raise refusal(host, "is an unusual spelling of an IP address; write it as four decimal numbers with dots")
        if not all(known or is_public(address) for known, address in zip(admitted, addresses, strict=True)):
            raise refusal(host, "may not be called: it is not a public address, or resolves to one that isn't")
        if scheme != "https" and not self.allow_http:
            raise refusal(host, "may be called only over https")
        if port not in self.ports and not (self.allow_http and port == 80):
            raise refusal(host, f"may not be called at port {port}; use port {_join_ports(self.ports)}")

    def _admits(self, host: str, port: int, address: Address) -> bool:
        outer = AllowList(self.allowed_hosts, self.allowed_networks)
        return outer.allows(host, port, address) and (self.granted is None or self.granted.allows(host, port, address))


def refusal(host: str, why: str) -> EgressRefused:
    """The error for a refused host, which says who can allow it."""
    return EgressRefused(
        f"{host} {why}. If this is intended, the operator of this installation can allow the host in {SETTING}, and a platform "
        "admin can grant it to your tenant."
    )


def parse_entry(text: str) -> str | Network:
    """Parse one entry of the setting or a grant: a network, or a host with or without a port, as in URLs."""
    if "/" in text:
        try:
            return ip_network(text)
        except ValueError as error:
            raise _entry_error(text, f" ({error})" if "host bits" in str(error) else "") from None
    host = text if ":" in text and as_address(text) else ""  # IPv6 as written outside URLs
    port = ""
    if not host and (found := ENTRY.fullmatch(text)):
        host, port = _normalize_host(found[1]), (found[2] or "")[1:]
    if not host or "%" in host or (port and not 1 <= int(port) <= 65_535):
        raise _entry_error(text)
    if not port and (address := as_address(host)):
        return ip_network(address)
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def _split_port(entry: str) -> tuple[str, str]:
    """Return host and port of an entry; the port is empty if any is meant."""
    found = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+)(?::(\d+))?", entry)
    assert found is not None, "entries are parsed"
    return found[1] or found[3], found[2] or found[4] or ""


def _overlap(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return one[0] == other[0] and (one[1] == other[1] or not one[1] or not other[1])


def _normalize_host(host: str) -> str:
    """The host as in a parsed URL: lower case, international names as xn--; empty if invalid."""
    try:
        return httpx2.URL(f"//{host}").raw_host.decode("ascii").rstrip(".")
    except httpx2.InvalidURL:
        return ""


def _entry_error(text: str, why: str = "") -> ValueError:
    return ValueError(f"{text!r}{why}; {EXPECTED}.")


def _join_ports(ports: frozenset[int]) -> str:
    return " or ".join(str(port) for port in sorted(ports))
