"""What the files of a deployment say, read without Docker or a cluster: compose files, the Dockerfile, Kubernetes manifests."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "deployment"
KUBERNETES = FOLDER / "kubernetes"
PRODUCTION = "compose.prod.yaml"
COMPOSE = {path.name: path for path in (ROOT / "compose.yaml", FOLDER / PRODUCTION)}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MIGRATE = "python -m api migrate"


def procfile_commands() -> dict[str, str]:
    """Return the command of each process, by its name."""
    return dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def settings() -> set[str]:
    """Return every setting that `.env.example` names."""
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def compose(name: str) -> dict[str, Any]:
    return yaml.safe_load(COMPOSE[name].read_text())


def ours(name: str) -> dict[str, dict[str, Any]]:
    """Return the services of a compose file that run the image of headrace."""
    image = re.compile(r"headrace$|\$\{IMAGE:-headrace\}$")
    return {role: spec for role, spec in compose(name)["services"].items() if image.match(spec["image"])}


def seconds(duration: str) -> int:
    """Return the seconds of a duration as compose writes it."""
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def image_environment() -> dict[str, str]:
    """Return the settings that the image has."""
    return dict(re.findall(r"\b(HEADRACE_\w+)=(\S+)", "\n".join(re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE))))


def make_secrets(folder: Path) -> None:
    """Make the files with secrets as docs/deployment.md says."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    (block,) = [text for text in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "openssl rand" in text]
    environ = {"SECRETS": str(folder), "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", "-euc", block], env=environ, check=True)


def manifests() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object that is written down, with its file; those of kustomize and its patches are not objects."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name != "kustomization.yaml" and path.parent.name != "pod":
            yield from ((path, found) for found in yaml.safe_load_all(path.read_text()))


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    """Return the objects of these kinds, by name."""
    return {found["metadata"]["name"]: found for _, found in manifests() if found["kind"] in kinds}


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return found


def patches() -> list[dict[str, Any]]:
    """Return what is put into every pod."""
    return [
        yaml.safe_load((KUBERNETES / "components/pod" / name).read_text()) for name in ("pod.yaml", "settings.yaml")
    ]


def named_in(found: Any, key: str) -> Iterator[Any]:
    """Every value of `key`, however deep."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == key:
                yield value
            yield from named_in(value, key)
    elif isinstance(found, list):
        for value in found:
            yield from named_in(value, key)
