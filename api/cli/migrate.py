"""`migrate`: migrate a database to the current schema; deployments run it before new workers start."""

import argparse
import os

from api.local.errors import LocalError
from api.local.keys import demo_key
from api.local.stack import prepare_schema, running_database_url
from api.local.stack_settings import StackSettings, settings_from
from schema.installation.settings_check import require_valid
from workers.storage.private_files import make_private_folder

ADMIN_KEY_MESSAGE = """API key of the platform admin, shown only once: {key}
It has every right, so keep it safe. To create another: ./headrace migrate --new-admin-key"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--demo", action="store_true", help="also create the tenant demo and print its API key")
    parser.add_argument(
        "--new-admin-key", action="store_true", help="also create another API key for the platform admin and print it"
    )


def run(arguments: argparse.Namespace) -> int:
    from schema.installation.bootstrap import add_platform_admin, ensure_platform_admin

    require_valid(os.environ, settings_from)
    settings = settings_from(os.environ)
    database_url = _database_url(settings, running=arguments.new_admin_key)
    make_private_folder(settings.home)
    key = demo_key(settings.home) if arguments.demo else None
    changed = prepare_schema(database_url, key, settings.role_urls)
    print("The schema has been migrated." if changed else "The schema is already up to date.")
    if key:
        print(f"API key of the tenant demo: {key}")
    made = add_platform_admin(database_url) if arguments.new_admin_key else ensure_platform_admin(database_url)
    if made:
        print(ADMIN_KEY_MESSAGE.format(key=made))
    return 0


def _database_url(settings: StackSettings, *, running: bool) -> str:
    """Return the URL of the configured database; with `running`, the embedded one of the running stack will do."""
    if running:
        return running_database_url(settings)
    if settings.database_url is None:
        raise LocalError(
            "HEADRACE_DATABASE_URL is not set. (./headrace up migrates its embedded Postgres automatically.)"
        )
    return settings.database_url
