"""Checks URLs before any DNS lookup. Only httpx2 parses them: two parsers that disagree are how
`http://127.0.0.1:6666\\@1.1.1.1` bypasses checks elsewhere (CVE-2026-46526).
"""

import re

import httpx2

from schema.errors import EgressRefused
from tools.egress.addresses import as_address

HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
"""Host names as sent on the wire: lower case, international ones as xn--."""

NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last label of 127.1, 0177.0.0.1, 2130706433 and 0x7f000001; no registered domain name ends in one."""


def parse_url(url: str) -> httpx2.URL:
    """Parse a URL that will be stored and called later (webhooks, issuers). Raises EgressRefused. Whether it may be reached is
    checked on each call, since names change their addresses."""
    check_characters(url)
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        raise unreadable_url() from None
    check_url(parsed)
    return parsed


def unreadable_url() -> EgressRefused:
    """The error for an invalid URL."""
    return EgressRefused("The address is not a valid URL; it must look like https://api.example.com/path.")


def check_characters(url: str) -> None:
    """Refuse characters that must not occur in a URL, before parsing. Raises EgressRefused."""
    if "\\" in url or not url.isprintable():
        raise EgressRefused("The address contains a backslash or an invisible character; remove it.")


def check_url(url: httpx2.URL) -> None:
    """Refuse parsed URLs that no legitimate caller needs. Raises EgressRefused, which never repeats a user name, password or
    query."""
    host = url.raw_host.decode("ascii")
    if url.scheme not in ("http", "https"):
        raise EgressRefused("Only addresses that start with https:// can be called.")
    if len(host) > 253 or not (HOST_NAME.fullmatch(host) or (as_address(host) and "%" not in host)):
        raise unreadable_url()
    if url.userinfo:
        raise EgressRefused(f"The address at {host} contains a user name or a password; send them in a header instead.")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise EgressRefused(f"The address at {host} has an invalid port; it must be 1 to 65535.")


def is_disguised_address(host: str) -> bool:
    """Whether `host` is not a standard address, but `getaddrinfo` would read it as one."""
    return as_address(host) is None and bool(NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]))
