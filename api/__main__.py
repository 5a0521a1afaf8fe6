"""`python -m api COMMAND`: the entry point behind `./headrace`. It reads the environment and `.env`.

Imports are lazy: `chat` and `env` answer at once because they load neither Litestar nor the stores.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

COMMANDS = {
    "demo": ("demo", "start everything, show on real input what headrace does, stop"),
    "up": ("up", "start everything and serve until Ctrl-C"),
    "env": ("env", 'print shell exports for the running stack: eval "$(./headrace env)"'),
    "chat": ("client.chat", "stream a chat to the terminal"),
    "webhooks": ("client.webhooks", "listen: receive webhooks on this machine, verify and print them"),
    "benchmark": ("client.benchmark", "measure models, and show the figures as they come"),
    "jobs": ("client.jobs", "list jobs; --follow ID prints the events of one"),
    "top": ("client.top", "show jobs, queues, workers and tokens per second as they change"),
    "ingest": ("client.ingest", "upload documents and follow them until they are searchable"),
    "test": ("checks", "run the tests"),
    "check": ("checks", "run every check: lint, format, types, import rules, tests"),
    "bench": ("checks", "measure speed and throughput against a simulated model"),
    "chaos": ("checks", "kill processes under load and verify that no job is lost"),
    "clients": ("checks", "run clients that others made against it: SDKs and frameworks"),
    "console": ("console", "build the web console, which up does by itself"),
    "doctor": ("doctor", "check this machine and say how to fix what is wrong"),
    "serve": ("serve", "run the API process alone, as the Procfile does"),
    "migrate": ("migrate", "migrate the database at HEADRACE_DATABASE_URL to the current schema"),
    "upgrade": ("upgrade", "--check: say what a migration of the database would do, and change nothing"),
    "rotate-keys": ("rotate_keys", "re-encrypt stored secrets with the newest key; --new creates one"),
    "backup": ("backup", "write the database and the stored files to one file, while everything runs"),
    "restore": ("restore", "put a backup into an empty installation, all of it or nothing"),
    "import": ("imports", "import conversations and people of other programs into a tenant"),
    "certificates": ("certificates", "list, upload, make, order and renew what the API serves TLS with"),
    "lock": ("lock", "regenerate constraints.txt"),
}
"""Command → its module in `api/cli/`, and one line of help. `headrace` lists the same commands; a house test compares them."""

PASSTHROUGH_COMMANDS = {"test", "check", "bench", "chaos", "clients"}
"""Commands that pass their arguments on unchanged, and run without `.env`: tests must not see a developer's keys."""


CLIENT_COMMANDS = {"env", "chat", "benchmark", "jobs", "top", "ingest", "webhooks", "certificates"}
"""Commands that read only who to talk to; those that read more settings check them all themselves."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./headrace", description="A backend for AI agents built around a job queue.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = arguments[0] if arguments else ""
    for name, (file, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=summary, description=summary, add_help=name not in PASSTHROUGH_COMMANDS
        )
        if name == chosen and name not in PASSTHROUGH_COMMANDS:
            importlib.import_module(f"api.cli.{file}").add_arguments(subparser)
    if chosen in PASSTHROUGH_COMMANDS:
        parsed = argparse.Namespace(command=chosen, rest=arguments[1:])
    else:
        load_dotenv()
        parsed = parser.parse_args(arguments)
    return run(COMMANDS[parsed.command][0], parsed)


def run(file: str, arguments: argparse.Namespace) -> int:
    """Run a command. Errors become a message on stderr and an exit status here."""
    from api.local.errors import PortTaken
    from schema.errors import ClusterRefused, HeadraceError, LoginRefused, MetricsPortTaken
    from schema.installation.settings_check import SettingsInvalid, require_valid
    from workers.process_limits import keep_files_private

    keep_files_private()
    try:
        if arguments.command in CLIENT_COMMANDS:
            require_valid(os.environ)
        return importlib.import_module(f"api.cli.{file}").run(arguments)
    except SettingsInvalid as error:
        print(f"headrace: {error.message}", file=sys.stderr)
        return 2
    except HeadraceError as error:
        print(f"headrace: {error.message}", file=sys.stderr)
        return 2 if isinstance(error, LoginRefused | ClusterRefused | MetricsPortTaken | PortTaken) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left, as `| head` does; without this, closing stdout would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def load_dotenv() -> None:
    """Read `.env` at the root; variables that are already set win, but for OpenAI's where `./headrace env` has set them:
    whoever evaluated that has not changed the provider."""
    if os.environ.get("HEADRACE_URL") and os.environ.get("OPENAI_BASE_URL") == f"{os.environ['HEADRACE_URL']}/v1":
        del os.environ["OPENAI_BASE_URL"]
        os.environ.pop("OPENAI_API_KEY", None)
    if (ROOT / ".env").exists():
        import dotenv

        dotenv.load_dotenv(ROOT / ".env", override=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
