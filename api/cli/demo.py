"""`demo`: shows what headrace does, on real input, to someone who has never seen it.

It works on the ordinary data folder, so that `./headrace up` afterwards goes on with the same key and sessions. If a
stack is already running there, the demo uses it and kills no worker, which may have jobs of yours.
"""

import argparse
import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

from api.cli.all_settings import check_all_settings
from api.cli.client.chat import ChatResult, dim, show
from api.cli.up import stop_signals
from api.local.demo.documents import upload_handbook
from api.local.errors import LocalError
from api.local.http_client import Client, StreamEvent
from api.local.ports import StackPorts, choose_ports
from api.local.process_output import FileOutput
from api.local.stack import RunningStack, find_running, prepare_demo, prepared_stores, running_stack
from api.local.stack_settings import StackSettings, settings_from
from api.local.stores.local_stores import Stores
from api.local.webhook_receiver import WebhookReceiver, free_webhook_port

PASSAGE = (
    "A headrace is the channel that carries water from a river or a dam to a mill wheel or to the turbines of a power "
    "station. The channel that takes the used water back to the river is called the tailrace. Because the headrace "
    "falls more gently than the river beside it, the water arrives high above the wheel, and this difference, "
    "the head, is what drives the mill. A sluice gate at the intake lets the miller choose how much water flows, and a "
    "spillway along the channel returns any flood to the river before it can break the banks or hurt the wheel. Monks "
    "dug long headraces in the Middle Ages; some of them ran for centuries."
)
FIRST_QUESTION = "What is a headrace, and what is the tailrace?"
SECOND_QUESTION = "How do the sluice gate and the spillway protect the wheel and the river from a flood of water?"
DEBT_QUESTION = "What is the debt for customer MST 0104985841?"
EXPECTED_DEBT = "125750000"  # from the demo ERP (tools/erp/data.json)
LEAVE_QUESTION = "According to the handbook, how many working days of paid leave does everybody have a year?"
EXPECTED_LEAVE = "24 working days"
THIRD_QUESTION = "Who dug headraces in the Middle Ages?"

WEBHOOK_QUESTION = "What is 17 × 23?"
WEBHOOK_LIMIT_S = 30.0

KILL_AFTER_PIECES = 12
"""Kill in the middle: late enough to have seen text, early enough that most is still to come."""

TIME_LIMIT_S = 300.0
GRACE_S = 3.0
"""For stopping: the demo's jobs are done by then, so a short grace is enough."""

