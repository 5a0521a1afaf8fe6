"""Settings of the API process: frozen objects, read from the environment by `server.py`."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from graphs.embeddings.names import check_embedder
from graphs.providers.settings import AUTO, ProviderSettings
from schema.errors import InputError
from schema.installation.settings_check import read_choice
from schema.metrics.settings import MetricsSettings
from schema.postgres.logins import url_from
from schema.postgres.servers import check_primary_wanted
from schema.tracing.settings import TracingSettings
from schema.vault import Vault
from tools.egress import EgressPolicy
from workers.amqp.address import broker_url
from workers.certificates.settings import TlsSettings
from workers.queue.job_core import JobCoreSettings
from workers.redis.address import EXAMPLE, check_redis_url
from workers.settings import LOG_LEVELS, LOG_STYLES
from workers.storage.settings import StorageSettings
from workers.uploads.limits import UploadLimits

DATABASE_SCHEMES = ("postgresql://", "postgres://")


ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")
"""As browsers send it."""


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """`request_timeout_s`: how long `POST /api/chat` waits for the answer. `completion_timeout_s`: the same for
    `/v1/chat/completions`, whose clients are used to waiting. `grace_s`: how long a process that is stopped goes on with what
    can't be gone on with elsewhere. `front_end_prompts`: who answers prompts of chat front ends
    (`api/openai/front_end_prompts.py`). `max_body`: in bytes. `slow_client_s`: how long a client
    may read nothing of a response; `header_timeout_s`, `body_timeout_s`: how long a request's headers may take, and how long
    its body may be too slow. `window`: most doorbells in a queue, the same in all processes. `issuer`: the `iss` of our
    access tokens; `token_s`: their lifetime. `trusted_proxies`: proxies whose X-Forwarded-For is trusted. `cors_origins`: other
    sites whose pages may call the API. `embedders`: those that collections
    can choose; the first is the default. `storage`: where the bytes of documents are; `uploads`: limits of uploads.
    `reranker`: the cross-encoder that workers use. `logs`: `people` or `json`;
    `log_level`: the least that is logged. `metrics`: who may read them, and where. `tracing`: whether requests are traced.
    `tls`: whether and how TLS is served. `broker_url`: the RabbitMQ that carries doorbells, if Redis doesn't."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    broker_url: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    request_timeout_s: float = 45.0
    completion_timeout_s: float = 600.0
    grace_s: float = 25.0
    front_end_prompts: str = "plain"
    max_body: int = 8 * 1024 * 1024
    slow_client_s: float = 30.0
    header_timeout_s: float = 10.0
    body_timeout_s: float = 15.0
    window: int = JobCoreSettings.window
    vault: Vault
    issuer: str = "http://localhost:8000"
    token_s: float = 86_400.0
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    trusted_proxies: str = ""
    cors_origins: tuple[str, ...] = ()
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    embedders: tuple[str, ...] = ("minilm",)
    storage: StorageSettings = field(default_factory=StorageSettings)
    uploads: UploadLimits = field(default_factory=UploadLimits)
    reranker: str | None = None
    logs: str | None = None
    log_level: str | None = None
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)

    @property
    def embedder(self) -> str:
        """The embedder of collections that name none."""
        return self.embedders[0]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "ApiSettings":
        """Read and check the settings. Raises InputError that names the invalid one and says what it must be."""
        try:
            providers = ProviderSettings.from_env(env)
            vault, egress = Vault.from_env(env), EgressPolicy.from_env(env)
            storage = StorageSettings.from_env(env)
            embedders, logs = _read_embedders(env), read_choice(env, "HEADRACE_LOGS", LOG_STYLES)
            issuer = _read_address(env, "HEADRACE_ISSUER") or _read_address(env, "HEADRACE_URL") or cls.issuer
            metrics, tracing = MetricsSettings.from_env(env), TracingSettings.from_env(env)
            tls = TlsSettings.from_env(env)
            log_level = read_choice(env, "HEADRACE_LOG_LEVEL", LOG_LEVELS)
            trusted_proxies, cors_origins, broker = _read_proxies(env), _read_origins(env), broker_url(env)
            front_end_prompts = _read_front_end_prompts(env) or cls.front_end_prompts
        except ValueError as error:
            raise InputError(str(error)) from error
        port = int(_read_number(env, "HEADRACE_PORT", cls.port, 1, 65_535, "a port number"))
        _require_apart(HEADRACE_PORT=port, HEADRACE_TLS_PORT=tls.port, HEADRACE_METRICS_PORT=metrics.port)
        return cls(
            database_url=_read_database_url(env),
            redis_url=_read_redis_url(env),
            broker_url=broker,
            host=env.get("HEADRACE_HOST") or cls.host,
            port=port,
            request_timeout_s=_read_number(
                env, "HEADRACE_REQUEST_TIMEOUT_S", cls.request_timeout_s, 0, 3600, "a number of seconds"
            ),
            completion_timeout_s=_read_number(
                env, "HEADRACE_COMPLETION_TIMEOUT_S", cls.completion_timeout_s, 1, 3600, "a number of seconds"
            ),
            grace_s=_read_number(env, "HEADRACE_GRACE_S", cls.grace_s, 0, 3600, "a number of seconds"),
            front_end_prompts=front_end_prompts,
            max_body=int(_read_number(env, "HEADRACE_MAX_BODY", cls.max_body, 1024, 2**31, "a number of bytes")),
            slow_client_s=_read_number(
                env, "HEADRACE_SLOW_CLIENT_S", cls.slow_client_s, 1, 3600, "a number of seconds"
            ),
            header_timeout_s=_read_number(
                env, "HEADRACE_HEADER_TIMEOUT_S", cls.header_timeout_s, 1, 3600, "a number of seconds"
            ),
            body_timeout_s=_read_number(
                env, "HEADRACE_BODY_TIMEOUT_S", cls.body_timeout_s, 1, 3600, "a number of seconds"
            ),
            window=int(_read_number(env, "HEADRACE_WINDOW", cls.window, 1, 2**31, "a whole number")),
            vault=vault,
            issuer=issuer.rstrip("/"),
            token_s=_read_number(env, "HEADRACE_TOKEN_S", cls.token_s, 60, 86_400, "a number of seconds"),
            egress=egress,
            trusted_proxies=trusted_proxies,
            cors_origins=cors_origins,
            providers=providers,
            embedders=embedders,
            logs=logs,
            log_level=log_level,
            metrics=metrics,
            tracing=tracing,
            tls=tls,
            storage=storage,
            reranker=env.get("HEADRACE_RERANKER", "").strip() or None,
            uploads=UploadLimits(
                max_file=int(
                    _read_number(env, "HEADRACE_MAX_FILE", UploadLimits.max_file, 1024, 2**40, "a number of bytes")
                ),
                max_upload=int(
                    _read_number(env, "HEADRACE_MAX_UPLOAD", UploadLimits.max_upload, 1024, 2**42, "a number of bytes")
                ),
            ),
        )


