"""The compose files and the Dockerfile: they start what the Procfile starts, with settings that exist, and agree on ports and
times."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from api.local.stack_settings import settings_from as owner_settings_from
from api.settings import ApiSettings
from schema.installation.settings_check import require_valid
from schema.monitoring import dashboard
from tests.house.deployment_files import (
    COMPOSE,
    DOCKERFILE,
    FOLDER,
    MIGRATE,
    PRODUCTION,
    ROOT,
    compose,
    image_environment,
    make_secrets,
    ours,
    procfile_commands,
    seconds,
    settings,
)
from workers.settings import WorkerSettings, settings_from

FILES = pytest.mark.parametrize("name", COMPOSE)
MARGIN_S = 10


@FILES
def test_compose_runs_every_line_of_the_procfile(name: str) -> None:
    started = {role: spec["command"] for role, spec in ours(name).items() if role != "migrate"}
    assert procfile_commands() == started
    assert MIGRATE in ours(name)["migrate"]["command"]


@FILES
def test_every_setting_of_a_container_exists(name: str) -> None:
    named = {key for spec in ours(name).values() for key in spec["environment"]} | image_environment().keys()
    assert set() == named - settings()


@FILES
def test_containers_have_longer_to_stop_than_workers_let_jobs_run(name: str) -> None:
    grace_s = WorkerSettings.grace_s
    assert {} == {
        role: spec["stop_grace_period"]
        for role, spec in ours(name).items()
        if seconds(spec["stop_grace_period"]) < grace_s + MARGIN_S
    }


@FILES
def test_each_service_is_asked_whether_it_works(name: str) -> None:
    """Those of headrace by the image's own check, if they have none of theirs."""
    assert "HEALTHCHECK" in DOCKERFILE
    unasked = [role for role, spec in compose(name)["services"].items() if "healthcheck" not in spec]
    assert [] == [role for role in unasked if role not in ours(name)]


@FILES
def test_only_the_proxy_is_reached_from_other_machines(name: str) -> None:
    published = [(role, port) for role, spec in compose(name)["services"].items() for port in spec.get("ports", [])]
    assert [] == [pair for pair in published if not pair[1].startswith("127.0.0.1:") and pair[0] != "proxy"]
    inside = {role: port.split(":")[-1] for role, port in published}
    assert image_environment().get("HEADRACE_FLOWER_PORT", str(WorkerSettings.flower_port)) == inside["flower"]


def test_containers_of_production_can_do_little() -> None:
    for spec in ours(PRODUCTION).values():
        assert (True, ["ALL"], ["no-new-privileges:true"]) == (
            spec["read_only"],
            spec["cap_drop"],
            spec["security_opt"],
        )


def test_secrets_of_production_are_files() -> None:
    text = COMPOSE[PRODUCTION].read_text()
    assert [] == re.findall(r"^ *\w*(?:PASSWORD|TOKEN|SIGN_IN|_KEYS?|DATABASE_URL|REDIS_URL): .*", text, re.MULTILINE)
    used = {
        entry if isinstance(entry, str) else entry["source"]
        for spec in compose(PRODUCTION)["services"].values()
        for entry in spec.get("secrets", [])
    }
    assert compose(PRODUCTION)["secrets"].keys() == used


