"""`console`: build the web console, or say why that can't be done."""

import argparse
import os
import sys

from api.console.assets import DIST
from api.console.build import build, is_current


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(arguments: argparse.Namespace) -> int:
    if is_current():
        print("The console is built; nothing has changed since.")
        return 0
    build(os.environ, lambda text: print(text, file=sys.stderr, flush=True))
    size = sum(file.stat().st_size for file in DIST.rglob("*.br"))
    print(
        f"The console is built ({size / 1000:.0f} kB, compressed). A running headrace serves it at /console/ from now on."
    )
    return 0
