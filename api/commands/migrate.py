"""`migrate`: bring a database to today's schema, for deployments, which run it before new workers start."""

import argparse
import os

from api.embedded.errors import LocalError
from api.stack import demo_key, prepare_schema, settings_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--demo", action="store_true", help="also make the tenant demo, and print its API key")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_from(os.environ)
    if settings.database_url is None:
        raise LocalError("HEADRACE_DATABASE_URL is not set. (./headrace up migrates its embedded Postgres by itself.)")
    settings.home.mkdir(parents=True, exist_ok=True)
    key = demo_key(settings.home) if arguments.demo else None
    changed = prepare_schema(settings.database_url, key)
    print("The schema was brought up to date." if changed else "The schema is up to date.")
    if key:
        print(f"API key of the tenant demo: {key}")
    return 0
