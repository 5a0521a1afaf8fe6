"""`lock`: regenerate `constraints.txt`, the exact versions and hashes of everything but torch."""

# ruff: noqa: S603 (the commands are ours, never a user's text)

import argparse
import re
import subprocess
import sys
from pathlib import Path

from api.local.errors import LocalError
from workers.storage.private_files import make_private_folder

ROOT = Path(__file__).resolve().parents[2]

EXCLUDED = re.compile(r"(torch|triton|nvidia-|cuda-)[\w.-]*==")
"""torch comes by its own line in `headrace` (the build differs by machine), and these come only with a GPU's torch."""

HEADER = """\
# The exact version and hashes of every package, for Python 3.11 and newer on every platform. Written by `make lock`.
# Passed to uv with -c: a package in this list is installed only if its hash is here. torch is not in it: `headrace`
# pins its version, and which build fits depends on the machine.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--upgrade", action="store_true", help="upgrade to the newest versions that pyproject.toml allows"
    )


def run(arguments: argparse.Namespace) -> int:
    target = ROOT / "constraints.txt"
    # Without the old file as a preference, uv would always take the newest.
    draft = ROOT / ".headrace" / "constraints.draft"
    make_private_folder(draft.parent)
    draft.write_text(target.read_text() if target.exists() and not arguments.upgrade else "")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    options = [
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--group",
        "dev",
        "--group",
        "console",
        "--output-file",
        str(draft),
    ]
    done = subprocess.run([*command, *options, "pyproject.toml"], cwd=ROOT, check=False)
    if done.returncode:
        draft.unlink()
        raise LocalError("uv could not resolve pyproject.toml (see above); constraints.txt is unchanged.")
    blocks = re.split(r"\n(?=\S)", draft.read_text().strip())
    kept = [block for block in blocks if not EXCLUDED.match(block)]
    target.write_text(HEADER + "\n".join(kept) + "\n")
    draft.unlink()
    print(f"constraints.txt now pins {sum('==' in block for block in kept)} packages.")
    return 0
