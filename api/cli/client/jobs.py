"""`jobs`: lists jobs of the running stack, or at HEADRACE_URL, or follows one to its end."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import urlencode

from api.cli.arguments import positive
from api.cli.client.benchmark import describe_event
from api.cli.client.chat import dim, own_authority, server_and_key, step
from api.local.http_client import Client, StreamEvent
from schema.job_kinds import Kind
from schema.states import PublicState

STEPS = ("agent.routed", "plan.created", "tool.started", "tool.finished", "citation.added")
SHOWN = ("name", "text", "error", "reason", "worker", "attempt", "model", "chunks", "kept")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", metavar="ID", help="print the events of this job, up to its end")
    parser.add_argument("--state", choices=get_args(PublicState), help="only jobs in this state")
    parser.add_argument("--kind", choices=get_args(Kind), help="only jobs of this kind")
    parser.add_argument(
        "--limit", type=positive, default=20, help="how many, the newest first (default: 20, at most 100)"
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each job or event")


def run(arguments: argparse.Namespace) -> int:
    url, key = server_and_key()
    if arguments.follow:
        return asyncio.run(follow(url, key, arguments.follow, as_json=arguments.json))
    asked = {"state": arguments.state, "kind": arguments.kind, "limit": arguments.limit}
    return asyncio.run(show_jobs(url, key, asked, as_json=arguments.json))


async def show_jobs(url: str, key: str, asked: Mapping[str, Any], *, as_json: bool = False) -> int:
    """Print a page of jobs, newest first. Raises LocalError."""
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    async with Client(url, key, ca_file=own_authority()) as client:
        jobs = (await client.get(f"/api/jobs?{query}"))["items"]
    for job in jobs:
        print(json.dumps(job) if as_json else describe_job(job))
    if not jobs and not as_json:
        print("No such jobs.")
    return 0


def describe_job(job: Mapping[str, Any]) -> str:
    """Return a job as a line."""
    why = f" ({job['waiting_for']})" if job["waiting_for"] else f" ({job['error']['code']})" if job["error"] else ""
    what = job["agent"] or job["model"] or ""
    return f"{job['id']}  {job['created_at'][:19]}  {job['kind']:<9}  {job['state'] + why:<22}  {what}".rstrip()


async def follow(url: str, key: str, job_id: str, *, as_json: bool = False) -> int:
    """Print a job's events as they come; return 0 if it succeeds. Raises LocalError."""
    last = ""
    async with Client(url, key, ca_file=own_authority()) as client:
        async for event in client.follow(job_id):
            last = event.type
            if as_json:
                print(json.dumps({"event": event.type, **event.data}), flush=True)
            else:
                _show(event)
    return 0 if last == "job.succeeded" else 1


def _show(event: StreamEvent) -> None:
    data = event.data
    match event.type:
        case "message.delta":
            print(data.get("text", ""), end="", flush=True)
        case "message.completed":
            print(f"\n{data['text']}" if data.get("data") is not None else "", flush=True)
        case _ if event.type in STEPS:
            print(dim(f"[{step(event)}]"), flush=True)
        case "benchmark.iteration":
            print(describe_event(event), flush=True)
        case _:
            told = {name: data[name] for name in SHOWN if data.get(name) is not None}
            more = "  ".join(f"{name}={value}" for name, value in told.items())
            print(dim(f"{event.type}  {more}".rstrip()), flush=True)
