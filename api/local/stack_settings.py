"""The settings of a stack on one machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schema.installation.settings_check import read_choice

if TYPE_CHECKING:
    from schema.postgres.logins import Role

ROOT = Path(__file__).resolve().parents[2]
TORCH_CHOICES = ("cpu", "auto", "none")
"""Read by the script `headrace` when it installs."""


@dataclass(frozen=True)
class StackSettings:
    """What may be chosen about a stack; read from the environment by `settings_from`."""

    home: Path
    host: str
    port: int | None
    flower_host: str
    flower_port: int | None
    tls_port: int | None
    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    broker_url: str | None = field(default=None, repr=False)
    role_urls: "Mapping[Role, str]" = field(default_factory=dict, repr=False)
    """Database URLs with passwords of their own (`schema/postgres/logins.py`)."""


def settings_from(environ: Mapping[str, str]) -> StackSettings:
    """Read and check the settings. Raises ValueError that names the wrong one and says what is right."""
    read_choice(environ, "HEADRACE_TORCH", TORCH_CHOICES)
    if database_url := _url_from(environ, "HEADRACE_DATABASE_URL", ("postgresql://", "postgres://")):
        from schema.postgres.servers import check_primary_wanted

        check_primary_wanted("HEADRACE_DATABASE_URL", database_url)
    return StackSettings(
        home=home_from(environ),
        host=environ.get("HEADRACE_HOST") or "127.0.0.1",
        port=_port_from(environ, "HEADRACE_PORT"),
        flower_host=environ.get("HEADRACE_FLOWER_HOST") or "127.0.0.1",
        flower_port=_port_from(environ, "HEADRACE_FLOWER_PORT"),
        tls_port=_port_from(environ, "HEADRACE_TLS_PORT"),
        database_url=database_url,
        redis_url=_redis_url_from(environ),
        broker_url=_broker_url_from(environ),
        role_urls=_role_urls_from(environ),
    )


def _redis_url_from(environ: Mapping[str, str]) -> str | None:
    from workers.redis.address import check_redis_url

    url = environ.get("HEADRACE_REDIS_URL")
    return check_redis_url("HEADRACE_REDIS_URL", url) if url else None


def _broker_url_from(environ: Mapping[str, str]) -> str | None:
    from workers.amqp.address import broker_url

    return broker_url(environ)


def _role_urls_from(environ: Mapping[str, str]) -> "dict[Role, str]":
    from schema.postgres.logins import ROLES, url_from

    return {role: url for role in ROLES if (url := url_from(environ, role, ""))}


def home_from(environ: Mapping[str, str]) -> Path:
    return ROOT / (environ.get("HEADRACE_HOME") or ".headrace")


def without_own_exports(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment less what `eval "$(./headrace env)"` put there: we are not our own provider of models."""
    own = f"{environ.get('HEADRACE_URL') or 'http://'}/v1"
    exported = {"OPENAI_BASE_URL", "OPENAI_API_KEY", "HEADRACE_API_KEY", "HEADRACE_ADMIN_KEY"}
    ours = exported if environ.get("OPENAI_BASE_URL") == own else set()
    return {name: value for name, value in environ.items() if name not in ours}


def _port_from(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise ValueError(f"{name} is {text!r}; it must be a port number from 1 to 65535.")
    return int(text)


def _url_from(environ: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str | None:
    text = environ.get(name)
    if text and not text.startswith(schemes):
        raise ValueError(f"{name} must start with {' or '.join(schemes)}.")
    return text or None