NEXT_STEPS = """
Next steps
  ./headrace up                            start everything and serve until Ctrl-C, with the same data and key
  eval "$(./headrace env)"                 then use it from any OpenAI SDK
  ./headrace chat "What is 17 × 23?"       from another terminal
  ./headrace test                          run the tests"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(arguments: argparse.Namespace) -> int:
    check_all_settings(os.environ)
    settings = settings_from(os.environ)
    began = time.monotonic()
    if running := find_running(settings.home):
        say(
            f"headrace is already running at {running.url}. The demo uses it and kills no worker: it may have your jobs."
        )
        return asyncio.run(show_everything(running, None))
    ports = choose_ports(settings)
    say(f"Starting Postgres, Valkey and headrace (data and logs: {settings.home}) …")
    with prepared_stores(settings) as where:
        code = asyncio.run(run_with_own_stack(settings, where, ports, began))
    say("\nEverything has stopped.")
    return code


async def run_with_own_stack(settings: StackSettings, where: Stores, ports: StackPorts, began: float) -> int:
    stop, stop_now = stop_signals()
    output = FileOutput(settings.home / "logs")
    prepare_demo(where, ports)
    stack = running_stack(
        settings,
        where,
        ports,
        output=output,
        environ=os.environ,
        stop=stop,
        stop_now=stop_now,
        grace_s=GRACE_S,
    )
    async with stack as (running, supervisor):
        async with Client(running.url, running.key) as client:
            await client.wait_for_worker()
        say(f"Ready in {time.monotonic() - began:.1f} s: {running.url}")
        showing = asyncio.create_task(show_everything(running, lambda: supervisor.pids.get("chat")))
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({showing, stopping}, timeout=TIME_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if showing in done:
            return showing.result()
        showing.cancel()
        if stop.is_set():
            return 130
        raise LocalError(f"The demo did not finish within {TIME_LIMIT_S:.0f} s. See the logs in {settings.home}/logs.")


async def show_everything(running: RunningStack, worker_pid: Callable[[], int | None] | None) -> int:
    """Run all parts of the demo in order; return 1 if an answer differs from what was stored."""
    async with Client(running.url, running.key) as client:
        if hint := await client.language_model_hint():
            say(hint)
        passed = await show_chat(client)
        if worker_pid is not None:
            passed &= await show_kill(client, worker_pid)
        passed &= await show_openai(client)
        passed &= await show_agent(client)
        passed &= await show_documents(client)
        passed &= await show_webhook(client)
    say(NEXT_STEPS)
    return 0 if passed else 1


async def show_chat(client: Client) -> bool:
    print_heading("1. A chat, streamed: HTTP → Postgres → Celery → LangGraph → model → Redis → Server-Sent Events")
    timed = TimedStream(client.chat(with_passage(FIRST_QUESTION)))
    result = await show(timed.events())
    return report(result, await stored_text(client, result), timed)


async def show_kill(client: Client, worker_pid: Callable[[], int | None]) -> bool:
    print_heading("2. Another chat, whose worker is killed (SIGKILL) halfway through the answer")
    killed: list[int] = []

    def kill_once(result: ChatResult) -> None:
        if not killed and result.pieces >= KILL_AFTER_PIECES and (pid := worker_pid()):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            print(dim(f"\n[killed the chat worker, process {pid}; this stream stays open]"), flush=True)

    timed = TimedStream(client.chat(with_passage(SECOND_QUESTION)))
    result = await show(timed.events(), kill_once)
    passed = report(result, await stored_text(client, result), timed)
    if not killed:
        say("  The answer was complete before the worker could be killed.")
        return passed
    say(
        f"  {len(result.workers)} workers; longest pause {timed.longest_pause_s:.1f} s; "
        f"this client reconnected {client.reconnections} times."
    )
    return passed and len(result.workers) > 1


async def show_openai(client: Client) -> bool:
    print_heading("3. The same queue through the OpenAI-compatible API: POST /v1/chat/completions")
    message, began = with_passage(THIRD_QUESTION), time.monotonic()
    answer = await client.complete(message)
    text = answer["choices"][0]["message"]["content"]
    print(text)
    used = (answer.get("usage") or {}).get("total_tokens")
    say(
        f"  Without streaming: an answer from {answer.get('model')} in {time.monotonic() - began:.2f} s, {used} tokens."
    )
    pieces = [piece async for piece in client.stream_completion(message)]
    same = "".join(pieces) == text
    say(f"  Streamed: {len(pieces)} chunks, {'the same text' if same else 'different text'}.")
    return bool(text) and bool(pieces)


async def show_agent(client: Client) -> bool:
    print_heading(
        "4. An agent is picked for the question; its tool calls the demo ERP over HTTP with a token of the job"
    )
    say(f"  {DEBT_QUESTION}\n")
    timed = TimedStream(client.chat(DEBT_QUESTION))
    result = await show(timed.events())
    passed = report(result, await stored_text(client, result), timed)
    return passed and EXPECTED_DEBT in result.text.replace(",", "").replace(".", "")


async def show_documents(client: Client) -> bool:
    print_heading(
        "5. A document is ingested (read in a sandbox, chunked, embedded), and an agent answers from it with its source"
    )
    began = time.monotonic()
    answer = await upload_handbook(client)
    if answer.get("job_id"):
        ready = [event.data async for event in client.follow(answer["job_id"]) if event.type == "document.ready"]
        passages = sum(document["chunks"] for document in ready)
        say(f"  {len(ready)} document embedded as {passages} passages in {time.monotonic() - began:.1f} s.")
    else:
        say("  It was ingested earlier and has not changed.")
    say(f"  {LEAVE_QUESTION}\n")
    timed = TimedStream(client.chat(LEAVE_QUESTION, agent="AgentAnalysis"))
    result = await show(timed.events())
    passed = report(result, await stored_text(client, result), timed)
    say(f"  Sources: {', '.join(result.sources) or 'NONE: please report this'}")
    return passed and EXPECTED_LEAVE in result.text and bool(result.sources)


async def show_webhook(client: Client) -> bool:
    print_heading("6. A webhook: the end of a job is told to another system, signed; a receiver here verifies it")
    async with WebhookReceiver(free_webhook_port()) as receiver:
        made = await client.post("/api/webhooks", {"url": receiver.url, "events": ["job.succeeded"]})
        receiver.secret = made["secret"]
        try:
            say(f"  An endpoint for job.succeeded: {receiver.url}\n  {WEBHOOK_QUESTION}\n")
            result = await show(client.chat(WEBHOOK_QUESTION))
            began = time.monotonic()
            async with asyncio.timeout(WEBHOOK_LIMIT_S):
                message = await receiver.messages.get()
        finally:
            await client.delete(f"/api/webhooks/{made['id']}")
    say(f"  {message.type} {message.id}, {(time.monotonic() - began) * 1000:.0f} ms after the answer.")
    say(
        f"  Its signature {'is right' if not message.refused else f'IS WRONG ({message.refused}): please report this'}."
    )
    return not message.refused and message.data.get("session_id") == result.session_id


async def stored_text(client: Client, result: ChatResult) -> str | None:
    """The text of the message as Postgres has it now; None when there is none."""
    if result.error:
        return None
    answer = await client.get(f"/api/sessions/{result.session_id}/messages")
    for message in answer.get("items", answer) if isinstance(answer, dict) else answer:
        if message["id"] == result.message_id:
            return message.get("text") or "".join(part.get("text", "") for part in message.get("parts", []))
    return None


def report(result: ChatResult, stored: str | None, timed: "TimedStream") -> bool:
    if result.error:
        say(f"  The job failed: {result.error}")
        return False
    same = stored == result.text
    say(
        f"  {result.events} events; first text after {timed.first_text_s * 1000:.0f} ms, complete after {timed.total_s:.1f} s. "
        f"The stored message {'matches the stream' if same else 'DOES NOT MATCH the stream: please report this'}."
    )
    return same


class TimedStream:
    """A stream of events, and when its text arrived."""

    def __init__(self, events: AsyncIterator[StreamEvent]) -> None:
        self._events = events
        self.first_text_s = self.total_s = self.longest_pause_s = 0.0

    async def events(self) -> AsyncIterator[StreamEvent]:
        began = last = time.monotonic()
        async for event in self._events:
            now = time.monotonic()
            self.longest_pause_s, last = max(self.longest_pause_s, now - last), now
            if event.type == "message.delta" and not self.first_text_s:
                self.first_text_s = now - began
            yield event
        self.total_s = time.monotonic() - began


def with_passage(question: str) -> str:
    """Print the question and return the whole message: the passage about mills, then the question."""
    say(f"  (a paragraph about water mills, then:) {question}\n")
    return f"{PASSAGE}\n\n{question}"


def print_heading(text: str) -> None:
    say(f"\n── {text}")


def say(text: str) -> None:
    print(text, flush=True)
