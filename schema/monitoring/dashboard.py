"""Writes `dashboard.json` for Grafana: `python -m schema.monitoring.dashboard`. Tests run its queries in Prometheus."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dashboard.json")
WIDTH, HEIGHT = 8, 8
PER_LINE = 24 // WIDTH


@dataclass(frozen=True)
class Panel:
    """A chart: its title, unit (Grafana's name for it), and queries with the names of their lines."""

    title: str
    unit: str
    queries: dict[str, str]


def rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def quantile(metric: str, share: float, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket[$__rate_interval])))"


def percentiles(metric: str, by: str) -> dict[str, str]:
    name = f"{{{{{by}}}}}"
    return {f"{name} p50": quantile(metric, 0.5, by), f"{name} p95": quantile(metric, 0.95, by)}


ROWS: dict[str, tuple[Panel, ...]] = {
    "Is it up": (
        Panel("Parts", "short", {"{{part}}": "min by (part) (service_up)", "figures": "max(postgres_up)"}),
        Panel(
            "Requests",
            "reqps",
            {"{{http_response_status_code}}": rate("http_server_requests_total", "http_response_status_code")},
        ),
        Panel(
            "Open streams",
            "short",
            {"open": "sum(sse_open)", "resumed/s": "sum(rate(sse_resumes_total[$__rate_interval]))"},
        ),
    ),
    "Is it slow": (
        Panel(
            "Requests",
            "s",
            {"{{http_route}} p95": quantile("http_server_request_duration_seconds", 0.95, "http_route")},
        ),
        Panel("Wait for a worker", "s", percentiles("job_queue_wait_seconds", "kind")),
        Panel("First token", "s", percentiles("job_first_token_seconds", "kind")),
        Panel("Between tokens", "s", percentiles("job_token_gap_seconds", "kind")),
        Panel("Run", "s", percentiles("job_run_seconds", "kind")),
        Panel("Event loops", "s", {"{{process}}": "max by (process) (event_loop_lag_seconds)"}),
    ),
    "What waits and fails": (
        Panel("Jobs", "short", {"{{kind}} {{state}}": "max by (kind, state) (jobs_in_state)"}),
        Panel("Oldest waiting", "s", {"{{kind}}": "max by (kind) (job_oldest_queued_seconds)"}),
        Panel("Accepted", "ops", {"{{kind}}": rate("jobs_accepted_total", "kind")}),
        Panel("Ended", "ops", {"{{kind}} {{outcome}}": rate("jobs_finished_total", "kind, outcome")}),
        Panel(
            "Retried, lost, fenced",
            "ops",
            {
                "retried: {{reason}}": rate("job_retries_total", "reason"),
                "redispatched: {{reason}}": rate("jobs_redispatched_total", "reason"),
                "fenced": "sum(rate(jobs_fenced_total[$__rate_interval]))",
            },
        ),
        Panel("Refused by limits", "ops", {"{{policy}}": rate("ratelimit_rejections_total", "policy")}),
        Panel("Webhooks", "ops", {"{{outcome}}": rate("webhook_attempts_total", "outcome")}),
        Panel("Spans of traces", "ops", {"{{outcome}}": rate("trace_spans_total", "outcome")}),
    ),
    "Models, tools, documents": (
        Panel("Model calls", "s", percentiles("gen_ai_client_operation_duration_seconds", "gen_ai_provider_name")),
        Panel(
            "Provider errors",
            "ops",
            {
                "{{provider}} {{code}}": rate("provider_errors_total", "provider, code"),
                "{{provider}} paused": "sum by (provider) (breakers_open)",
            },
        ),
        Panel("Tool calls", "s", percentiles("tool_call_seconds", "tool")),
        Panel("Answer cache", "ops", {"{{result}}": rate("answer_cache_total", "result")}),
        Panel("Searches", "s", percentiles("retrieval_seconds", "mode")),
        Panel("Ingestion", "s", percentiles("ingestion_stage_seconds", "stage")),
    ),
    "What it costs": (
        Panel("Tokens", "ops", {"{{kind}} {{direction}}": rate("tokens_total", "kind, direction")}),
        Panel("Dollars an hour", "currencyUSD", {"{{kind}}": "3600 * " + rate("cost_usd_total", "kind")}),
        Panel(
            "Slots in use",
            "percentunit",
            {"{{queue}}": "sum by (queue) (jobs_running) / sum by (queue) (worker_slots)"},
        ),
        Panel("CPU", "short", {"{{process}}": rate("process_cpu_seconds_total", "process")}),
        Panel("Memory", "bytes", {"{{process}}": "sum by (process) (process_resident_memory_bytes)"}),
        Panel(
            "Machine",
            "percentunit",
            {
                "CPU": "max(system_cpu_utilization_ratio)",
                "memory": "max(system_memory_utilization_ratio)",
                "disk": "max(system_filesystem_utilization_ratio)",
            },
        ),
    ),
}
SOURCE = {"type": "prometheus", "uid": "${source}"}


def build() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, 24, 1)})
        top += 1
        for number, panel in enumerate(row):
            left, line = number % PER_LINE * WIDTH, number // PER_LINE * HEIGHT
            panels.append(_panel(panel) | {"gridPos": _place(left, top + line, WIDTH, HEIGHT)})
        top += (len(row) + PER_LINE - 1) // PER_LINE * HEIGHT
    return {
        "title": "headrace",
        "uid": "headrace",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [panel | {"id": number} for number, panel in enumerate(panels, 1)],
    }


def queries() -> list[str]:
    """Return every query of the dashboard."""
    return [query for row in ROWS.values() for panel in row for query in panel.queries.values()]


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "expr": query, "legendFormat": name, "datasource": SOURCE}
        for number, (name, query) in enumerate(panel.queries.items())
    ]
    defaults = {"unit": panel.unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}}
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


if __name__ == "__main__":
    FILE.write_text(json.dumps(build(), indent=1) + "\n")
