"""Benchmarks on the wire."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.chat.response_modes import PRIORITY
from api.http.paging import NextCursor
from api.jobs.run_at import RUN_AT
from api.webhooks.callbacks import CallbackEvents, CallbackInclude, CallbackUrl
from schema.states import Priority, PublicState

MAX_ITERATIONS, MAX_MODELS, MAX_PROMPTS, MAX_CALLS = 1000, 8, 100, 5000
MAX_COMPARED = 8
DEFAULT_PROMPT = "Explain in one paragraph what a headrace is."

Model = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="`provider/name`, or a bare name of the default provider.",
        examples=["ollama/llama3.2:3b"],
    ),
]
Prompt = Annotated[str, Meta(min_length=1, max_length=20_000, description="What the model is asked.")]
Iterations = Annotated[
    int, Meta(ge=1, le=MAX_ITERATIONS, description=f"How often each model is called, from 1 to {MAX_ITERATIONS}.")
]


class BenchmarkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Which models to call, with what, and how often."""

    model_name: Annotated[Model | None, Meta(description="The one model to measure; your default one if omitted.")] = (
        None
    )
    models: (
        Annotated[
            list[Model],
            Meta(
                min_length=1,
                max_length=MAX_MODELS,
                description="Several models, instead of `model_name`. They take turns, and each is compared with the first.",
            ),
        ]
        | None
    ) = None
    prompt: Annotated[Prompt | None, Meta(description="The one prompt; a short question if omitted.")] = None
    prompts: (
        Annotated[
            list[Prompt],
            Meta(
                min_length=1,
                max_length=MAX_PROMPTS,
                description="Several prompts, instead of `prompt`, used one after the other; all models get the same ones.",
            ),
        ]
        | None
    ) = None
    dataset: Annotated[
        Annotated[str, Meta(min_length=1, max_length=100)] | None,
        Meta(description=f"The first {MAX_PROMPTS} questions of this dataset as prompts; for those who manage agents."),
    ] = None
    iterations: Annotated[Iterations | None, Meta(description="How often each model is called; 10 if omitted.")] = None
    concurrency: Annotated[int, Meta(ge=1, le=32, description="How many calls are under way at once.")] = 1
    warmup: Annotated[
        int, Meta(ge=0, le=10, description="Calls of each model that come first and are not part of the figures.")
    ] = 1
    max_tokens: Annotated[int, Meta(ge=1, le=8192, description="Most tokens of an answer.")] = 128
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None, Meta(description="The model's own if omitted.")
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**31 - 1)] | None,
        Meta(description="Sent with each call, for providers that take one."),
    ] = None
    priority: Annotated[Priority, Meta(description=PRIORITY)] = "normal"
    run_at: Annotated[datetime | None, Meta(description=RUN_AT)] = None
    callback_url: CallbackUrl | None = None
    callback_events: CallbackEvents | None = None
    callback_include: CallbackInclude | None = None


class SpreadOut(msgspec.Struct, frozen=True, kw_only=True):
    """How the values of one figure are spread."""

    n: Annotated[int, Meta(description="Number of values.")]
    mean: Annotated[float, Meta(description="Mean.")]
    stddev: Annotated[float | None, Meta(description="Standard deviation; null for one value.")]
    min: Annotated[float, Meta(description="Smallest value.")]
    p50: Annotated[float, Meta(description="Median.")]
    p95: Annotated[float, Meta(description="95th percentile.")]
    p99: Annotated[float, Meta(description="99th percentile.")]
    max: Annotated[float, Meta(description="Largest value.")]
    low: Annotated[
        float | None, Meta(description="Lower end of the 95 % interval of the mean (bootstrap); null for one value.")
    ]
    high: Annotated[float | None, Meta(description="Upper end of this interval.")]


class ResultOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one model add up to."""

    model: Annotated[str, Meta(description="The model.")]
    iterations: Annotated[int, Meta(description="Calls that have ended.")]
    succeeded: Annotated[int, Meta(description="Calls that were answered; times are of these only.")]
    errors: Annotated[dict[str, int], Meta(description="Number of failed calls, by error code.")]
    input_tokens: Annotated[int, Meta(description="Tokens that were sent.")]
    output_tokens: Annotated[int, Meta(description="Tokens that came back.")]
    estimated: Annotated[bool, Meta(description="Whether some counts are estimates because the provider sent none.")]
    cost_usd: Annotated[float, Meta(description="What the calls cost, in US dollars.")]
    first_token_ms: Annotated[SpreadOut | None, Meta(description="Milliseconds to the first token.")]
    tokens_per_second: Annotated[
        SpreadOut | None, Meta(description="Tokens per second, between the first and the last one.")
    ]
    total_ms: Annotated[SpreadOut | None, Meta(description="Milliseconds to the end of the answer.")]


class ComparisonOut(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a model as a ratio to that of another."""

    model: Annotated[str, Meta(description="The model.")]
    baseline: Annotated[str, Meta(description="The model that it is compared with.")]
    metric: Annotated[str, Meta(description="`first_token_ms`, `tokens_per_second` or `total_ms`.")]
    n: Annotated[int, Meta(description="Number of values that were compared.")]
    ratio: Annotated[float | None, Meta(description="Mean of the model by mean of the baseline.")]
    low: Annotated[float | None, Meta(description="Lower end of the ratio's 95 % interval (bootstrap).")]
    high: Annotated[float | None, Meta(description="Upper end of this interval.")]
    differs: Annotated[
        bool | None,
        Meta(
            description="Whether the difference is more than noise: the interval excludes 1. Null for fewer than 5 values."
        ),
    ]


class BenchmarkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark."""

    id: Annotated[UUID, Meta(description="Id of the benchmark, which is that of its job.")]
    state: Annotated[PublicState, Meta(description="State of the job.")]
    models: Annotated[list[str], Meta(description="The models that are measured.")]
    total: Annotated[int, Meta(description="Number of calls to measure.")]
    done: Annotated[int, Meta(description="Number of calls that were measured.")]
    error: Annotated[dict[str, Any] | None, Meta(description="Why the job failed; null if it did not.")]
    created_at: Annotated[datetime, Meta(description="When it was submitted.")]
    started_at: Annotated[datetime | None, Meta(description="When it first ran; null if it has not.")]
    finished_at: Annotated[datetime | None, Meta(description="When it ended; null if it has not.")]


class BenchmarkDetailOut(BenchmarkOut, frozen=True, kw_only=True):
    """A benchmark with what was measured so far."""

    settings: Annotated[dict[str, Any], Meta(description="What was asked for, with defaults filled in.")]
    quality: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Of a benchmark of quality, how many questions came out right, and more by `measure`; else null."
        ),
    ]
    results: Annotated[list[ResultOut], Meta(description="Figures of each model.")]
    comparison: Annotated[
        list[ComparisonOut],
        Meta(description="Each model compared with the first, pair by pair of calls that came after one another."),
    ]


class BenchmarkAnswerOut(BenchmarkDetailOut, frozen=True, kw_only=True):
    """A finished benchmark, with the figures of its first model as plain numbers."""

    job_id: Annotated[UUID, Meta(description="Id of the job.")]
    model_name: Annotated[str, Meta(description="The first model.")]
    iterations: Annotated[int, Meta(description="Calls of the first model.")]
    avg_time: Annotated[float | None, Meta(description="Its mean time to the end of an answer, in seconds.")]
    min_time: Annotated[float | None, Meta(description="Its shortest time, in seconds.")]
    max_time: Annotated[float | None, Meta(description="Its longest time, in seconds.")]
    avg_first_token: Annotated[float | None, Meta(description="Its mean time to the first token, in seconds.")]
    tokens_per_second: Annotated[float | None, Meta(description="Its mean speed.")]


class BenchmarksOut(msgspec.Struct, frozen=True):
    """A page of benchmarks, newest first."""

    items: Annotated[list[BenchmarkOut], Meta(description="The benchmarks of this page.")]
    next_cursor: NextCursor


class IterationOut(msgspec.Struct, frozen=True, kw_only=True):
    """One measured call."""

    place: Annotated[int, Meta(description="Its place in the benchmark, from 0.")]
    model: Annotated[str, Meta(description="The model.")]
    number: Annotated[int, Meta(description="Which of the model's calls it is, from 1.")]
    prompt: Annotated[int, Meta(description="Index of its prompt.")]
    attempt: Annotated[int, Meta(description="The attempt of the job that made it.")]
    started_at: Annotated[datetime, Meta(description="When it began.")]
    first_token_ms: Annotated[float | None, Meta(description="Milliseconds to the first token.")]
    tokens_per_second: Annotated[
        float | None, Meta(description="Tokens per second, between the first and the last one.")
    ]
    total_ms: Annotated[float, Meta(description="Milliseconds to the end of the answer, or to the error.")]
    input_tokens: Annotated[int, Meta(description="Tokens that were sent.")]
    output_tokens: Annotated[int, Meta(description="Tokens that came back.")]
    estimated: Annotated[bool, Meta(description="Whether these counts are estimates.")]
    cost_usd: Annotated[float, Meta(description="What it cost, in US dollars.")]
    error: Annotated[dict[str, Any] | None, Meta(description="Why it failed: `code` and `message`.")]


class IterationsOut(msgspec.Struct, frozen=True):
    """A page of measured calls, in their order."""

    items: Annotated[list[IterationOut], Meta(description="The calls of this page.")]
    next_cursor: NextCursor


class RunResultOut(ResultOut, frozen=True, kw_only=True):
    """Figures of a model in one benchmark."""

    benchmark_id: Annotated[UUID, Meta(description="The benchmark.")]


class HistoryEntryOut(RunResultOut, frozen=True, kw_only=True):
    """Figures of a model in an earlier benchmark."""

    created_at: Annotated[datetime, Meta(description="When the figures were added up.")]


class HistoryOut(msgspec.Struct, frozen=True):
    """A page of a model's figures, newest first."""

    items: Annotated[list[HistoryEntryOut], Meta(description="The figures of this page.")]
    next_cursor: NextCursor


