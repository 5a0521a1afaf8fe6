"""The labelled set: documents of a fictional company and town, in English and Vietnamese, and questions with the passage that
answers each, or none.

Parameters may be tuned on `dev` only. Don't look at the results of single questions of `held_out`: it would no longer be a
fair measure.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from graphs.embeddings.registry import OpenEmbedder
from tests.retrieval.document_tables import MINILM, DocumentRows, DocumentTables

DATA = Path(__file__).parent / "data"

Half = Literal["dev", "held_out"]


@dataclass(frozen=True)
class Question:
    """A question and the passages (`name#index`) that answer it; none if the answer is not in the documents."""

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


async def store_documents(tables: DocumentTables, embedder: OpenEmbedder) -> dict[UUID, str]:
    """Store all documents in one collection of the tenant; return the name by which questions refer to each chunk."""
    documents = read_documents()
    texts = [text for document in documents for text in document["passages"]]
    vectors = iter(await embedder.embed(texts))
    written = [
        DocumentRows(
            name=document["name"],
            passages=document["passages"],
            vectors=[next(vectors) for _ in document["passages"]],
            language=document["language"],
        )
        for document in documents
    ]
    space = tables.space(MINILM, 384)
    made = tables.add(tables.collection("labelled", space=space, embedder="minilm"), *written, space=space)
    return {chunk_id: f"{name}#{place}" for name, ids in made.items() for place, chunk_id in enumerate(ids)}


def answered(questions: Sequence[Question]) -> list[Question]:
    """Return the questions that the documents answer."""
    return [question for question in questions if question.relevant]


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]
