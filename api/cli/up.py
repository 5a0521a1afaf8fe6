"""`up`: the whole system on this machine until Ctrl-C."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping

from api.cli.all_settings import check_all_settings
from api.cli.arguments import path_here, seconds
from api.console.build import is_current
from api.local.demo.documents import ensure_handbook
from api.local.errors import LocalError
from api.local.http_client import Client
from api.local.model_server import PREFIX, ModelServer, find_model_server, wait_until_loaded
from api.local.ports import API_PORT, ERP_PORT, FLOWER_PORT, StackPorts, choose_ports
from api.local.process_output import TerminalOutput
from api.local.processes import launch_command
from api.local.stack import GRACE, GRACE_S, RunningStack, prepare_demo, prepared_stores, refuse_second, running_stack
from api.local.stack_settings import ROOT, StackSettings, settings_from
from api.local.stores.local_stores import Stores
from api.local.supervisor import read_procfile
from graphs.providers.default_model import find_default_problem
from graphs.providers.settings import AUTO, ProviderSettings, has_language_model
from schema.events.notices import NO_LANGUAGE_MODEL

BANNER = """
headrace is up: {url}
  console     {console}   (signs you in once, within ten minutes)
  API docs    {url}/schema/swagger
  Flower      {flower_url}
  API key     {key}   (tenant demo)
  admin key   {admin}
  data        {home}

Next, in another terminal:
  eval "$(./headrace env)"
  ./headrace chat "What is the debt for customer MST 0104985841?"                     an agent asks the demo ERP
  ./headrace chat "According to the handbook, how many days of leave do I have?"      an agent cites a document
  ./headrace chat "What is 17 × 23?"                                                  an agent calculates
  curl -N $HEADRACE_URL/api/chat -H "Authorization: Bearer $HEADRACE_API_KEY" \\
    -H 'Accept: text/event-stream' -H 'Content-Type: application/json' -d '{{"message": "Hello!"}}'
  Any OpenAI SDK works unchanged: OPENAI_BASE_URL and OPENAI_API_KEY are set.
{hint}
Ctrl-C stops everything; accepted jobs are kept.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        f"The API listens on port {API_PORT} (HEADRACE_PORT), Flower on {FLOWER_PORT} (HEADRACE_FLOWER_PORT), the demo's ERP "
        f"on {ERP_PORT}; where one is taken and none was set, a free port is used. What is printed at the start says which."
    )
    parser.add_argument(
        "--grace",
        type=seconds,
        metavar="S",
        help=f"seconds that running jobs and open streams get when stopping (default: {GRACE}, {GRACE_S:g})",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="the model that answers: provider/name as HEADRACE_DEFAULT_MODEL, or local:PATH, a GGUF file for which a "
        "llama-server is started",
    )


def run(arguments: argparse.Namespace) -> int:
    model: str = (arguments.model or "").strip()
    if arguments.model is not None:
        check_model_argument(model, os.environ)
    server = None
    if model.startswith(PREFIX):
        file = path_here(os.path.expanduser(model.removeprefix(PREFIX)))
        server = find_model_server(f"{PREFIX}{file}", os.environ)
    chosen = server.settings if server else {"HEADRACE_DEFAULT_MODEL": model} if model else {}
    environ = {**os.environ, **chosen}
    check_all_settings(environ)
    settings = settings_from(environ)
    refuse_second(settings.home)
    ports = choose_ports(settings)
    grace_s = float(environ.get(GRACE) or GRACE_S) if arguments.grace is None else arguments.grace
    with prepared_stores(settings) as where:
        asyncio.run(serve_until_stopped(settings, where, ports, environ, server, grace_s=grace_s))
    print("headrace: stopped.", file=sys.stderr)
    return 0


def check_model_argument(model: str, environ: Mapping[str, str]) -> None:
    """Raise LocalError unless `--model` names a model that this installation can call, or a file, which is checked later."""
    if not model:
        raise LocalError(
            "--model is empty. Name a model as provider/name, such as ollama/llama3.2:3b, or as local:PATH."
        )
    if model.startswith(PREFIX):
        return
    try:
        settings = ProviderSettings.from_env({**environ, "HEADRACE_DEFAULT_MODEL": model})
    except ValueError as error:
        message = str(error)
        if not message.startswith("HEADRACE_DEFAULT_MODEL"):
            return  # another setting, of which the check of all settings tells
        raise LocalError(message.replace("HEADRACE_DEFAULT_MODEL", "--model", 1)) from None
    problem = find_default_problem(settings)
    if problem is None and model == AUTO and not has_language_model(settings):
        problem = NO_LANGUAGE_MODEL.message
    if problem is not None:
        raise LocalError(f"--model {model}: {problem}")


async def serve_until_stopped(
    settings: StackSettings,
    where: Stores,
    ports: StackPorts,
    environ: Mapping[str, str],
    server: ModelServer | None,
    *,
    grace_s: float,
) -> None:
    stop, stop_now = stop_signals()
    beside = [server.process] if server else []
    names = [*(line.name for line in (*read_procfile(ROOT / "Procfile"), *beside)), "erp", "console"]
    output = TerminalOutput(names, environ=environ)
    building = asyncio.create_task(build_console(output))
    prepare_demo(where, ports)
    stack = running_stack(
        settings,
        where,
        ports,
        output=output,
        environ={"HEADRACE_LOGS": "people" if sys.stdout.isatty() else "json", **environ},
        stop=stop,
        stop_now=stop_now,
        grace_s=grace_s,
        beside=beside,
    )
    async with stack as (running, supervisor):
        if server is not None:
            await wait_until_loaded(server, supervisor, stop)
        if not stop.is_set():
            async with Client(running.url, running.key) as client:
                hint, console = await client.language_model_hint(), await client.console_link()
                print(banner(running, settings, hint, console), flush=True)
                await ensure_handbook(client, settings.home)
        await stop.wait()
        building.cancel()
        print("headrace: stopping; press Ctrl-C again to stop at once.", file=sys.stderr, flush=True)


async def build_console(output: TerminalOutput) -> None:
    """Build the web console in a process of its own, unless it is current; nothing waits for it, and its failure is one of its
    own lines. It ends with this process."""
    if await asyncio.to_thread(is_current):
        return
    process = await asyncio.create_subprocess_exec(
        *launch_command([sys.executable, "-m", "api", "console"], death_signal=signal.SIGTERM),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            output.write("console", line.decode(errors="replace").rstrip())
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Two events: the first Ctrl-C or SIGTERM sets `stop`, the second sets `stop_now`."""
    stop, stop_now = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    return stop, stop_now


def banner(running: RunningStack, settings: StackSettings, hint: str = "", console: str = "") -> str:
    """The text shown once the stack is ready. `hint` says what could be better, if anything; `console` opens the console."""
    admin = f"in {settings.home}/admin.key, and in HEADRACE_ADMIN_KEY after the eval below"
    if running.admin_key is None:
        admin = "printed when this database was first migrated; ./headrace migrate --new-admin-key creates another"
    where = {"console": console or f"{running.url}/console/"}
    where |= {"url": running.url, "flower_url": running.flower_url, "home": settings.home}
    return BANNER.format(key=running.key, admin=admin, hint=f"\n{hint}\n" if hint else "", **where)
