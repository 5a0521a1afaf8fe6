"""When each alert fires and clears: series for `promtool test rules`, by the minute."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AlertCase:
    """`series` are at rest up to minute `fires_at`, in trouble then, and at rest again well before `clears_at`; `labels` are
    those of the alert besides its severity."""

    series: dict[str, str]
    fires_at: str
    clears_at: str
    severity: str
    summary: str
    labels: dict[str, str] = field(default_factory=dict[str, str])

    def as_test(self, name: str) -> dict[str, Any]:
        """Return the case as promtool reads it."""
        alert = {"exp_labels": {**self.labels, "severity": self.severity}, "exp_annotations": {"summary": self.summary}}
        # "No scheduler" is what all others but its own would say too, without its series.
        beside = {} if "postgres_up" in self.series else {"postgres_up": "1x200"}
        return {
            "interval": "1m",
            "input_series": [{"series": one, "values": values} for one, values in {**self.series, **beside}.items()],
            "alert_rule_test": [
                {"eval_time": "0m", "alertname": name, "exp_alerts": []},
                {"eval_time": self.fires_at, "alertname": name, "exp_alerts": [alert]},
                {"eval_time": self.clears_at, "alertname": name, "exp_alerts": []},
            ],
        }


def gauge(rest: float, trouble: float) -> str:
    """Ten minutes at rest, ten in trouble, and at rest again."""
    return f"{rest}x9 {trouble}x9 {rest}x180"


def counter(rest: int, trouble: int) -> str:
    """The same of a counter, by its growth a minute."""
    first, second = rest * 9, rest * 9 + trouble * 10
    return f"0+{rest}x9 {first + trouble}+{trouble}x9 {second + rest}+{rest}x180"


def bucketed(name: str, labels: str, fast: str, slow: str) -> dict[str, str]:
    """A histogram of which `fast` are up to a second, and all up to a minute."""
    return {
        f'{name}_bucket{{{labels},le="1"}}': fast,
        f'{name}_bucket{{{labels},le="60"}}': slow,
        f'{name}_bucket{{{labels},le="+Inf"}}': slow,
    }


INSTANCE = 'instance="127.0.0.1:8000"'
CASES = {
    "HeadraceNotScraped": AlertCase(
        {f'up{{job="headrace",{INSTANCE}}}': gauge(1, 0)},
        "15m",
        "25m",
        "page",
        "127.0.0.1:8000 does not answer Prometheus.",
        {"job": "headrace", "instance": "127.0.0.1:8000"},
    ),
    "HeadraceNoScheduler": AlertCase(
        {"postgres_up": "1x9 _x19 1x180"},
        "25m",
        "40m",
        "page",
        "No scheduler is running. Lost workers, due schedules and missed deadlines wait for it.",
    ),
    "HeadracePostgresDown": AlertCase(
        {"postgres_up": gauge(1, 0)},
        "15m",
        "25m",
        "page",
        "Postgres can't be asked. Requests end with 503, running jobs wait for a minute.",
    ),
    "HeadracePartDown": AlertCase(
        {'service_up{part="redis"}': gauge(1, 0), 'service_up{part="storage"}': "1x200"},
        "15m",
        "25m",
        "page",
        "redis is down. GET /health says why.",
        {"part": "redis"},
    ),
    "HeadracePartDegraded": AlertCase(
        {'service_up{part="disk"}': gauge(1, 0.5), 'service_up{part="redis"}': "0x200"},
        "19m",
        "40m",
        "warn",
        "disk works, but not as it should. GET /health says why.",
        {"part": "disk"},
    ),
    "HeadraceQueueStuck": AlertCase(
        {'job_oldest_queued_seconds{kind="chat"}': gauge(0, 400), 'job_oldest_queued_seconds{kind="batch"}': "0x200"},
        "15m",
        "25m",
        "page",
        "The oldest chat job has been waiting for 6m 40s.",
        {"kind": "chat"},
    ),
    "HeadraceJobsWaitLong": AlertCase(
        bucketed("job_queue_wait_seconds", 'kind="chat"', counter(60, 0), counter(60, 60)),
        "19m",
        "40m",
        "warn",
        "Chats wait 57.05s (p95) for a worker. Start more chat processes.",
        {"kind": "chat"},
    ),
    "HeadraceJobsFail": AlertCase(
        {
            'jobs_finished_total{kind="chat",outcome="succeeded"}': "0+90x200",
            'jobs_finished_total{kind="chat",outcome="failed"}': counter(0, 30),
        },
        "19m",
        "60m",
        "warn",
        "25% of chat jobs fail. GET /api/jobs?state=failed says why.",
        {"kind": "chat"},
    ),
    "HeadraceWorkersLost": AlertCase(
        {'jobs_redispatched_total{reason="worker_lost"}': counter(0, 3)},
        "15m",
        "40m",
        "warn",
        "Workers died while they ran jobs. The jobs go on; the log event workers_lost says which.",
    ),
    "HeadraceProviderFails": AlertCase(
        {
            'provider_errors_total{provider="openai",code="provider_timeout"}': counter(0, 50),
            'gen_ai_client_operation_duration_seconds_count{gen_ai_provider_name="openai",outcome="ok"}': "0+50x200",
            'gen_ai_client_operation_duration_seconds_count{gen_ai_provider_name="openai",outcome="error"}': counter(
                0, 50
            ),
        },
        "19m",
        "40m",
        "warn",
        "50% of the calls of openai fail.",
        {"provider": "openai"},
    ),
    "HeadraceBreakerOpen": AlertCase(
        {'breakers_open{provider="openai"}': gauge(0, 1)},
        "15m",
        "25m",
        "warn",
        "openai keeps failing and is not called for the moment.",
        {"provider": "openai"},
    ),
    "HeadraceApiErrors": AlertCase(
        {
            'http_server_requests_total{http_response_status_code="200"}': "0+90x200",
            'http_server_requests_total{http_response_status_code="503"}': counter(0, 90),
        },
        "19m",
        "40m",
        "page",
        "50% of all requests end with a 5xx.",
    ),
    "HeadraceLoopBlocked": AlertCase(
        {'event_loop_lag_seconds{process="chat"}': gauge(0, 3)},
        "15m",
        "25m",
        "warn",
        "The event loop of chat is 3s late: it needs more CPU or processes.",
        {"process": "chat"},
    ),
    "HeadraceWebhooksFail": AlertCase(
        {
            'webhook_attempts_total{outcome="delivered"}': "0x30 0+10x170",
            'webhook_attempts_total{outcome="failed"}': "0+10x30 300x170",
        },
        "30m",
        "60m",
        "warn",
        "100% of webhook messages are not taken by their receivers.",
    ),
    "HeadraceMemoryTight": AlertCase(
        {f"system_memory_utilization_ratio{{{INSTANCE}}}": gauge(0.4, 0.95)},
        "18m",
        "25m",
        "warn",
        "95% of the memory of 127.0.0.1:8000 is in use.",
        {"instance": "127.0.0.1:8000"},
    ),
    "HeadraceDiskFull": AlertCase(
        {f"system_filesystem_utilization_ratio{{{INSTANCE}}}": gauge(0.4, 0.95)},
        "18m",
        "25m",
        "page",
        "95% of the disk of 127.0.0.1:8000 is in use.",
        {"instance": "127.0.0.1:8000"},
    ),
}
