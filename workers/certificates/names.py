"""The names that a certificate is for: hosts, hosts with a wildcard, and addresses."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from cryptography import x509

from schema.errors import InputError

MAX_NAMES = 100
HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
MAX_HOST = 253


def checked_names(names: Sequence[str], *, field: str = "names") -> list[str]:
    """Return names in lower case, each once. Raises InputError, which says what a name must be."""
    found = list(dict.fromkeys(_checked(name, f"{field}[{place}]") for place, name in enumerate(names)))
    if not found:
        raise InputError(f"{field} must have at least one host, such as chat.example.com, or address.", field=field)
    return found


def _checked(name: str, field: str) -> str:
    text = name.strip().rstrip(".").lower()
    if is_address(text):
        return str(ip_address(text))
    if len(text) <= MAX_HOST and HOST.fullmatch(text) and not re.fullmatch(r"[\d.]+", text):
        return text
    hint = "" if text.isascii() else " Write other letters as browsers send them, such as xn--bcher-kva.example."
    raise InputError(
        f"{field} is {name[:80]!r}; it must be a host such as chat.example.com or *.example.com, or an address such as "
        f"10.0.0.5, without https:// and without a port.{hint}",
        field=field,
    )


def is_address(text: str) -> bool:
    """Whether a name is an address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Return the extension that says these names."""
    return x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name) for name in names]
    )


def names_in(certificate: x509.Certificate) -> list[str]:
    """Return what a certificate is for, in lower case; its common name is looked at by nobody, and not here either."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    hosts = [name.lower().rstrip(".") for name in found.get_values_for_type(x509.DNSName)]
    return list(dict.fromkeys([*hosts, *map(str, found.get_values_for_type(x509.IPAddress))]))


def covers(name: str, host: str) -> bool:
    """Whether a name of a certificate is for this host; a wildcard stands for one label."""
    return name == host or (name.startswith("*.") and "." in host and name[2:] == host.partition(".")[2])
