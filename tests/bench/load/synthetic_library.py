"""Very many chunks of made-up documents, put straight into the tables of a database of their own.

Tenants are of very different sizes, from a hundred chunks to a fifth of all. Vectors gather in topics as those of texts do: 48
independent directions, bent into 384 by a random map. Words are as frequent as in any language (Zipf).
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from schema.installation.migrate import migrate
from schema.queries.documents.search import Space

DIMENSIONS, LATENT, TOPICS, OWN_TOPICS = 384, 48, 400, 12
SPREAD, NOISE = 0.55, 0.02
PER_DOCUMENT = 20
PER_BLOCK = 20_000
VOCABULARY, WORDS = 50_000, 25
COLLECTIONS = (0.6, 0.25, 0.1, 0.05)
LARGE = (0.2, 0.2, 0.1, 0.1, *[0.05] * 3, *[0.025] * 4, *[0.01] * 5)
"""Shares of the large tenants; half of the rest belongs to tenants of 1,000 chunks, half to tenants of 100."""
COPY_HEADER, COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reader:
    """A tenant of the library."""

    id: UUID
    chunks: int
    topics: Floats
    collections: tuple[UUID, ...]


@dataclass
class Library:
    """A database with so many chunks, and what filling it took. `url` is the owner's."""

    url: str
    chunks: int
    space: Space
    tenants: list[Reader] = field(default_factory=list)
    load_s: float = 0.0
    build_s: float = 0.0
    index_bytes: int = 0
    table_bytes: int = 0
    bend: Floats = field(default_factory=lambda: _random(1).standard_normal((LATENT, DIMENSIONS)).astype(np.float32))

    def question(self, reader: Reader, random: np.random.Generator) -> list[float]:
        """Return the vector of a question about one of a tenant's topics."""
        return self.vectors(reader, 1, random)[0].tolist()

    def vectors(self, reader: Reader, count: int, random: np.random.Generator) -> Floats:
        """Return vectors of length 1 about a tenant's topics."""
        latent = reader.topics[random.integers(len(reader.topics), size=count)]
        latent = latent + SPREAD * random.standard_normal((count, LATENT), dtype=np.float32)
        found = latent @ self.bend + NOISE * random.standard_normal((count, DIMENSIONS), dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def create_library(server_url: str, chunks: int, *, memory: str = "1GB") -> Library:
    """Make a database with so many chunks; the indexes are built when all are there."""
    name = f"library_{chunks}_{time.monotonic_ns()}"
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}"')
    url = f"{server_url.rsplit('/', 1)[0]}/{name}"
    migrate(url)
    with psycopg.connect(url, autocommit=True) as db:
        space = db.execute("SELECT open_vector_space('bench/384', %s) AS id", (DIMENSIONS,)).fetchone()
        assert space is not None
        library = Library(url, chunks, Space(space[0], "bench/384", DIMENSIONS))
        # Nobody else is here: what holds rows together is not checked while they come, and indexes wait.
        db.execute("SET session_replication_role = replica")
        db.execute(f"SET maintenance_work_mem = '{memory}'")
        indexes = _drop_indexes(db, library.space.id)
        began = time.monotonic()
        for reader in _readers(chunks):
            library.tenants.append(reader)
            _add(db, library, reader)
        library.load_s = time.monotonic() - began
        began = time.monotonic()
        for sql in indexes:
            db.execute(sql)
        library.build_s = time.monotonic() - began
        db.execute("VACUUM ANALYZE")
        library.index_bytes, library.table_bytes = _sizes(db)
    return library


def drop_library(library: Library) -> None:
    """Remove the database."""
    server, _, name = library.url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as db:
        db.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def phrase(random: np.random.Generator, words: int) -> str:
    """Return words, each as often as in a language."""
    return " ".join(f"w{place}" for place in np.minimum(random.zipf(1.2, words), VOCABULARY))


