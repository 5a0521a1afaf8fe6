"""The Kubernetes manifests: they start what the Procfile starts, fit each other, and are what Kubernetes' schemas say.

The last is only checked where `kubectl` renders the overlays and the package `kubernetes-validate` has the schemas.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from schema.job_kinds import QUEUES
from tests.house.deployment_files import (
    DOCKERFILE,
    KUBERNETES,
    MIGRATE,
    ROOT,
    container,
    image_environment,
    manifests,
    named_in,
    of_kind,
    patches,
    procfile_commands,
    settings,
)
from workers.settings import WorkerSettings

RENDERED = ("overlays/small", "overlays/production", "migrate")
WORKLOADS = ("Deployment", "Job")
OTHERS_KINDS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor"}
"""Of KEDA and the Prometheus operator: their schemas are not among Kubernetes' own."""
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def test_there_is_a_deployment_for_every_line_of_the_procfile_and_a_job_that_migrates() -> None:
    started = {name: " ".join(container(found)["args"]) for name, found in of_kind(*WORKLOADS).items()}
    assert {**procfile_commands(), "migrate": MIGRATE} == started


def test_every_manifest_is_part_of_a_kustomization() -> None:
    named = set[Path]()
    for path in KUBERNETES.rglob("kustomization.yaml"):
        found = yaml.safe_load(path.read_text())
        entries = [*found.get("resources", []), *found.get("components", [])]
        entries += [patch["path"] for patch in found.get("patches", []) if "path" in patch]
        named |= {(path.parent / entry).resolve() for entry in entries}
    assert set() == {path for path in named if not path.exists()}
    assert set() == {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"} - named


def test_every_setting_of_a_pod_exists() -> None:
    found = [*patches(), *(one for _, one in manifests())]
    variables = {entry["name"] for entries in named_in(found, "env") for entry in entries}
    literals = [
        literal
        for path in KUBERNETES.rglob("kustomization.yaml")
        for values in named_in(yaml.safe_load(path.read_text()), "literals")
        for literal in values
    ]
    assert literals
    assert set() == (variables | {literal.partition("=")[0] for literal in literals}) - settings()
    assert set() == {key for key in named_in(found, "key") if key.isupper()} - settings()


def test_pods_have_longer_to_stop_than_workers_let_jobs_run() -> None:
    times = {name: found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] for name, found in deployments()}
    assert {} == {name: time for name, time in times.items() if time < WorkerSettings.grace_s + 10}


def deployments() -> list[tuple[str, dict[str, Any]]]:
    return list(of_kind("Deployment").items())


def test_pods_run_as_the_user_of_the_image_and_can_do_little() -> None:
    pod, _ = (patch["spec"]["template"]["spec"] for patch in patches())
    assert [f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"] == re.findall(
        r"^USER (.*)$", DOCKERFILE, re.MULTILINE
    )
    (own,) = pod["containers"]
    assert (True, ["ALL"]) == (
        own["securityContext"]["readOnlyRootFilesystem"],
        own["securityContext"]["capabilities"]["drop"],
    )
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]


def test_ports_are_those_of_the_image_and_probes_name_them() -> None:
    _, common = patches()
    (metrics,) = common["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert image_environment()["HEADRACE_METRICS_PORT"] == str(metrics["containerPort"])
    assert {f"{metrics['containerPort']}", "8000"} == set(re.findall(r"\d+", DOCKERFILE.partition("EXPOSE")[2])[:2])
    for name, found in deployments():
        ports = {"metrics", *(port["name"] for port in container(found).get("ports", []))}
        assert "livenessProbe" in container(found), name
        assert set() == set(named_in(container(found), "port")) - ports, name
    assert ["http"] == [port["targetPort"] for port in of_kind("Service")["api"]["spec"]["ports"]]


def test_each_process_but_flower_has_a_disruption_budget() -> None:
    assert set(procfile_commands()) - {"flower"} == of_kind("PodDisruptionBudget").keys()


def test_what_scales_asks_for_queues_that_are_there() -> None:
    asked = re.findall(r"queue_load\('(\w+)'\)", (KUBERNETES / "components/keda/scaling.yaml").read_text())
    assert asked == list(of_kind("ScaledObject"))
    assert set() == set(asked) - set(QUEUES)
    scaled = {found["spec"]["scaleTargetRef"]["name"] for found in of_kind("ScaledObject").values()}
    assert scaled == set(asked)


def test_the_page_makes_every_secret_that_a_pod_wants() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    made = re.findall(r"create secret generic (\S+)", page)
    found = [*patches(), *(one for _, one in manifests())]
    wanted = {value["name"] for value in named_in(found, "secretRef")} | set(named_in(found, "secretName"))
    assert wanted - {"headrace-tls"} | {"headrace-scaler"} == set(made)  # cert-manager makes the other


@needs_kubectl
@pytest.mark.parametrize("folder", RENDERED)
def test_overlays_render_to_what_the_schemas_of_kubernetes_say(folder: str) -> None:
    done = subprocess.run(["kubectl", "kustomize", KUBERNETES / folder], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    rendered = [found for found in yaml.safe_load_all(done.stdout) if found["kind"] not in OTHERS_KINDS]
    workloads = [found for found in rendered if found["kind"] in WORKLOADS]
    assert workloads
    for found in workloads:
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert found["spec"].get("selector", {}).get("matchLabels", {}).items() <= labels.items()
        assert container(found)["securityContext"]["readOnlyRootFilesystem"]
        assert re.match(r"registry\.example\.com/headrace:", container(found)["image"])
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate").validate
    for found in rendered:
        validate(found, "1.37", strict=True)