def _read_embedders(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the embedders of the installation, the default first: it is the one that workers always load."""
    default = env.get("HEADRACE_EMBEDDER", "").strip() or ApiSettings.embedders[0]
    listed = [name.strip() for name in env.get("HEADRACE_EMBEDDERS", "").split(",")]
    check_embedder("HEADRACE_EMBEDDER", default)
    return tuple(dict.fromkeys([default, *(check_embedder("HEADRACE_EMBEDDERS", name) for name in listed if name)]))


def _read_address(env: Mapping[str, str], name: str) -> str:
    text = env.get(name, "").strip()
    if text and not re.match(r"https?://[^/\s]", text):
        raise ValueError(f"{name} is {text!r}; it must be a URL that starts with http:// or https://.")
    return text


def _read_proxies(env: Mapping[str, str]) -> str:
    text = env.get("HEADRACE_TRUSTED_PROXIES", "").strip()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            _ = entry == "*" or ip_network(entry)
        except ValueError:
            raise ValueError(
                f"HEADRACE_TRUSTED_PROXIES has {entry!r}; it must list addresses or networks, separated by commas, such as "
                "10.0.0.0/8, or be *."
            ) from None
    return text


def _require_apart(**ports: int | None) -> None:
    """Raises InputError if one process would listen twice at one port."""
    names: dict[int, str] = {}
    for name, port in ports.items():
        if port in names:
            raise InputError(f"{names[port]} and {name} are both {port}. Set one of them to another port.")
        if port is not None:
            names[port] = name


def _read_origins(env: Mapping[str, str]) -> tuple[str, ...]:
    origins = tuple(part for part in (part.strip() for part in env.get("HEADRACE_CORS_ORIGINS", "").split(",")) if part)
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(
                f"HEADRACE_CORS_ORIGINS has {origin!r}; it must list origins, separated by commas, such as "
                "https://chat.example.com, without a path, or be *."
            )
    return origins


def _read_front_end_prompts(env: Mapping[str, str]) -> str:
    setting = env.get("HEADRACE_FRONT_END_PROMPTS", "").strip()
    if setting.lower() == AUTO or setting.startswith("agent/"):
        raise ValueError(
            f"HEADRACE_FRONT_END_PROMPTS is {setting[:80]!r}; it must be plain (the chat's model alone), agent (the chat's "
            "agent), or a model, such as ollama/llama3.2:3b."
        )
    return setting


def _read_database_url(env: Mapping[str, str]) -> str:
    """Return HEADRACE_APP_DATABASE_URL, or else HEADRACE_DATABASE_URL."""
    try:
        own = url_from(env, "headrace_app", "")
    except ValueError as error:
        raise InputError(str(error)) from error
    if own:
        return own
    url = _read_url(env, "HEADRACE_DATABASE_URL", DATABASE_SCHEMES)
    try:
        check_primary_wanted("HEADRACE_DATABASE_URL", url)
    except ValueError as error:
        raise InputError(str(error)) from error
    return url


def _read_redis_url(env: Mapping[str, str]) -> str:
    name = "HEADRACE_REDIS_URL"
    if not env.get(name):
        raise InputError(f"{name} is not set; it must be a URL such as {EXAMPLE}.")
    try:
        return check_redis_url(name, env[name])
    except ValueError as error:
        raise InputError(str(error)) from error


def _read_url(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    text = env.get(name, "")
    if not text.startswith(schemes):
        # The value may contain a password, so it is not repeated.
        problem = "must be" if text else "is not set; it must be"
        raise InputError(f"{name} {problem} a URL starting with {schemes[0]}.")
    return text


def _read_number(env: Mapping[str, str], name: str, default: float, minimum: float, maximum: float, unit: str) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not minimum <= value <= maximum or ("seconds" not in unit and not value.is_integer()):
        raise InputError(f"{name} must be {unit} from {minimum:g} to {maximum:.0f}, not {text!r}.")
    return value
