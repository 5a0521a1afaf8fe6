"""`env`: print exports for the running stack, for `eval "$(./headrace env)"`."""

import argparse
import os
import shlex

from api.local.errors import LocalError
from api.local.stack import RunningStack, find_running
from api.local.stack_settings import home_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(arguments: argparse.Namespace) -> int:
    running = find_running(home_from(os.environ))
    if running is None:
        raise LocalError("headrace is not running here. Start it with ./headrace up in another terminal.")
    print(exports(running))
    return 0


def exports(running: RunningStack) -> str:
    variables = {
        "HEADRACE_URL": running.url,
        "HEADRACE_API_KEY": running.key,
        "OPENAI_BASE_URL": f"{running.url}/v1",
        "OPENAI_API_KEY": running.key,
    }
    if running.admin_key:
        variables["HEADRACE_ADMIN_KEY"] = running.admin_key
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
