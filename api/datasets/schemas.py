"""Datasets, and how their questions come out, on the wire."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.http.paging import NextCursor
from workers.benchmarks.quality.items import MAX_ITEMS, Item, Measure

MAX_DATASETS = 200
MAX_TEXT, MAX_ITEM_BYTES = 5_000_000, 1024 * 1024
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

Name = Annotated[
    str, Meta(pattern=NAME, max_length=100, description="Name of the dataset: letters, digits, `.`, `_` and `-`.")
]
Model = Annotated[str, Meta(min_length=1, max_length=200)]


class DatasetIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Questions with what is right, as `items`, or as the text of a JSONL or CSV file."""

    name: Name
    items: Annotated[
        Annotated[list[Item], Meta(min_length=1, max_length=MAX_ITEMS)] | None,
        Meta(description="The questions.", extra={"max_bytes": MAX_ITEM_BYTES}),
    ] = None
    jsonl: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)] | None,
        Meta(description="The same with a JSON object on each line."),
    ] = None
    csv: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)] | None,
        Meta(
            description="The same as CSV with a header: `question`, `agent`, `passages` (separated by `|`), `check`, `value`, "
            "`tolerance`, `rubric`."
        ),
    ] = None


class FeedbackDatasetIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A dataset to be made of feedback."""

    name: Name


class QualityIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to judge of which dataset."""

    dataset: Name
    measure: Annotated[
        Measure,
        Meta(
            description="`routing`: which agent is chosen; `retrieval`: which passages are found; `answers`: what a model or an"
            " agent says."
        ),
    ]
    version: Annotated[Annotated[int, Meta(ge=1, le=2**31 - 1)] | None, Meta(description="The newest if omitted.")] = (
        None
    )
    model: Annotated[
        Model | None,
        Meta(
            description="Who answers: a model, your default one if omitted; an agent as `agent/NAME`; or `auto`, which selects "
            "an agent for each question."
        ),
    ] = None
    allow_side_effects: Annotated[
        bool, Meta(description="Whether an agent's tools may change something. Otherwise such calls are refused.")
    ] = False
    judge: Annotated[Model | None, Meta(description="Model that judges; the same one if omitted.")] = None
    collections: Annotated[
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=1, max_length=20)] | None,
        Meta(description="Names or ids of the collections to search; all if omitted."),
    ] = None
    k: Annotated[int, Meta(ge=1, le=100, description="How many passages a search returns.")] = 10
    concurrency: Annotated[int, Meta(ge=1, le=32, description="How many questions are under way at once.")] = 4
    max_tokens: Annotated[int, Meta(ge=1, le=8192, description="Most tokens of an answer.")] = 512
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None, Meta(description="The model's own if omitted.")
    ] = None
    seed: Annotated[Annotated[int, Meta(ge=0, le=2**31 - 1)] | None, Meta(description="Sent with each call.")] = None


class DatasetOut(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset."""

    id: Annotated[UUID, Meta(description="Id of the dataset.")]
    name: Annotated[str, Meta(description="Its name.")]
    version: Annotated[int, Meta(description="The newest version. Each upload makes one; earlier ones stay.")]
    items: Annotated[int, Meta(description="Number of questions of that version.")]
    created_by: Annotated[str, Meta(description="Who uploaded it first.")]
    created_at: Annotated[datetime, Meta(description="When that was.")]
    updated_at: Annotated[datetime, Meta(description="When the newest version was uploaded.")]


class DatasetsOut(msgspec.Struct, frozen=True):
    """A page of datasets, by name."""

    items: Annotated[list[DatasetOut], Meta(description="The datasets of this page.")]
    next_cursor: NextCursor


class DatasetItemOut(msgspec.Struct, frozen=True, kw_only=True):
    """A question."""

    place: Annotated[int, Meta(description="Its place in the dataset, from 0.")]
    item: Annotated[dict[str, Any], Meta(description="The question, with what is right.")]


class DatasetItemsOut(msgspec.Struct, frozen=True):
    """A page of questions."""

    items: Annotated[list[DatasetItemOut], Meta(description="The questions of this page.")]
    next_cursor: NextCursor


class JudgedOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a question came out."""

    place: Annotated[int, Meta(description="Its place in the dataset, from 0.")]
    question: Annotated[str, Meta(description="The question.")]
    correct: Annotated[bool | None, Meta(description="Whether it came out right; null if nobody could tell.")]
    outcome: Annotated[
        dict[str, Any], Meta(description="What was `expected`, and what was `found`; depends on `measure`.")
    ]


class JudgedPageOut(msgspec.Struct, frozen=True):
    """A page of judged questions."""

    items: Annotated[list[JudgedOut], Meta(description="The questions of this page.")]
    next_cursor: NextCursor


class ChangeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A question that came out otherwise."""

    question: Annotated[str, Meta(description="The question.")]
    before: Annotated[dict[str, Any], Meta(description="Its outcome then.")]
    after: Annotated[dict[str, Any], Meta(description="Its outcome now.")]


class ChangesOut(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs, question by question."""

    compared: Annotated[int, Meta(description="Questions that both runs have.")]
    only_here: Annotated[int, Meta(description="Questions of this run that the other one does not have.")]
    only_there: Annotated[int, Meta(description="Questions of the other run that this one does not have.")]
    became_right: Annotated[list[ChangeOut], Meta(description="What is right now, and was not.")]
    became_wrong: Annotated[list[ChangeOut], Meta(description="What was right, and is not any more.")]


DATASET_IN_EXAMPLE: dict[str, Any] = {
    "name": "routing-2026",
    "items": [
        {"question": "What does customer 0104985841 owe?", "agent": "AgentDebt"},
        {"question": "What is 17 × 23?", "answer": {"check": "number", "value": 391}},
    ],
}
DATASET_EXAMPLE: dict[str, Any] = {
    "id": "019a5c9e-7777-7c11-9f53-0c9d2f6f6b1e",
    **{"name": "routing-2026", "version": 1, "items": 2},
    "created_by": "user:019a5c9e-1111-7c11-9f53-0c9d2f6f6b1e",
    "created_at": "2026-05-04T08:15:30Z",
    "updated_at": "2026-05-04T08:15:30Z",
}
JUDGED_EXAMPLE: dict[str, Any] = {
    **{"place": 0, "question": "What does customer 0104985841 owe?", "correct": True},
    "outcome": {
        "expected": "AgentDebt",
        "found": "AgentDebt",
        "confidence": 0.98,
        "sure": True,
        "reason": "By its words.",
    },
}
CHANGES_EXAMPLE: dict[str, Any] = {
    **{"compared": 40, "only_here": 0, "only_there": 0, "became_right": [], "became_wrong": []},
}
