"""`chat`: stream one chat to the terminal, from the running stack or the server that HEADRACE_URL names."""

import argparse
import asyncio
import base64
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TextIO

from api.cli.arguments import path_here
from api.local.errors import LocalError
from api.local.http_client import Client, StreamEvent
from api.local.process_output import wants_colour
from api.local.stack import find_running
from api.local.stack_settings import home_from
from schema.events.notices import notice_for_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("message", nargs="+", help="the message; quotes are optional")
    parser.add_argument(
        "--agent", help="the agent that answers; by default headrace picks one, or the model answers alone"
    )
    parser.add_argument(
        "--collection",
        action="append",
        default=[],
        help="answer from the documents in this collection; may be repeated",
    )
    parser.add_argument(
        "--attach",
        action="append",
        default=[],
        metavar="FILE",
        type=path_here,
        help="a file that the message is about, such as a PDF or an image; may be repeated",
    )
    parser.add_argument("--session", help="continue this session (its id is printed after each chat)")


def run(arguments: argparse.Namespace) -> int:
    url, key = server_and_key()
    return asyncio.run(
        chat(
            url,
            key,
            " ".join(arguments.message),
            arguments.session,
            arguments.agent,
            arguments.collection,
            read_attachments(arguments.attach),
        )
    )


def read_attachments(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Return files as attachments of a message. Raises LocalError for one that can't be read."""
    try:
        return [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    except OSError as error:
        raise LocalError(f"{error.filename} can't be attached: {error.strerror}.") from None


ATTACHMENT = re.compile(r"attachments\[(\d+)\](?:\.(?:data|name))?")
BODY_LIMIT = re.compile(r"The body exceeds ([\d,]+) bytes")


def name_files(message: str, attachments: Sequence[dict[str, str]]) -> str:
    """Return an error of the API in the words of whoever attached files: with their names, and with what they may have."""
    if not attachments:
        return message
    if limit := BODY_LIMIT.search(message):
        most = int(limit[1].replace(",", "")) * 3 // 4  # base64 makes four bytes of three
        sizes = ", ".join(f"{one['name']} ({len(one['data']) * 3 // 4:,} bytes)" for one in attachments)
        told = (
            f"The attached files are too large: {sizes}. Together they may have a little less than {most:,} bytes here "
        )
        return told + "(HEADRACE_MAX_BODY). Larger ones can be uploaded as documents: ./headrace ingest."
    return ATTACHMENT.sub(
        lambda found: attachments[int(found[1])]["name"] if int(found[1]) < len(attachments) else found[0], message
    )


def server_and_key() -> tuple[str, str]:
    """HEADRACE_URL with HEADRACE_API_KEY, else the stack that runs here. Raises LocalError when there is neither."""
    url, key = os.environ.get("HEADRACE_URL"), os.environ.get("HEADRACE_API_KEY")
    if url and key:
        return url, key
    if running := find_running(home_from(os.environ)):
        return running.url, running.key
    raise LocalError(
        "headrace is not running here. Start it with ./headrace up, or set HEADRACE_URL and HEADRACE_API_KEY."
    )


def own_authority() -> str | None:
    """Return HEADRACE_CA_FILE, whose authorities the commands trust as well. Raises LocalError for a wrong one."""
    if not os.environ.get("HEADRACE_CA_FILE"):
        return None
    from tools.egress.trust import ca_file_from

    try:
        return ca_file_from(os.environ)
    except ValueError as error:
        raise LocalError(str(error)) from None


async def chat(
    url: str,
    key: str,
    message: str,
    session_id: str | None,
    agent: str | None = None,
    collections: Sequence[str] = (),
    attachments: Sequence[dict[str, str]] = (),
) -> int:
    async with Client(url, key, ca_file=own_authority()) as client:
        try:
            result = await show(client.chat(message, session_id, agent, collections, attachments), print_notice)
        except LocalError as error:
            raise LocalError(name_files(error.message, attachments)) from None
    if result.error:
        print(f"headrace: the job failed: {name_files(result.error, attachments)}", file=sys.stderr)
        return 1
    if result.notice and notice_for_model(result.model) is None:  # that one came before the answer
        print(dim(result.notice, sys.stderr), file=sys.stderr)
    if result.session_id:
        print(dim(f"To continue this session: --session {result.session_id}", sys.stderr), file=sys.stderr)
    return 0


def print_notice(result: "ChatResult") -> None:
    """Print a notice before the answer when no language model will give it; on stderr, so that stdout holds only the answer."""
    if result.events == 1 and (notice := notice_for_model(result.model)):
        print(dim(notice.message, sys.stderr), file=sys.stderr, flush=True)


class ChatResult:
    """What a chat's events add up to; text that a restart voids is discarded."""

    def __init__(self) -> None:
        self.session_id = ""
        self.model = ""
        """The model that is to answer; an agent's own may do it instead."""
        self.message_id = ""
        self.error = ""
        self.notice = ""
        """What to know of the answer besides its text; empty while it isn't complete."""
        self.workers: list[str] = []
        self.sources: list[str] = []
        """The headings of the passages that the answer cites, or the documents where there are none."""
        self.events = 0
        self._pieces: list[tuple[int, str]] = []
        self._completed: str | None = None

    @property
    def text(self) -> str:
        """The answer so far, or the whole one once `message.completed` has come."""
        return "".join(text for _, text in self._pieces) if self._completed is None else self._completed

    @property
    def pieces(self) -> int:
        return len(self._pieces)

    def add(self, event: StreamEvent) -> None:
        data = event.data
        self.events += 1
        self.session_id = data.get("session_id") or self.session_id
        match event.type:
            case "job.queued":
                self.model = data.get("model") or ""
            case "job.started":
                self.workers.append(data.get("worker", ""))
            case "job.restarted":
                self.workers.append(data.get("worker", ""))
                # What the lost attempt said after that event is void and comes again.
                self._pieces = [piece for piece in self._pieces if piece[0] <= data.get("discard_after", 0)]
            case "message.delta":
                self._pieces.append((int(event.seq), data.get("text") or data.get("refusal", "")))
            case "citation.added":
                self.sources.append(data.get("heading") or data.get("document") or "")
            case "message.completed":
                self._completed, self.message_id = (
                    data["text"] or data.get("refusal") or "",
                    data.get("message_id") or "",
                )
                self.notice = (data.get("notice") or {}).get("message", "")
            case "job.failed" | "job.cancelled":
                self.error = (data.get("error") or {}).get("message") or event.type


async def show(
    events: AsyncIterator[StreamEvent], on_event: Callable[[ChatResult], None] = lambda result: None
) -> ChatResult:
    """Print a chat's text as it comes, and what happens to its job as dim lines. `on_event` sees each step."""
    result = ChatResult()
    async for event in events:
        result.add(event)
        match event.type:
            case "message.delta":
                print(event.data.get("text") or event.data.get("refusal", ""), end="", flush=True)
            case "job.restarted":
                print(
                    dim(f"\n[{event.data.get('reason', 'the worker was lost')}; another worker takes over]"), flush=True
                )
                print(result.text, end="", flush=True)
            case "job.progress":
                print(dim(f"[{event.data.get('text', '')}]"), flush=True)
            case "citation.added":
                print(dim(f"\n[{step(event)}]"), end="", flush=True)
            case "agent.routed" | "plan.created" | "tool.started" | "tool.finished":
                print(dim(f"[{step(event)}]"), flush=True)
        on_event(result)
    print(flush=True)
    return result


def step(event: StreamEvent) -> str:
    """Describe an agent's step in one line."""
    data = event.data
    match event.type:
        case "agent.routed":
            return "no agent" if data["graph"] == "chat" else f"{data['agent']}, {data['graph']}"
        case "plan.created":
            return f"plan: {'; '.join(data['steps'])}"
        case "citation.added":
            page = f", page {data['page']}" if data.get("page") else ""
            return f"source [{data.get('number')}]: {data.get('document')}{page}"
        case "tool.started":
            given = ", ".join(f"{name}={value!r}" for name, value in data.get("arguments", {}).items())
            return f"{data['name']}({given if len(given) <= 100 else given[:100] + '…'})"
    output = "" if data["ok"] else f": {data.get('output', '')}"
    return f"{data['name']} {'answered' if data['ok'] else 'failed'} in {data.get('duration_ms', 0)} ms{output}"


def dim(text: str, stream: TextIO | None = None) -> str:
    """The text in grey where `stream`, stdout unless another is named, is a terminal that shows colours."""
    return f"\033[2m{text}\033[0m" if wants_colour(stream or sys.stdout, os.environ) else text