def test_what_production_mounts_is_there() -> None:
    mounts = [mount for spec in compose(PRODUCTION)["services"].values() for mount in spec.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert dashboard.FILE in {(FOLDER / file).resolve() for file in files}
    assert [] == [file for file in files if not (FOLDER / file).is_file()]
    named = {mount.split(":")[0] for mount in mounts if mount[0] not in "./$"}
    assert compose(PRODUCTION)["volumes"].keys() == named


def test_prometheus_scrapes_every_process_of_production_once() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert procfile_commands().keys() == set(found["names"])
    assert image_environment()["HEADRACE_METRICS_PORT"] == str(found["port"])
    services = compose(PRODUCTION)["services"]
    (shared,) = services["prometheus"]["networks"]
    assert [] == [role for role in found["names"] if shared not in services[role]["networks"]]


def test_alerts_and_the_dashboard_of_production_find_their_way() -> None:
    """What is mounted is what the configurations name, and services ask each other at the ports that they listen at."""
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    (source,) = yaml.safe_load((FOLDER / "grafana/datasources.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards.yaml").read_text())["providers"]
    (alertmanager,) = config["alerting"]["alertmanagers"]
    services = compose(PRODUCTION)["services"]
    inside = {
        name: {m.split(":")[0]: m.split(":")[1] for m in spec.get("volumes", [])} for name, spec in services.items()
    }
    assert f"/etc/prometheus/{config['rule_files'][0]}" == inside["prometheus"]["../../schema/monitoring/alerts.yaml"]
    assert inside["grafana"]["../../schema/monitoring/dashboard.json"].startswith(f"{provider['options']['path']}/")
    asked = [source["url"].removeprefix("http://"), *alertmanager["static_configs"][0]["targets"]]
    for address in asked:
        name, port = address.split(":")
        assert any(f"127.0.0.1:{port}/" in part for part in services[name]["healthcheck"]["test"])
        assert {"outside"} == set(services[name]["networks"]) & set(services["grafana"]["networks"])
    (variable,) = json.loads(dashboard.FILE.read_text())["templating"]["list"]
    assert (variable["query"], True) == (source["type"], source["isDefault"])
    for name, file in (("prometheus", "prometheus.yaml"), ("alertmanager", "alertmanager.yaml")):
        named = set(re.findall(r"/run/secrets/(\w+)", (FOLDER / file).read_text()))
        assert set(services[name]["secrets"]) == named, "what it reads, it is given"


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
def test_the_configuration_of_productions_prometheus_is_one(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    shutil.copy(dashboard.FILE.parent / "alerts.yaml", tmp_path)
    text = (FOLDER / "prometheus.yaml").read_text().replace("/run/secrets/metrics_token", "token")
    (tmp_path / "prometheus.yaml").write_text(text)
    checked = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yaml"], capture_output=True, text=True, check=False
    )
    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_the_proxy_knows_the_api_and_the_api_the_proxy() -> None:
    caddyfile = (FOLDER / "Caddyfile").read_text()
    assert [("api", str(ApiSettings.port))] == re.findall(r"name (\w+)\n\s+port (\d+)", caddyfile)
    network = compose(PRODUCTION)["networks"]["proxy"]["ipam"]["config"][0]["subnet"]
    assert network == ours(PRODUCTION)["api"]["environment"]["HEADRACE_TRUSTED_PROXIES"]
    assert ["proxy"] == compose(PRODUCTION)["services"]["proxy"]["networks"]


def test_the_image_has_the_versions_of_the_local_environment() -> None:
    script = (ROOT / "headrace").read_text()
    pinned = dict(re.findall(r'^(UV|TORCH|CPU_INDEX) = "(.*)"', script, re.MULTILINE))
    assert {pinned["UV"]} == set(re.findall(r"uv==[\d.]+", DOCKERFILE))
    assert {pinned["TORCH"]} == set(re.findall(r"torch==[\d.]+\d", DOCKERFILE))
    assert pinned["CPU_INDEX"] in DOCKERFILE
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE), "Kubernetes wants a number"


def test_the_image_leaves_out_what_it_does_not_run() -> None:
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".git", "tests", "docs"} <= set(left_out)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_secrets_that_the_page_makes_are_what_production_needs(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    wanted = [spec["file"].removeprefix("${SECRETS}/") for spec in compose(PRODUCTION)["secrets"].values()]
    assert [] == [name for name in wanted if not (folder / name).stat().st_size]
    keys = {"HEADRACE_SECRET_KEYS_FILE": str(folder / "secret.keys")}
    require_valid(keys | read_env(folder / "processes.env"), settings_from, ApiSettings.from_env)
    require_valid(keys | read_env(folder / "owner.env"), owner_settings_from)
    owner = read_env(folder / "owner.env")
    assert read_env(folder / "processes.env").items() <= owner.items()
    assert (folder / "postgres_password").read_text().strip() in owner["HEADRACE_DATABASE_URL"]
    assert [] == [file for file in folder.iterdir() if file.is_file() and file.stat().st_mode & 0o777 != 0o444]
    assert 0o700 == folder.stat().st_mode & 0o777


def read_env(file: Path) -> dict[str, Any]:
    return dict(dotenv_values(file))
