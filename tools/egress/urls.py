"""Which spellings of a URL are refused before anything is looked up. Only httpx2 parses: two parsers that read one text
in two ways are how `http://127.0.0.1:6666\\@1.1.1.1` gets past checks elsewhere (CVE-2026-46526).
"""

import re

import httpx2

from schema.errors import EgressRefused
from tools.egress.addresses import as_address

HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
"""Names of hosts as they reach the wire: lower case, international ones as xn--."""

NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last label of 127.1, 0177.0.0.1, 2130706433 and 0x7f000001; no name that people register ends in one."""


def parse_url(url: str) -> httpx2.URL:
    """Return the parsed URL, for who takes an address from somebody before anything is sent there (webhooks, issuers).
    Raises EgressRefused. Whether it may be reached is known only when it is: names change their addresses."""
    check_characters(url)
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        raise unreadable_url() from None
    check_url(parsed)
    return parsed


def unreadable_url() -> EgressRefused:
    """The error for a text that is no URL."""
    return EgressRefused("The address can't be read; right is, say, https://api.example.com/path.")


def check_characters(url: str) -> None:
    """Refuse what has no place in a URL, before it is parsed. Raises EgressRefused."""
    if "\\" in url or not url.isprintable():
        raise EgressRefused("The address holds a backslash or a character that can't be seen; take it out.")


def check_url(url: httpx2.URL) -> None:
    """Refuse a parsed URL that no honest caller needs. Raises EgressRefused, which never repeats a user's name, a
    password or a query."""
    host = url.raw_host.decode("ascii")
    if url.scheme not in ("http", "https"):
        raise EgressRefused("Only addresses that begin with https:// can be called.")
    if len(host) > 253 or not (HOST_NAME.fullmatch(host) or (as_address(host) and "%" not in host)):
        raise unreadable_url()
    if url.userinfo:
        raise EgressRefused(f"The address at {host} holds a user name or a password; send them as a header instead.")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise EgressRefused(f"The address at {host} has a port that does not exist; right is 1 to 65535.")


def is_disguised_address(host: str) -> bool:
    """Whether `host` is no address as it stands, but `getaddrinfo` would read it as one."""
    return as_address(host) is None and bool(NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]))
