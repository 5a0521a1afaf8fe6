"""The workers' settings. `workers/__main__.py` reads them from the environment, and nothing else does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphs.embeddings.names import check_embedder
from graphs.providers.settings import ProviderSettings
from schema.installation.settings_check import read_choice
from schema.job_kinds import KINDS
from schema.metrics.settings import MetricsSettings
from schema.postgres.logins import URL_SETTINGS, Role, url_from
from schema.postgres.servers import check_primary_wanted
from schema.tracing.settings import TracingSettings
from schema.vault import Vault
from tools.egress import EgressPolicy
from tools.langchain.listing import read_listed_tools
from workers.amqp.address import broker_url
from workers.certificates.settings import AcmeSettings
from workers.health.settings import HealthSettings
from workers.queue.dispatch import WINDOW
from workers.redis.address import EXAMPLE, check_redis_url
from workers.storage.settings import StorageSettings
from workers.uploads.limits import UploadLimits
from workers.webhooks.schedule import DELIVERY_DAYS

TOOL_SETTINGS = {
    "TAVILY_API_KEY": "TAVILY_API_KEY",
    "TAVILY_URL": "TAVILY_URL",
    "DUCKDUCKGO_URL": "DUCKDUCKGO_URL",
    "WIKIPEDIA_URL": "WIKIPEDIA_URL",
    "OPEN_METEO_URL": "OPEN_METEO_URL",
    "OPEN_METEO_GEOCODING_URL": "OPEN_METEO_GEOCODING_URL",
    "PYTHON_MODE": "HEADRACE_PYTHON_MODE",
}
"""The names under which tools that are code find their settings, each with its environment variable."""


PYTHON_MODES = ("monty", "jail")
LOG_STYLES = ("people", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
ON, OFF = ("on", "1", "true", "yes"), ("off", "0", "false", "no")


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of worker processes and of the scheduler. Times are in seconds."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    system_database_url: str | None = field(default=None, repr=False)
    """Where the dispatcher and the sweeper connect, if it isn't `database_url`."""
    broker_url: str | None = field(default=None, repr=False)
    """The RabbitMQ that carries doorbells; without it Redis does."""
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    concurrency: int = 300
    ingestion_concurrency: int = 8
    lease_s: float = 30.0
    grace_s: float = 25.0
    window: int = WINDOW
    unanswered_s: float = 10.0
    task_events: bool = True
    vault: Vault = field(kw_only=True)
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    tools: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Settings of tools that are code, such as TAVILY_API_KEY."""
    embedder: str = "minilm"
    reranker: str | None = None
    """A cross-encoder that reranks the passages for a chat."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    uploads: UploadLimits = field(default_factory=UploadLimits)
    """How much a job fetches from addresses."""
    webhook_days: int = DELIVERY_DAYS
    """How long webhook deliveries are kept after they ended."""
    logs: str | None = None
    """`people` or `json`; without it people on a terminal, JSON elsewhere."""
    log_level: str | None = None
    """One of LOG_LEVELS; without it `info`."""
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    acme: AcmeSettings = field(default_factory=AcmeSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    flower_host: str = "127.0.0.1"
    flower_port: int = 5555
    flower_sign_in: str | None = field(default=None, repr=False)
    """`name:password`; needed where Flower listens beyond loopback."""

    def role_database_url(self, role: Role) -> str:
        """Return the database URL for connections of `role`."""
        return self.system_database_url or self.database_url if role == "headrace_system" else self.database_url

    def queue_concurrency(self, queue: str) -> int:
        """Return how many jobs of a queue one process runs at once."""
        return self.ingestion_concurrency if queue == KINDS["ingestion"].queue else self.concurrency


def settings_from(env: Mapping[str, str]) -> WorkerSettings:
    """Read and check the settings. Raises ValueError, which names the setting and says what is valid."""
    redis_url = _redis_url(env)
    database_urls = _database_urls(env)
    return WorkerSettings(
        database_url=database_urls["headrace_app"],
        system_database_url=database_urls["headrace_system"],
        redis_url=redis_url,
        broker_url=broker_url(env),
        providers=ProviderSettings.from_env(env),
        concurrency=_whole(env, "HEADRACE_CHAT_CONCURRENCY", 300),
        ingestion_concurrency=_whole(env, "HEADRACE_INGESTION_CONCURRENCY", 8),
        lease_s=_number(env, "HEADRACE_LEASE_S", 30, least=1),
        grace_s=_number(env, "HEADRACE_GRACE_S", 25, least=0),
        window=_whole(env, "HEADRACE_WINDOW", 256),
        unanswered_s=_number(env, "HEADRACE_UNANSWERED_S", 10, least=0.5),
        vault=Vault.from_env(env),
        egress=EgressPolicy.from_env(env),
        tools=_tool_settings(env),
        embedder=check_embedder("HEADRACE_EMBEDDER", env.get("HEADRACE_EMBEDDER", "").strip() or "minilm"),
        reranker=env.get("HEADRACE_RERANKER", "").strip() or None,
        storage=StorageSettings.from_env(env),
        uploads=UploadLimits(
            max_file=_whole(env, "HEADRACE_MAX_FILE", UploadLimits.max_file),
            max_upload=_whole(env, "HEADRACE_MAX_UPLOAD", UploadLimits.max_upload),
        ),
        webhook_days=_whole(env, "HEADRACE_WEBHOOK_DAYS", DELIVERY_DAYS),
        task_events=read_choice(env, "HEADRACE_TASK_EVENTS", (*ON, *OFF)) not in OFF,
        logs=read_choice(env, "HEADRACE_LOGS", LOG_STYLES),
        log_level=read_choice(env, "HEADRACE_LOG_LEVEL", LOG_LEVELS),
        metrics=MetricsSettings.from_env(env),
        health=HealthSettings.from_env(env),
        acme=AcmeSettings.from_env(env),
        tracing=TracingSettings.from_env(env),
        flower_host=env.get("HEADRACE_FLOWER_HOST", "").strip() or WorkerSettings.flower_host,
        flower_port=_port(env, "HEADRACE_FLOWER_PORT", WorkerSettings.flower_port),
        flower_sign_in=_sign_in(env, "HEADRACE_FLOWER_SIGN_IN"),
    )


def _redis_url(env: Mapping[str, str]) -> str:
    name = "HEADRACE_REDIS_URL"
    return check_redis_url(name, _required_url(env, name, EXAMPLE))


def _tool_settings(env: Mapping[str, str]) -> dict[str, str]:
    read_choice(env, TOOL_SETTINGS["PYTHON_MODE"], PYTHON_MODES)
    read_listed_tools(env)  # only checked here: the process lists them (`tools/registry.py`)
    return {name: env[setting] for name, setting in TOOL_SETTINGS.items() if env.get(setting)}


def _database_urls(env: Mapping[str, str]) -> dict[Role, str]:
    """Return the URL of each role: its own, or HEADRACE_DATABASE_URL for both."""
    if all(env.get(name, "").strip() for name in URL_SETTINGS.values()):
        return {role: url_from(env, role, "") for role in URL_SETTINGS}
    default = _required_url(env, "HEADRACE_DATABASE_URL", "postgresql://user:password@127.0.0.1:5432/headrace")
    check_primary_wanted("HEADRACE_DATABASE_URL", default)
    return {role: url_from(env, role, default) for role in URL_SETTINGS}


def _required_url(env: Mapping[str, str], name: str, example: str) -> str:
    value = env.get(name, "").strip()
    if "://" not in value:
        raise ValueError(f"{name} is missing or no URL. It looks like {example} (./headrace up sets it by itself).")
    return value


def _number(env: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < math.inf:
        raise ValueError(f"{name} is {text!r}; it must be a number, {least:g} or more (default {default:g}).")
    return value


def _whole(env: Mapping[str, str], name: str, default: int) -> int:
    value = _number(env, name, default, least=1)
    if value != int(value):
        raise ValueError(f"{name} is {env[name]!r}; it must be a whole number, 1 or more (default {default}).")
    return int(value)


MIN_PASSWORD = 12


def _sign_in(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name, "").strip()
    user, _, password = text.partition(":")
    if text and (not user or len(password) < MIN_PASSWORD or not text.isprintable() or "," in text):
        raise ValueError(
            f"{name} must be name:password, without commas; the password has {MIN_PASSWORD} characters or more."
        )
    return text or None


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if text and not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise ValueError(f"{name} is {text!r}; it must be a port number from 1 to 65535.")
    return int(text or default)
