"""The labelled set: documents of a made-up company and town, in English and Vietnamese, and questions with the passage that
answers each, or none.

`dev` is what figures may be fitted on. Whoever has looked at how single questions of `held_out` fare can't measure with them
any more.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from graphs.embeddings.registry import OpenEmbedder
from tests.retrieval.shelf import MINILM, Shelf, Written

DATA = Path(__file__).parent / "data"

Half = Literal["dev", "held_out"]


@dataclass(frozen=True)
class Question:
    """A question, and the passages (`name#place`) that answer it; none: it is not in the documents."""

    text: str
    kind: str
    language: str
    relevant: tuple[str, ...]


def read_questions(half: Half) -> list[Question]:
    """Return the questions of one half."""
    return [
        Question(row["text"], row["kind"], row["language"], tuple(row["relevant"]))
        for row in _rows("questions.jsonl")
        if row["half"] == half
    ]


def read_documents() -> list[dict[str, Any]]:
    """Return {name, language, passages} of every document."""
    return _rows("documents.jsonl")


async def stock(shelf: Shelf, embedder: OpenEmbedder) -> dict[UUID, str]:
    """Put all documents into one collection of the tenant; return how questions name each chunk."""
    documents = read_documents()
    texts = [text for document in documents for text in document["passages"]]
    vectors = iter(await embedder.embed(texts))
    written = [
        Written(
            name=document["name"],
            passages=document["passages"],
            vectors=[next(vectors) for _ in document["passages"]],
            language=document["language"],
        )
        for document in documents
    ]
    space = shelf.space(MINILM, 384)
    made = shelf.add(shelf.collection("labelled", space=space, embedder="minilm"), *written, space=space)
    return {chunk_id: f"{name}#{place}" for name, ids in made.items() for place, chunk_id in enumerate(ids)}


def answered(questions: Sequence[Question]) -> list[Question]:
    """Return those that the documents answer."""
    return [question for question in questions if question.relevant]


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]
