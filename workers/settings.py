"""The workers' settings, from the environment. Read in `workers/__main__.py` and nowhere else."""

from collections.abc import Mapping

from graphs.providers.settings import ProviderSettings
from schema.vault import Vault
from tools.egress import EgressPolicy
from workers.context import WorkerSettings
from workers.redis.connection import RedisAddress
from workers.storage.settings import StorageSettings

TOOL_SETTINGS = {
    "TAVILY_API_KEY": "TAVILY_API_KEY",
    "TAVILY_URL": "TAVILY_URL",
    "DUCKDUCKGO_URL": "DUCKDUCKGO_URL",
    "WIKIPEDIA_URL": "WIKIPEDIA_URL",
    "OPEN_METEO_URL": "OPEN_METEO_URL",
    "OPEN_METEO_GEOCODING_URL": "OPEN_METEO_GEOCODING_URL",
    "PYTHON_MODE": "HEADRACE_PYTHON_MODE",
}
"""What tools that are code read from their `settings`, and the setting that it comes from."""


def settings_from(env: Mapping[str, str]) -> WorkerSettings:
    """Read and check. Raises ValueError that names the setting and says what is right."""
    RedisAddress.from_url(_needed(env, "HEADRACE_REDIS_URL", "redis://127.0.0.1:6379/0"))
    return WorkerSettings(
        database_url=_needed(env, "HEADRACE_DATABASE_URL", "postgresql://user:password@127.0.0.1:5432/headrace"),
        redis_url=env["HEADRACE_REDIS_URL"],
        providers=ProviderSettings.from_env(env),
        concurrency=int(_number(env, "HEADRACE_CHAT_CONCURRENCY", 300, least=1)),
        ingestion_concurrency=int(_number(env, "HEADRACE_INGESTION_CONCURRENCY", 8, least=1)),
        lease_s=_number(env, "HEADRACE_LEASE_S", 30, least=1),
        grace_s=_number(env, "HEADRACE_GRACE_S", 25, least=0),
        window=int(_number(env, "HEADRACE_WINDOW", 256, least=1)),
        unanswered_s=_number(env, "HEADRACE_UNANSWERED_S", 10, least=0.5),
        vault=Vault.from_env(env),
        egress=EgressPolicy.from_env(env),
        tools={name: env[setting] for name, setting in TOOL_SETTINGS.items() if env.get(setting)},
        embedder=env.get("HEADRACE_EMBEDDER", "").strip() or "minilm",
        reranker=env.get("HEADRACE_RERANKER", "").strip() or None,
        storage=StorageSettings.from_env(env),
        task_events=env.get("HEADRACE_TASK_EVENTS", "on").lower() not in ("off", "0", "false", "no"),
    )


def _needed(env: Mapping[str, str], name: str, example: str) -> str:
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
    if not value >= least:
        raise ValueError(f"{name} is {text!r}; it must be a number, {least:g} or more (default {default:g}).")
    return value