def _readers(chunks: int) -> Iterator[Reader]:
    random = _random(2)
    topics = 2 * random.standard_normal((TOPICS, LATENT)).astype(np.float32)
    sizes = [int(share * chunks) for share in LARGE]
    left = chunks - sum(sizes)
    for size, many in ((1000, left // 2 // 1000), (100, left // 2 // 100)):
        sizes += [size] * many
    for size in sizes:
        own = topics[random.integers(TOPICS, size=OWN_TOPICS)]
        own = own + 0.3 * random.standard_normal(own.shape).astype(np.float32)
        yield Reader(_id(random), size, own, tuple(_id(random) for _ in COLLECTIONS))


def _add(db: psycopg.Connection, library: Library, reader: Reader) -> None:
    random, tenant = _random(reader.id.int % 2**32), reader.id
    db.execute("INSERT INTO tenants (id, slug, name) VALUES (%s, %s, 'x')", (tenant, f"t-{tenant.hex}"))
    for number, collection in enumerate(reader.collections):
        db.execute(
            """INSERT INTO collections (tenant_id, id, name, chunk_characters, chunk_overlap, embedder, space)
              VALUES (%s, %s, %s, 1000, 200, 'fixed', %s)""",
            (tenant, collection, f"c{number}", library.space.id),
        )
    db.execute("INSERT INTO knowledge (tenant_id, chunks) VALUES (%s, %s)", (tenant, reader.chunks))
    for begin in range(0, reader.chunks, PER_BLOCK):
        count = min(PER_BLOCK, reader.chunks - begin)
        documents = [_id(random) for _ in range(-(-count // PER_DOCUMENT))]
        homes = random.choice(len(COLLECTIONS), size=len(documents), p=COLLECTIONS)
        chunks, own = [_id(random) for _ in range(count)], np.arange(count) // PER_DOCUMENT
        _copy_documents(db, reader, documents, homes, count)
        _copy_chunks(db, reader, chunks, documents, homes, random)
        data = _rows(library, reader, chunks, [documents[place] for place in own], homes[own], random)
        with db.cursor().copy("COPY chunk_vectors FROM STDIN (FORMAT binary)") as copy:
            copy.write(COPY_HEADER + data + COPY_END)


def _copy_documents(
    db: psycopg.Connection, reader: Reader, documents: Sequence[UUID], homes: NDArray[np.int64], count: int
) -> None:
    columns = "tenant_id, id, collection_id, name, metadata, newest_version, live_version, chunks"
    with db.cursor().copy(f"COPY documents ({columns}) FROM STDIN") as copy:
        for place, document in enumerate(documents):
            held, collection = min(PER_DOCUMENT, count - place * PER_DOCUMENT), reader.collections[homes[place]]
            copy.write(f"{reader.id}\t{document}\t{collection}\t{document.hex}\t{{}}\t1\t1\t{held}\n")


def _copy_chunks(
    db: psycopg.Connection,
    reader: Reader,
    chunks: Sequence[UUID],
    documents: Sequence[UUID],
    homes: NDArray[np.int64],
    random: np.random.Generator,
) -> None:
    columns = "tenant_id, id, document_id, collection_id, place, text, heading, start, stop, digest"
    words = np.minimum(random.zipf(1.2, (len(chunks), WORDS)), VOCABULARY)
    with db.cursor().copy(f"COPY chunks ({columns}) FROM STDIN") as copy:
        for place, (chunk, said) in enumerate(zip(chunks, words.tolist(), strict=True)):
            document, collection = (
                documents[place // PER_DOCUMENT],
                reader.collections[homes[place // PER_DOCUMENT]],
            )
            text = " ".join(f"w{word}" for word in said)
            start = place % PER_DOCUMENT * 1000
            copy.write(
                f"{reader.id}\t{chunk}\t{document}\t{collection}\t{place % PER_DOCUMENT}\t{text}\t\t{start}\t"
                f"{start + 1000}\t\\\\x{chunk.hex}\n"
            )


def _rows(
    library: Library,
    reader: Reader,
    chunks: Sequence[UUID],
    documents: Sequence[UUID],
    homes: NDArray[np.int64],
    random: np.random.Generator,
) -> bytes:
    """Return rows of `chunk_vectors` as binary COPY has them: each value behind its length, halves in network order."""
    ids = [
        ("tenant_id", "S16"),
        ("chunk_id", "S16"),
        ("space", ">i2"),
        ("document_id", "S16"),
        ("collection_id", "S16"),
    ]
    layout: list[tuple[str, object]] = [("fields", ">i2")]
    for name, kind in ids:
        layout += [(f"{name}_length", ">i4"), (name, f"V{16}" if kind == "S16" else kind)]
    layout += [("user_length", ">i4"), ("length", ">i4"), ("dimensions", ">i2"), ("unused", ">i2")]
    layout.append(("embedding", ">f2", (DIMENSIONS,)))
    rows = np.zeros(len(chunks), dtype=np.dtype(layout))
    rows["fields"], rows["user_length"] = 7, -1
    for name, kind in ids:
        rows[f"{name}_length"] = 16 if kind == "S16" else 2
    rows["tenant_id"] = np.frombuffer(reader.id.bytes, "V16")[0]
    rows["chunk_id"] = np.frombuffer(b"".join(one.bytes for one in chunks), "V16")
    rows["document_id"] = np.frombuffer(b"".join(one.bytes for one in documents), "V16")
    collections = np.frombuffer(b"".join(one.bytes for one in reader.collections), "V16")
    rows["collection_id"] = collections[homes]
    rows["space"], rows["length"], rows["dimensions"] = library.space.id, 4 + 2 * DIMENSIONS, DIMENSIONS
    rows["embedding"] = library.vectors(reader, len(chunks), random)
    return rows.tobytes()


def _drop_indexes(db: psycopg.Connection, space: int) -> list[str]:
    """Drop the indexes that are quicker to build at the end; return what makes them again."""
    sql = """SELECT indexname, indexdef FROM pg_indexes
      WHERE indexdef LIKE '%%USING hnsw%%' AND tablename LIKE %s OR indexname = 'chunks_words'"""
    found = db.execute(sql, (f"chunk_vectors_{space}_%",)).fetchall()
    for name, _ in found:
        db.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]


def _sizes(db: psycopg.Connection) -> tuple[int, int]:
    sql = """SELECT sum(pg_relation_size(c.oid)) FILTER (WHERE a.amname = 'hnsw'),
      sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'r' AND c.relname LIKE 'chunk_vectors%')
      FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam"""
    row = db.execute(sql).fetchone()
    assert row is not None
    return int(row[0] or 0), int(row[1] or 0)


def _id(random: np.random.Generator) -> UUID:
    return uuid.UUID(bytes=random.bytes(16), version=4)


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
