"""`--profile`: headrace's processes with a sampler inside (`sampler/`), and what it saw."""

import json
from pathlib import Path

from tests.system import ROOT

FOLDER = Path(__file__).parent / "sampler"
MAX_SHOWN = 22


def sampler_environment(into: Path) -> dict[str, str]:
    """Return the settings that put the sampler into every Python process; counts go to `into`."""
    return {"PYTHONPATH": f"{FOLDER}:{ROOT}", "HEADRACE_SAMPLES": str(into / "samples")}


def sample_report(folder: Path) -> str:
    """Return for each process where Python code spent its time: shares of all samples that were not idle."""
    parts = []
    for file in sorted(folder.glob("samples-*.json")):
        counts = json.loads(file.read_text())
        if counts["seen"] < 200:
            continue
        title = " ".join(counts["argv"][-3:])
        parts.append(f"\n{title}: {counts['seen']} samples")
        for name, key in (("in the function itself", "alone"), ("in it and what it calls", "within")):
            parts.append(f"  {name}")
            ordered = sorted(counts[key].items(), key=lambda item: -item[1])[:MAX_SHOWN]
            parts += [f"  {100 * count / counts['seen']:6.1f} %  {_short(place)}" for place, count in ordered]
    return "\n".join(parts)


def _short(place: str) -> str:
    path, line, name = place.rsplit(":", 2)
    for root in (f"{ROOT}/", "site-packages/", "python3.11/"):
        path = path.rpartition(root)[2] or path
    return f"{path}:{line} {name}"
