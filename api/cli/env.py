"""`env`: print exports for the running stack, for `eval "$(./headrace env)"`."""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping

from dotenv import dotenv_values

from api.local.errors import LocalError
from api.local.stack import RunningStack, find_running
from api.local.stack_settings import ROOT, home_from

OPENAI = ("OPENAI_BASE_URL", "OPENAI_API_KEY")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without-openai",
        action="store_true",
        help="leave OPENAI_BASE_URL and OPENAI_API_KEY of this shell as they are",
    )


def run(arguments: argparse.Namespace) -> int:
    running = find_running(home_from(os.environ))
    if running is None:
        raise LocalError("headrace is not running here. Start it with ./headrace up in another terminal.")
    names = exports(running)
    if arguments.without_openai:
        names = {name: value for name, value in names.items() if name not in OPENAI}
    elif lost := replaced(names, os.environ, dotenv_values(ROOT / ".env")):
        print(
            f"headrace: {' and '.join(lost)} of this shell had another value, and will name headrace, which OpenAI's SDKs ask "
            "then. To keep yours: ./headrace env --without-openai. A provider's key for ./headrace up is safe in .env.",
            file=sys.stderr,
        )
    print(shell_exports(names))
    return 0


def shell_exports(names: Mapping[str, str]) -> str:
    """Return lines that a shell evaluates."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in names.items())


def replaced(names: Mapping[str, str], environ: Mapping[str, str], file: Mapping[str, str | None]) -> list[str]:
    """Return which of OpenAI's variables have a value in the shell that is about to be lost; what is in `.env` isn't."""
    return [name for name in OPENAI if environ.get(name, names[name]) not in (names[name], file.get(name))]


def exports(running: RunningStack) -> dict[str, str]:
    """Return what a shell needs to use a stack, also by the SDKs of OpenAI."""
    variables = {
        "HEADRACE_URL": running.url,
        "HEADRACE_API_KEY": running.key,
        "OPENAI_BASE_URL": f"{running.url}/v1",
        "OPENAI_API_KEY": running.key,
    }
    if running.admin_key:
        variables["HEADRACE_ADMIN_KEY"] = running.admin_key
    return variables
