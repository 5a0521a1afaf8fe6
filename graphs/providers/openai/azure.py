"""Azure's addresses: a resource speaks OpenAI's protocol under `/openai/v1`, and in its older, dated API under a path for each
deployment.

    https://NAME.openai.azure.com/openai/v1/chat/completions                                          model: the deployment
    https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT/chat/completions?api-version=2024-10-21

An address as it is kept says which of the two: it ends in `/openai/v1`, or in `/openai?api-version=…`.
"""

import re
from urllib.parse import parse_qs, quote, urlsplit

DEFAULT_VERSION = "2024-10-21"
"""Of an address with a deployment but no version: the last dated version that is no preview."""
UNDATED = frozenset({"v1", "preview", "latest"})
FIRST_WITH_USAGE = "2024-09-01"
"""Dated versions before this one refuse `stream_options` and `max_completion_tokens`."""
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?|v1|preview|latest")
_PATH = re.compile(r"(?P<head>.*?)/openai(/(?P<rest>.*))?")


def read_address(text: str, version: str = "") -> str:
    """Return an address of Azure as it is kept: of a resource, one with a path, or the target URI that the portal shows for a
    deployment. `version` counts unless the address names one. An address that isn't Azure's, such as a gateway's, stays as it
    is. Raises ValueError for a version that is none."""
    url, _, query = text.strip().partition("?")
    url = url.rstrip("/")
    version = (parse_qs(query).get("api-version") or [version])[0].strip().lower()
    if version and not _VERSION.fullmatch(version):
        raise ValueError(
            f"{version[:40]!r} is not a version of Azure's API; it is a date such as {DEFAULT_VERSION}, or v1"
        )
    path = urlsplit(url).path.strip("/")
    found = _PATH.fullmatch(f"/{path}") if path else None
    if path and found is None:
        return url
    root = url.removesuffix(path).rstrip("/") + (found["head"] if found else "")
    rest = (found["rest"] or "") if found else ""
    if rest.partition("/")[0] == "deployments":
        return f"{root}/openai?api-version={version if version not in UNDATED and version else DEFAULT_VERSION}"
    if rest.startswith("v1") or not version or version in UNDATED:
        return f"{root}/openai/v1" + ("?api-version=preview" if version == "preview" else "")
    return f"{root}/openai?api-version={version}"


def split_version(address: str) -> tuple[str, str]:
    """Return an address as it is kept without its version, and the version."""
    url, _, query = address.partition("?")
    return url, (parse_qs(query).get("api-version") or [""])[0]


def is_dated(version: str) -> bool:
    """Whether a version has routes for each deployment."""
    return bool(version) and version not in UNDATED


def knows_usage(version: str) -> bool:
    """Whether a version takes `stream_options` and `max_completion_tokens`."""
    return not is_dated(version) or version[:10] >= FIRST_WITH_USAGE


def deployment_path(route: str, model: str) -> str:
    """Return the path of a deployment's route. Nothing in a name can lead to another one."""
    return f"deployments/{quote(model, safe='')}/{route}"
