"""Whether, and where to, traces are sent: the standard variables of OpenTelemetry.

Those that are read here decide whether there are traces at all, or are easily misspelt. The SDK reads the others itself:
endpoint, headers, certificates, compression, resource, limits.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from schema.installation.settings_check import read_choice

Exporter = Literal["otlp", "console"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
SAMPLERS = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
)
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
IN_SPANS = ("true", "span_only", "span_and_event")
NOT_IN_SPANS = ("false", "no_content", "event_only")
UNDERSTOOD = {
    "OTEL_METRICS_EXPORTER": {"", "none", "prometheus"},
    "OTEL_LOGS_EXPORTER": {"", "none"},
    "OTEL_PROPAGATORS": {"", "tracecontext", "baggage"},
}
"""What there is besides traces: metrics for Prometheus, logs on stderr, W3C's headers."""


@dataclass(frozen=True)
class TracingSettings:
    """`exporter` None: nothing is traced. `content`: spans may have what people and models said. Up to `queue_size` spans wait
    for the collector, up to `batch` are sent at once, and none waits longer than `delay_s` for others."""

    exporter: Exporter | None = None
    content: bool = False
    service: str = ""
    """What the service is called; by default `headrace-` with the process's role."""
    queue_size: int = 2048
    batch: int = 512
    delay_s: float = 5.0
    unused: tuple[str, ...] = ()
    """Settings that ask for what headrace doesn't do, such as metrics over OTLP: said in a line of the log."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "TracingSettings":
        """Read and check the settings. Raises ValueError, which names the setting and says what is right."""
        exporter, unused = _read_exporter(env), tuple(_unused(env))
        if exporter is None:
            return cls(unused=unused)
        if exporter == "otlp":
            _check_otlp(env)
        _check_sampler(env)
        queue_size = _read_count(env, "OTEL_BSP_MAX_QUEUE_SIZE", cls.queue_size)
        return cls(
            exporter=exporter,
            content=read_choice(env, CONTENT, (*IN_SPANS, *NOT_IN_SPANS)) in IN_SPANS,
            service=env.get("OTEL_SERVICE_NAME", "").strip(),
            queue_size=queue_size,
            batch=min(_read_count(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", cls.batch), queue_size),
            delay_s=_read_number(env, "OTEL_BSP_SCHEDULE_DELAY", cls.delay_s * 1000, least=1) / 1000,
            unused=unused,
        )


def _unused(env: Mapping[str, str]) -> Iterator[str]:
    for name, understood in UNDERSTOOD.items():
        if {one.strip().lower() for one in env.get(name, "").split(",")} - understood:
            yield name


def _read_exporter(env: Mapping[str, str]) -> Exporter | None:
    """Return the exporter that is named; without a name, OTLP if it is said where to."""
    if read_choice(env, "OTEL_SDK_DISABLED", ("true", "false")) == "true":
        return None
    named = env.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if named in ("", "none"):
        has_endpoint = any(env.get(name, "").strip() for name in ENDPOINTS)
        return "otlp" if has_endpoint and not named else None
    match named:
        case "otlp" | "console":
            return named
        case _:
            raise ValueError(
                f"OTEL_TRACES_EXPORTER is {named[:80]!r}; it must be otlp, console or none. Send others what they understand "
                "through an OpenTelemetry Collector."
            )


def _check_otlp(env: Mapping[str, str]) -> None:
    name = next((name for name in PROTOCOLS if env.get(name, "").strip()), PROTOCOLS[0])
    if (said := env.get(name, "").strip().lower()) not in ("", PROTOCOL):
        raise ValueError(
            f"{name} is {said[:80]!r}; traces are sent by {PROTOCOL} only, which collectors take at port 4318. Set "
            f"{PROTOCOLS[0]}={PROTOCOL}, and {ENDPOINTS[0]} to where."
        )
    for name in ENDPOINTS:
        _check_url(name, env.get(name, "").strip())
    for name in TIMEOUTS:
        _read_number(env, name, 10, least=0.001)


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_right = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        is_right = False
    if not is_right:  # what it is may hold a password
        raise ValueError(f"{name} is no URL; it looks like http://127.0.0.1:4318.")


def _check_sampler(env: Mapping[str, str]) -> None:
    sampler = read_choice(env, "OTEL_TRACES_SAMPLER", SAMPLERS)
    if sampler is not None and "ratio" in sampler:
        _read_number(env, "OTEL_TRACES_SAMPLER_ARG", 1, least=0, most=1)


def _read_number(env: Mapping[str, str], name: str, default: float, *, least: float, most: float = math.inf) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (least <= value <= most and math.isfinite(value)):
        bound = f"from {least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more"
        raise ValueError(f"{name} is {text[:80]!r}; it must be a number, {bound} (default {default:g}).")
    return value


def _read_count(env: Mapping[str, str], name: str, default: int) -> int:
    value = _read_number(env, name, default, least=1, most=1_000_000)
    if value != int(value):
        raise ValueError(f"{name} is {env[name][:80]!r}; it must be a whole number (default {default}).")
    return int(value)
