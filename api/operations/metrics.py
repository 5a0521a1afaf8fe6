"""`/metrics` and `/metrics/prometheus`: how busy this machine and its processes are, and what headrace has counted.

They name no tenant and no user, but tell how much an installation is used, so they are not public: platform admins may read
them, and scrapers that send HEADRACE_METRICS_TOKEN, whom no store has to know.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta
from prometheus_client.core import Metric

from api.auth.principals import FOR_SCRAPERS, MayScrape
from api.openapi.operations import TEXT, described
from api.operations.machine import Machine, machine_families, read_machine
from api.resources import AppResources
from schema.metrics.exposition import CONTENT_TYPE, render
from schema.metrics.quantiles import Distribution, distributions

Percent = Annotated[float, Meta(description="From 0 to 100.")]
PLAIN_TEXT = CONTENT_TYPE.partition(";")[0]


class GpuOut(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU."""

    name: Annotated[str, Meta(description="Its model.")]
    usage_percent: Percent
    memory_usage_percent: Percent


class ProcessOut(msgspec.Struct, frozen=True, kw_only=True):
    """One process of this machine."""

    name: Annotated[str, Meta(description="Its role and a number.", examples=["chat.0"])]
    cpu_seconds: Annotated[float, Meta(description="CPU time since its start.")]
    memory_bytes: Annotated[int, Meta(description="Resident memory.")]
    open_files: Annotated[int, Meta(description="Open files and connections.")]
    started_at_s: Annotated[float, Meta(description="When it started, in seconds since 1970.")]


class FigureOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure: a `value`, or a `count` of durations with their mean and percentiles."""

    labels: Annotated[dict[str, str], Meta(description="What it is the figure of.")]
    value: Annotated[float | None, Meta(description="A count since the process started counting, or what is now.")] = (
        None
    )
    count: Annotated[int | None, Meta(description="How many durations were measured.")] = None
    mean_s: Annotated[float | None, Meta(description="Their mean, in seconds.")] = None
    p50_s: Annotated[float | None, Meta(description="Their median, estimated from buckets.")] = None
    p95_s: Annotated[float | None, Meta(description="Their 95th percentile, estimated from buckets.")] = None


class OperationsOut(msgspec.Struct, frozen=True, kw_only=True):
    """How busy this machine is, and what its processes have counted."""

    cpu_usage_percent: Percent
    memory_usage_percent: Percent
    disk_usage_percent: Percent
    gpus: Annotated[list[GpuOut], Meta(description="GPUs, where there are any.")]
    processes: Annotated[list[ProcessOut], Meta(description="headrace's processes on this machine.")]
    figures: Annotated[dict[str, list[FigureOut]], Meta(description="What was counted and measured, by name.")]


EXAMPLE = {
    "cpu_usage_percent": 12.5,
    "memory_usage_percent": 41.0,
    "disk_usage_percent": 63.2,
    "gpus": [],
    "processes": [
        {
            "name": "chat.0",
            "cpu_seconds": 81.4,
            "memory_bytes": 231_000_000,
            "open_files": 84,
            "started_at_s": 1_782_900_000,
        }
    ],
    "figures": {
        "jobs_finished_total": [{"labels": {"kind": "chat", "outcome": "succeeded"}, "value": 1204}],
        "job_run_seconds": [
            {
                "labels": {"kind": "chat", "outcome": "succeeded"},
                "count": 1204,
                "mean_s": 2.41,
                "p50_s": 1.9,
                "p95_s": 8.7,
            }
        ],
    },
}


@get(
    "/",
    opt=FOR_SCRAPERS | described(response=EXAMPLE, other_media_types={PLAIN_TEXT: TEXT}),
    responses={200: ResponseSpec(OperationsOut, description="As JSON, or for Prometheus.", generate_examples=False)},
    summary="Get metrics",
    tags=["operations"],
)
async def get_metrics_of_installation(
    request: Request[Any, Any, Any], principal: MayScrape, resources: AppResources
) -> Response[Any]:
    """Returns how busy this machine is, its processes, and what they have counted. As JSON, or in Prometheus' text format where
    `Accept` asks for `text/plain` or `application/openmetrics-text`, as scrapers do."""
    machine, families = await _read(request, resources.settings.storage.folder)
    headers = {"Vary": "Accept"}
    if _is_scraper(request.headers.get("accept", "")):
        return await _as_text(machine, families, headers)
    return Response(_as_json(machine, families), media_type="application/json", headers=headers)


@get(
    "/prometheus",
    opt=FOR_SCRAPERS | described(other_media_types={PLAIN_TEXT: TEXT}),
    responses={200: ResponseSpec(str, description="Metrics in Prometheus' text format.", generate_examples=False)},
    summary="Get metrics for Prometheus",
    tags=["operations"],
    media_type=PLAIN_TEXT,
)
async def get_prometheus_metrics(
    request: Request[Any, Any, Any], principal: MayScrape, resources: AppResources
) -> Response[bytes]:
    """Returns the same as `GET /metrics`, in Prometheus' text format."""
    return await _as_text(*await _read(request, resources.settings.storage.folder), {})


async def _read(request: Request[Any, Any, Any], folder: Path) -> tuple[Machine, list[Metric]]:
    metrics = request.app.state.metrics
    return await asyncio.to_thread(read_machine, folder), await asyncio.to_thread(metrics.read)


def _is_scraper(accept: str) -> bool:
    return "openmetrics" in accept or "text/plain" in accept


async def _as_text(machine: Machine, families: list[Metric], headers: dict[str, str]) -> Response[bytes]:
    text = await asyncio.to_thread(render, [*machine_families(machine), *families])
    return Response(text, media_type=CONTENT_TYPE, headers=headers)


def _as_json(machine: Machine, families: list[Metric]) -> OperationsOut:
    own = [family for family in families if not family.name.startswith("process_")]
    return OperationsOut(
        cpu_usage_percent=machine.cpu_usage_percent,
        memory_usage_percent=machine.memory_usage_percent,
        disk_usage_percent=machine.disk_usage_percent,
        gpus=[msgspec.convert(gpu, GpuOut, from_attributes=True) for gpu in machine.gpus],
        processes=_processes(families),
        figures={_full_name(family): _figures(family) for family in sorted(own, key=lambda one: one.name)},
    )


def _full_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _figures(family: Metric) -> list[FigureOut]:
    if family.type == "histogram":
        return [_timed(one) for one in distributions(family)]
    samples = [sample for sample in family.samples if sample.name in (family.name, f"{family.name}_total")]
    return [
        FigureOut(labels=sample.labels, value=None if sample.value != sample.value else sample.value)
        for sample in samples
    ]


def _timed(one: Distribution) -> FigureOut:
    return FigureOut(
        labels=one.labels, count=one.count, mean_s=one.mean, p50_s=one.quantile(0.5), p95_s=one.quantile(0.95)
    )


def _processes(families: Iterable[Metric]) -> list[ProcessOut]:
    found: dict[str, dict[str, float]] = {}
    for family in families:
        for sample in family.samples if family.name.startswith("process_") else ():
            found.setdefault(sample.labels["process"], {})[sample.name] = sample.value
    return [
        ProcessOut(
            name=name,
            cpu_seconds=round(values["process_cpu_seconds_total"], 2),
            memory_bytes=int(values["process_resident_memory_bytes"]),
            open_files=int(values["process_open_fds"]),
            started_at_s=round(values["process_start_time_seconds"], 1),
        )
        for name, values in sorted(found.items())
    ]


routes = Router("/metrics", route_handlers=[get_metrics_of_installation, get_prometheus_metrics])
