"""`benchmark`: measures models on the running stack, or at HEADRACE_URL, and shows the figures as they come."""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from api.cli.arguments import positive
from api.cli.client.chat import dim, own_authority, server_and_key
from api.local.http_client import Client, StreamEvent

BAR_WIDTH = 30
FIGURES = {"first_token_ms": "first token, ms", "tokens_per_second": "tokens/s", "total_ms": "total, ms"}
VERDICTS = {True: "more than noise", False: "within noise", None: "too few calls to tell"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="provider/name; your default model if none is named")
    parser.add_argument("--prompt", action="append", help="what the models are asked; may be repeated")
    parser.add_argument("--iterations", type=positive, default=10, help="how often each is called (default: 10)")
    parser.add_argument(
        "--concurrency", type=positive, default=1, help="how many calls are under way at once (default: 1)"
    )
    parser.add_argument("--warmup", type=int, default=1, help="calls of each that don't count (default: 1)")
    parser.add_argument("--max-tokens", type=positive, default=128, help="most tokens of an answer (default: 128)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    body: dict[str, Any] = {
        name: getattr(arguments, name) for name in ("iterations", "concurrency", "warmup", "max_tokens")
    }
    body |= {"models": arguments.models} if arguments.models else {}
    body |= {"prompts": arguments.prompt} if arguments.prompt else {}
    return asyncio.run(benchmark(*server_and_key(), body, as_json=arguments.json))


async def benchmark(url: str, key: str, body: Mapping[str, Any], *, as_json: bool = False) -> int:
    """Run a benchmark to its end and print its figures; return 0 if it succeeded. Raises LocalError."""
    async with Client(url, key, ca_file=own_authority()) as client:
        job_id = (await client.post("/api/benchmark/llm", dict(body)))["job_id"]
        try:
            error = await _follow(client, job_id)
        except asyncio.CancelledError:
            await client.post(f"/api/jobs/{job_id}/cancel", {})
            raise
        found = await client.get(f"/api/benchmarks/{job_id}")
    print(json.dumps(found, indent=2) if as_json else format_benchmark(found), flush=True)
    if error:
        print(f"headrace: the benchmark ended early: {error}", file=sys.stderr)
    return 1 if error else 0


async def _follow(client: Client, job_id: str) -> str:
    """Show the progress up to the job's end; return why it failed, empty if it did not."""
    error, live = "", sys.stderr.isatty()
    async for event in client.follow(job_id):
        line = describe_event(event)
        if line and live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="", file=sys.stderr, flush=True)
        elif line and event.data.get("done") == event.data.get("total"):
            print(line, file=sys.stderr, flush=True)
        if event.type in ("job.failed", "job.cancelled"):
            error = (event.data.get("error") or {}).get("message") or event.type
    if live:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return error


def describe_event(event: StreamEvent) -> str:
    """Return a progress line for an event; empty for those that need none."""
    data = event.data
    if event.type == "job.progress":
        return data.get("text", "")
    if event.type != "benchmark.iteration":
        return ""
    done, total = data.get("done", 0), data.get("total", 0) or 1
    filled = round(BAR_WIDTH * done / total)
    said = data["error"]["code"] if data.get("error") else f"{data['total_ms'] / 1000:.2f} s"
    return f"{'█' * filled}{'░' * (BAR_WIDTH - filled)} {done} of {total} calls  {data['model']}: {said}"


def format_benchmark(found: Mapping[str, Any]) -> str:
    """Return the figures of a benchmark as a table for a terminal."""
    rows = [("model", "figure", "p50", "p95", "p99", "mean", "95 % interval")]
    for result in found["results"]:
        rows += [_spread_row(result["model"], name, result[name]) for name in FIGURES if result[name]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines[0] = dim(lines[0])
    for result in found["results"]:
        errors = ", ".join(f"{code} {count}×" for code, count in result["errors"].items())
        lines.append(
            f"{result['model']}: {result['succeeded']} of {result['iterations']} answered, "
            f"{result['output_tokens']} tokens, {describe_cost(result)}{'; failed: ' + errors if errors else ''}"
        )
    for one in found["comparison"]:
        ratio = f"{one['ratio']:.2f} times" if one["ratio"] is not None else "?"
        lines.append(
            f"{one['model']} against {one['baseline']}, {FIGURES[one['metric']]}: {ratio}, {VERDICTS[one['differs']]}"
        )
    return "\n".join(lines)


def describe_cost(result: Mapping[str, Any]) -> str:
    """Return what a model's calls cost; one that has no price costs nothing, whatever it answers."""
    cost = result["cost_usd"]
    if not cost:
        return "no price" if result["output_tokens"] else "no cost"
    return f"${cost:.4f}" if cost >= 0.0001 else "less than $0.0001"


def _spread_row(model: str, name: str, spread: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = spread["low"], spread["high"]
    interval = "" if low is None or high is None else f"{low:.1f} to {high:.1f}"
    return (model, FIGURES[name], *(f"{spread[part]:.1f}" for part in ("p50", "p95", "p99", "mean")), interval)
