"""The metrics, the alerts and the dashboard: they fit each other, and promtool accepts them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.core import HistogramMetricFamily

from schema.metrics.catalog import FAMILIES
from schema.metrics.family import MAX_CHILDREN, OTHER, Family
from schema.metrics.quantiles import distributions
from schema.monitoring import dashboard
from tests.schema.metrics.alert_cases import CASES

MONITORING = Path(dashboard.__file__).parent
ALERTS = MONITORING / "alerts.yaml"
OF_MACHINES = (
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"),
    *("system_cpu_utilization_ratio", "system_memory_utilization_ratio", "system_filesystem_utilization_ratio"),
)
PROMETHEUS_OWN = {"up"}
WORDS_OF_QUERIES = r"\b(?:by|le|on|without|absent|histogram_quantile|increase|label_replace|max|min|rate|sum)\b"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def names_in(query: str) -> set[str]:
    """Return the metrics that a query names."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without) \([^)]*\)', " ", query)
    bare = re.sub(WORDS_OF_QUERIES, " ", bare)
    return set(re.findall(r"[a-z][a-z0-9_:]{1,}", bare))


def known_names() -> set[str]:
    known = {*OF_MACHINES, *PROMETHEUS_OWN, *(rule["record"] for rule in rules() if "record" in rule)}
    for family in FAMILIES:
        suffixes = ("_bucket", "_sum", "_count") if family.kind is Histogram else ("",)
        known |= {family.name + suffix for suffix in suffixes}
    return known


def test_what_rules_and_dashboard_ask_for_is_counted() -> None:
    asked = set[str]().union(*map(names_in, [*(rule["expr"] for rule in rules()), *dashboard.queries()]))
    assert set() == asked - known_names()


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set[str]().union(*map(names_in, dashboard.queries()))
    missing = {family.name for family in FAMILIES} - {re.sub("_bucket$", "", name) for name in shown}
    assert {"cost_usd_total", "webhook_delivery_seconds"} >= missing


def test_the_dashboard_is_what_its_code_writes() -> None:
    assert dashboard.build() == json.loads(dashboard.FILE.read_text())


def test_no_label_is_a_tenants_or_a_users() -> None:
    labels = {label for family in FAMILIES for label in family.labels}
    assert set() == labels & {"tenant", "tenant_id", "user", "user_id", "model", "session", "job_id", "agent", "key"}


def test_names_have_units_and_counters_their_suffix() -> None:
    for family in FAMILIES:
        assert (family.kind is Counter) == family.name.endswith("_total"), family.name
        assert family.kind is not Histogram or family.name.endswith("_seconds"), family.name


def test_labels_that_go_wrong_make_no_more_series_than_a_bound() -> None:
    family = Family(Counter, "wrong_labels_total", "A test's.", ("text",))
    for number in range(MAX_CHILDREN + 50):
        family.of(str(number)).inc()
    assert 50 == family.of("yet another")._value.get()
    assert family.of(OTHER) is family.of("and another")


def test_percentiles_are_estimated_within_a_bucket() -> None:
    family = HistogramMetricFamily("h", "A test's.", labels=["kind"])
    family.add_metric(["chat"], buckets=[("1.0", 50), ("2.0", 100), ("+Inf", 100)], sum_value=100.0)
    (one,) = distributions(family)
    assert ({"kind": "chat"}, 100, 1.0, 1.0, 1.9) == (
        one.labels,
        one.count,
        one.mean,
        one.quantile(0.5),
        one.quantile(0.95),
    )


def test_percentiles_above_the_last_bound_are_that_bound() -> None:
    family = HistogramMetricFamily("h", "A test's.", labels=[])
    family.add_metric([], buckets=[("1.0", 0), ("+Inf", 10)], sum_value=50.0)
    (one,) = distributions(family)
    assert 1.0 == one.quantile(0.95)


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr


@needs_promtool
def test_every_alert_fires_and_clears(tmp_path: Path) -> None:
    alerts = [rule["alert"] for rule in rules() if "alert" in rule]
    assert sorted(alerts) == sorted(CASES)
    tests = [case.as_test(name) for name, case in CASES.items()]
    file = tmp_path / "alerts_test.yaml"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "15s", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(ALERTS.read_text())
    token = tmp_path / "headrace.token"
    token.write_text("a token of 16 or more")
    config = (MONITORING / "prometheus.yaml").read_text().replace("/etc/prometheus/headrace.token", str(token))
    file = tmp_path / "prometheus.yaml"
    file.write_text(config)
    done = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
