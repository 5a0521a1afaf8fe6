"""Parses the settings of Ollama. `parse_host` is the official package's `_parse_host`."""

import ipaddress
import re
from urllib.parse import urlsplit

DEFAULT_PORT = 11434
KEEP_ALIVE = re.compile(r"-?(\d{1,9}|(\d{1,9}(\.\d{1,9})?(ms|s|m|h))+)", re.ASCII)


def parse_hosts(hosts: str) -> str:
    """Return the base URLs of one or several servers, each as `parse_host`, separated by commas. Raises ValueError."""
    named = [host for host in hosts.split(",") if host.strip()]
    return ",".join(dict.fromkeys(parse_host(host) for host in named or [""]))


def parse_keep_alive(text: str) -> str:
    """Return a time as Ollama takes it: seconds, or Go's units. Raises ValueError for anything else."""
    if not KEEP_ALIVE.fullmatch(text):
        raise ValueError("no time")
    return text


def parse_host(host: str) -> str:
    """Return the base URL that `OLLAMA_HOST` means, as the official client reads it.

    `""` is http://127.0.0.1:11434; a port without a host, a host without a port or a scheme, IPv6 in brackets and a path are
    all allowed; a scheme without a port means 80 or 443. `0.0.0.0`, a listen address, means this machine. Raises ValueError
    for an invalid port.
    """
    scheme, found, rest = host.strip().partition("://")
    if not found:
        scheme, rest = "http", scheme
    port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if found else DEFAULT_PORT
    parts = urlsplit(f"{scheme}://{rest}")
    name = parts.hostname or "127.0.0.1"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        if address.is_unspecified:
            name = "::1" if address.version == 6 else "127.0.0.1"
        name = f"[{name}]" if address.version == 6 else name
    path = parts.path.strip("/")
    return f"{scheme}://{name}:{parts.port or port}" + (f"/{path}" if path else "")
