"""What each process loads: memory at rest is imports, and what a process never uses is not to be among them."""

import subprocess
import sys

import pytest

from tests.system import ROOT

HEAVY = {"alembic", "langchain_core", "langgraph", "numpy", "onnxruntime", "redis", "sqlalchemy", "sqlglot", "torch"}

FLOWER = """
from workers.celery.app import build_app
from workers.celery.flower import add_nosniff_to_static_files
app = build_app("redis://127.0.0.1:1/0", tasks=False)
app.loader.import_default_modules()
add_nosniff_to_static_files()
"""
WORKER = """
import workers.celery.consumer, workers.celery.pool, workers.context
from tools.registry import builtin_tools
from workers.celery.app import build_app
build_app("redis://127.0.0.1:1/0")
builtin_tools()
"""


@pytest.mark.parametrize(
    ("program", "allowed"),
    [
        (FLOWER, {"redis"}),
        ("import workers.scheduler", set()),
        ("import api.cli.up, api.local.stack, schema.installation.migrate", set()),
        (WORKER, {"langchain_core", "langgraph", "numpy", "redis"}),
    ],
    ids=["flower", "scheduler", "up", "worker"],
)
def test_a_process_loads_nothing_heavy_that_it_never_uses(program: str, allowed: set[str]) -> None:
    program += f"\nimport sys\nprint(*({HEAVY} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= allowed
