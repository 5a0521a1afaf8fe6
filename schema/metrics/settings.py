"""Who may read the metrics of a process, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_TOKEN = 16


@dataclass(frozen=True)
class MetricsSettings:
    """With a `port`, the process is scraped by itself, at `host`; with None, a scrape of the API shows it. `token` is what
    scrapers send; without one, the API's metrics are for admins."""

    port: int | None = None
    host: str = "127.0.0.1"
    token: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "MetricsSettings":
        """Read and check the settings. Raises ValueError, which names the setting and says what is right."""
        return cls(
            port=_read_port(env, "HEADRACE_METRICS_PORT"),
            host=env.get("HEADRACE_METRICS_HOST", "").strip() or cls.host,
            token=_read_token(env, "HEADRACE_METRICS_TOKEN"),
        )


def _read_port(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise ValueError(f"{name} is {text[:80]!r}; it must be a port number from 1 to 65535.")
    return int(text)


def _read_token(env: Mapping[str, str], name: str) -> str:
    token = env.get(name, "").strip()
    if token and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise ValueError(f"{name} must have {MIN_TOKEN} or more characters of ASCII, without spaces.")
    return token
