"""`webhooks listen`: a receiver on this machine that verifies what it is sent, and prints it."""

import argparse
import asyncio
import json
import os
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

from api.cli.arguments import port, positive
from api.cli.client.chat import dim, own_authority, server_and_key
from api.local.errors import LocalError
from api.local.http_client import Client
from api.local.webhook_receiver import ReceivedMessage, WebhookReceiver, free_webhook_port
from workers.webhooks.signing import NO_SIGNATURE, secret_bytes

SECRET = "HEADRACE_WEBHOOK_SECRET"  # noqa: S105 (the setting's name)
MADE_HERE = "listen"
"""The description of endpoints that `listen` makes."""
ANOTHER = "; another endpoint may point here: GET /api/webhooks lists them"
SHOWN = ("job_id", "document_id", "kind", "state", "agent", "model", "sequence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listen = subparsers.add_parser("listen", help="receive, verify and print webhooks until Ctrl-C")
    listen.add_argument("--port", type=port, help="where to listen; 8766 by default, which ./headrace up may post to")
    listen.add_argument(
        "--event",
        action="append",
        default=[],
        help="an event or wildcard to listen for, all by default; may be repeated",
    )
    listen.add_argument("--count", type=positive, default=0, help="end after so many messages, one or more")
    listen.add_argument("--json", action="store_true", help="print a line of JSON for each message")


def run(arguments: argparse.Namespace) -> int:
    """With HEADRACE_WEBHOOK_SECRET it only listens; without, it creates an endpoint, and deletes it at the end."""
    secret = os.environ.get(SECRET, "").strip()
    if secret:
        try:
            secret_bytes(secret)
        except ValueError as error:
            raise LocalError(f"{SECRET} {error}.") from None
    listening = listen(arguments.port, secret, arguments.event or ["*"], count=arguments.count, as_json=arguments.json)
    return asyncio.run(until_ended(listening))


async def until_ended(work: Coroutine[Any, Any, int]) -> int:
    """Return the status of `work`. SIGTERM and SIGHUP cancel it, as Ctrl-C does, so that it cleans up; the status then is 128
    and the number of the signal."""
    task, loop, ended = asyncio.ensure_future(work), asyncio.get_running_loop(), list[int]()

    def end(number: int) -> None:
        ended.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` asks us to stay
            loop.add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not ended:
            raise
        return 128 + ended[0]


async def listen(port: int | None, secret: str, events: list[str], *, count: int = 0, as_json: bool = False) -> int:
    """Print messages until cancelled, or `count` have come; return 1 if one of these was refused."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(WebhookReceiver(port or free_webhook_port(), secret))
        if not secret:
            client = await stack.enter_async_context(Client(*server_and_key(), ca_file=own_authority()))
            await delete_left_behind(client, receiver.url)
            wanted = {"url": receiver.url, "events": events, "description": MADE_HERE}
            made = await client.post("/api/webhooks", wanted)
            stack.push_async_callback(client.delete, f"/api/webhooks/{made['id']}")
            receiver.secret = made["secret"]
        if not as_json:
            print(dim(f"Listening at {receiver.url} for {', '.join(events)}. Ctrl-C ends this."), flush=True)
        refused, seen = False, 0
        while not count or seen < count:
            message = await receiver.messages.get()
            print(as_line(message) if as_json else describe(message), flush=True)
            refused, seen = refused or bool(message.refused), seen + 1
    return int(refused)


async def delete_left_behind(client: Client, url: str) -> None:
    """Delete the endpoints of an earlier `listen` at this URL that was killed; nobody else can listen there now."""
    page = await client.get("/api/webhooks?limit=100")
    for endpoint in page["items"]:
        if (url, MADE_HERE) == (endpoint["url"], endpoint["description"]):
            await client.delete(f"/api/webhooks/{endpoint['id']}")


def as_line(message: ReceivedMessage) -> str:
    """A message as a line of JSON."""
    return json.dumps(asdict(message) | {"verified": not message.refused})


def describe(message: ReceivedMessage) -> str:
    """A message for a person."""
    if message.refused:
        return f"✗ refused: {message.refused}" + (ANOTHER if message.refused == NO_SIGNATURE else "")
    facts = "  ".join(f"{name} {message.data[name]}" for name in SHOWN if message.data.get(name) is not None)
    facts += "".join(f"\n    metadata.{name} {value}" for name, value in (message.data.get("metadata") or {}).items())
    again = "  (again: it came before)" if message.repeated else ""
    return f"✓ {message.type}  {message.id}{again}\n    {facts}"
