"""URLs with `{name}` in their path. An admin writes the URL, a model writes the values: each value stays within its own path
segment, and can't change the host, port or query.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, unquote

import httpx2

from schema.errors import EgressRefused, InputError
from tools.configured.templates import PLACEHOLDER, as_text
from tools.egress import EgressPolicy, parse_url
from tools.egress.addresses import as_address
from tools.errors import ToolBadArguments

URL_PARTS = re.compile(r"(https?://[^/?#]+)(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)
MAX_VALUE = 512
MAX_DECODINGS = 4
"""How often a value is percent-decoded to see what a service behind several proxies would see."""

PUBLIC_PLACEHOLDER = ip_address("1.1.1.1")
"""Stands for the address of a host name, which is resolved only when a call is made."""

FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories not allowed in a path: control characters, surrogates, line and paragraph separators."""


@dataclass(frozen=True)
class Endpoint:
    """`base` is scheme, host and port; `path` starts with / and may contain `{name}`; `query` is sent as is."""

    base: str
    path: str
    query: str = ""

    @property
    def host(self) -> str:
        return self.base.partition("://")[2]

    @property
    def names(self) -> set[str]:
        """The arguments used in the path."""
        return set(PLACEHOLDER.findall(self.path))

    def url(self, arguments: dict[str, Any], query: Sequence[tuple[str, str]] = ()) -> str:
        """The URL of one call, encoded. Raises ToolBadArguments that names the unusable argument."""
        path = "/".join(_fill_segment(segment, arguments) for segment in self.path.split("/"))
        pairs = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query]
        found = "&".join([*([self.query] if self.query else []), *pairs])
        return f"{self.base}{path}{'?' if found else ''}{found}"


def parse_endpoint(text: str) -> Endpoint:
    """Parse a URL as an admin wrote it. Raises InputError for the field `endpoint`."""
    parts = URL_PARTS.fullmatch(text)
    if parts is None or "{" in parts[1] or "}" in parts[1]:
        raise _endpoint_error("endpoint must be a URL, such as https://api.example.com/items/{id}.")
    path, query = parts[2] or "/", parts[3] or ""
    if "{" in query or "}" in query:
        raise _endpoint_error("endpoint has a placeholder after '?'; put such arguments in config.query.")
    bare = PLACEHOLDER.sub("x", path)
    if "{" in bare or "}" in bare:
        raise _endpoint_error("endpoint has a brace outside a placeholder; write {name} with letters, digits and _.")
    if any(unquote(segment) in (".", "..") for segment in bare.split("/")):
        raise _endpoint_error("endpoint contains '.' or '..' as a path segment; write the full path.")
    try:
        parsed = parse_url(f"{parts[1]}{bare}{'?' if query else ''}{query}")
    except EgressRefused as error:
        raise _endpoint_error(f"endpoint: {error.message}") from None
    host = parsed.raw_host.decode("ascii")
    port = "" if parsed.port is None else f":{parsed.port}"
    return Endpoint(f"{parsed.scheme}://{f'[{host}]' if ':' in host else host}{port}", path, query)


def check_egress(endpoint: Endpoint, policy: EgressPolicy) -> None:
    """Raises EgressRefused if it is clear without DNS that the egress guard will refuse the endpoint. A name that resolves to a
    private address is refused when it is called."""
    url = httpx2.URL(endpoint.base)
    host = url.raw_host.decode("ascii")
    address = as_address(host)
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        address = ip_address("127.0.0.1")
    if address is None and policy.may_allow_names:
        return  # its address may be in one of them, where http and any port are allowed
    try:
        policy.check(
            url.scheme, host, url.port or (443 if url.scheme == "https" else 80), [address or PUBLIC_PLACEHOLDER]
        )
    except EgressRefused as error:
        raise EgressRefused(f"endpoint: {error.message}", field="endpoint") from None


def _endpoint_error(sentence: str) -> InputError:
    return InputError(sentence, field="endpoint")


def _fill_segment(template: str, arguments: dict[str, Any]) -> str:
    names = PLACEHOLDER.findall(template)
    if not names:
        return template
    words = {name: _path_value(name, arguments) for name in names}
    _reject_path_traversal(PLACEHOLDER.sub(lambda found: words[found[1]], template), names[-1])
    return PLACEHOLDER.sub(lambda found: quote(words[found[1]], safe=""), template)


def _path_value(name: str, arguments: dict[str, Any]) -> str:
    word = as_text(name, arguments.get(name, ""))
    if not word.strip() or len(word) > MAX_VALUE:
        raise ToolBadArguments(f"The argument {name} must have 1 to {MAX_VALUE} characters here.", field=name)
    _reject_path_traversal(word, name)
    return word


def _reject_path_traversal(word: str, name: str) -> None:
    """Raises ToolBadArguments for values that could leave their path segment on any service, even one that decodes more than
    once, treats \\ as /, drops what follows a semicolon, or normalizes wide characters."""
    for _ in range(MAX_DECODINGS):
        folded = unicodedata.normalize("NFKC", word)
        steps = [step.partition(";")[0].strip() for step in re.split(r"[/\\]", folded)]
        if any(step and not step.strip(". ") for step in steps):
            raise ToolBadArguments(f"The argument {name} must not contain '.' or '..' as a path segment.", field=name)
        if any(unicodedata.category(character) in FORBIDDEN_CATEGORIES for character in folded) or "\ufffd" in folded:
            raise ToolBadArguments(
                f"The argument {name} contains characters that are not allowed in a URL.", field=name
            )
        decoded = unquote(word, errors="replace")
        if decoded == word:
            return
        word = decoded
    raise ToolBadArguments(f"The argument {name} is percent-encoded more than once; send it unencoded.", field=name)
