"""An environment for each client, made when it is first run: nothing of it is a dependency of headrace."""

import json
import subprocess
import sys
from pathlib import Path

from tests.clients.clients import Client
from tests.system import ROOT

ENVIRONMENTS = ROOT / ".headrace" / "clients"
CHECKS = Path(__file__).parent


class NotInstalled(Exception):
    """The client's packages can't be installed; the text says what the installer said last."""


def install(client: Client, *, fresh: bool = False) -> Path:
    """Return the folder of a client's environment, which is made if it isn't there. Raises NotInstalled."""
    folder = ENVIRONMENTS / client.name
    stamp, wanted = folder / "packages.json", json.dumps(client.packages)
    if not fresh and stamp.exists() and stamp.read_text() == wanted:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for command in _commands(client, folder):
        _run(command, folder)
    stamp.write_text(wanted)
    return folder


def _commands(client: Client, folder: Path) -> list[list[str]]:
    if client.language == "node":
        (folder / "package.json").write_text('{"private": true}')
        return [["npm", "install", "--no-audit", "--no-fund", *client.packages]]
    python = str(folder / "venv" / "bin" / "python")
    return [
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *client.packages],
    ]


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotInstalled(f"{command[0]} is not installed") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotInstalled(f"{Path(command[0]).name} failed: {last[0] if last else done.returncode}")


def version_of(client: Client, folder: Path) -> str:
    """Return the version of a client's first package."""
    package = client.package
    if client.language == "node":
        return json.loads((folder / "node_modules" / package / "package.json").read_text())["version"]
    code = f"from importlib.metadata import version; print(version({package!r}))"
    command = [str(folder / "venv" / "bin" / "python"), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def check_command(client: Client, folder: Path) -> list[str]:
    """Return the command that runs a client's check. Node looks for packages beside the script, so it is copied there."""
    if client.language == "python":
        return [str(folder / "venv" / "bin" / "python"), str(CHECKS / client.folder / "check.py")]
    script = folder / "check.mjs"
    script.write_text((CHECKS / client.folder / "check.mjs").read_text())
    own = folder / "node_modules" / ".bin" / "node"
    return [str(own) if own.exists() else "node", str(script)]