class RunComparisonOut(ComparisonOut, frozen=True, kw_only=True):
    """One figure of a model in one benchmark as a ratio to the baseline's."""

    benchmark_id: Annotated[UUID, Meta(description="The benchmark.")]
    baseline_id: Annotated[UUID, Meta(description="The benchmark that the baseline is from.")]


class ComparedOut(msgspec.Struct, frozen=True):
    """Several benchmarks beside each other."""

    results: Annotated[
        list[RunResultOut], Meta(description="Figures of each model in each benchmark, in the order asked.")
    ]
    comparison: Annotated[
        list[RunComparisonOut],
        Meta(
            description="Each compared with the same model in the first benchmark that has it, or else with the first of all."
        ),
    ]


SPREAD_EXAMPLE: dict[str, Any] = {
    **{"n": 10, "mean": 41.2, "stddev": 1.4, "min": 39.4, "p50": 41.0, "p95": 43.6, "p99": 43.9, "max": 44.0},
    **{"low": 40.4, "high": 42.0},
}
RESULT_EXAMPLE: dict[str, Any] = {
    "model": "ollama/llama3.2:3b",
    **{"iterations": 10, "succeeded": 10, "errors": {}, "input_tokens": 120, "output_tokens": 1280, "estimated": False},
    "cost_usd": 0.0,
    "first_token_ms": SPREAD_EXAMPLE,
    "tokens_per_second": SPREAD_EXAMPLE | {"mean": 38.5, "p50": 38.6, "low": 38.1, "high": 38.9},
    "total_ms": SPREAD_EXAMPLE | {"mean": 3360.0, "p50": 3351.0, "low": 3322.0, "high": 3398.0},
}
COMPARISON_EXAMPLE: dict[str, Any] = {
    **{"model": "ollama/gemma3:1b", "baseline": "ollama/llama3.2:3b", "metric": "total_ms", "n": 10},
    **{"ratio": 0.48, "low": 0.46, "high": 0.5, "differs": True},
}
BENCHMARK_EXAMPLE: dict[str, Any] = {
    "id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    "state": "succeeded",
    "models": ["ollama/llama3.2:3b", "ollama/gemma3:1b"],
    "total": 20,
    "done": 20,
    "error": None,
    "created_at": "2026-05-04T08:15:30Z",
    "started_at": "2026-05-04T08:15:30Z",
    "finished_at": "2026-05-04T08:16:41Z",
}
SETTINGS_EXAMPLE: dict[str, Any] = {
    "models": BENCHMARK_EXAMPLE["models"],
    "prompts": [DEFAULT_PROMPT],
    **{"iterations": 10, "concurrency": 1, "warmup": 1, "max_tokens": 128, "temperature": None, "seed": None},
}
DETAIL_EXAMPLE: dict[str, Any] = BENCHMARK_EXAMPLE | {
    "settings": SETTINGS_EXAMPLE,
    "quality": None,
    "results": [RESULT_EXAMPLE],
    "comparison": [COMPARISON_EXAMPLE],
}
ANSWER_EXAMPLE: dict[str, Any] = DETAIL_EXAMPLE | {
    "job_id": BENCHMARK_EXAMPLE["id"],
    "model_name": "ollama/llama3.2:3b",
    **{"iterations": 10, "avg_time": 3.36, "min_time": 3.29, "max_time": 3.44, "avg_first_token": 0.041},
    "tokens_per_second": 38.5,
}
ITERATION_EXAMPLE: dict[str, Any] = {
    **{"place": 0, "model": "ollama/llama3.2:3b", "number": 1, "prompt": 0, "attempt": 1},
    "started_at": "2026-05-04T08:15:32Z",
    **{"first_token_ms": 41.2, "tokens_per_second": 38.6, "total_ms": 3351.0, "input_tokens": 12, "output_tokens": 128},
    **{"estimated": False, "cost_usd": 0.0, "error": None},
}
RUN_RESULT_EXAMPLE: dict[str, Any] = RESULT_EXAMPLE | {"benchmark_id": BENCHMARK_EXAMPLE["id"]}
COMPARED_EXAMPLE: dict[str, Any] = {
    "results": [RUN_RESULT_EXAMPLE],
    "comparison": [
        COMPARISON_EXAMPLE
        | {
            "model": "ollama/llama3.2:3b",
            "benchmark_id": "019a5d01-2222-7c11-9f53-0c9d2f6f6b1e",
            "baseline_id": BENCHMARK_EXAMPLE["id"],
        }
    ],
}
