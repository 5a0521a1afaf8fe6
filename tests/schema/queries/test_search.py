"""What the search statements find, and what they never find, for any caller and with or without the index."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from unicodedata import normalize
from uuid import UUID

import psycopg
import pytest

from schema.ids import new_id
from schema.postgres.connections import Pool, pool_for, tenant_tx
from schema.queries.documents.search import (
    ALWAYS_EXACT_CHUNKS,
    Filters,
    Scope,
    Space,
    find_by_words,
    find_nearest,
    find_scope,
    list_unknown_documents,
    read_passages,
    read_vectors,
    read_words,
)
from tests.conftest import TestTenant, make_tenant
from tests.retrieval.document_tables import DocumentRows, DocumentTables

NEAR, FAR, AWAY = [1.0, 0.0, 0.1], [0.6, 0.8, 0.0], [-1.0, 0.1, 0.0]
BOTH_WAYS = pytest.mark.parametrize("exact", [True, False], ids=["exact", "indexed"])


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=2) as opened:
        yield opened


@pytest.fixture
def tables(database_url: str, tenant: TestTenant) -> DocumentTables:
    return DocumentTables(database_url, tenant.id)


@pytest.fixture
def space(tables: DocumentTables) -> Space:
    return Space(tables.space("test/three", 3), "test/three", 3)


def make_user(tables: DocumentTables) -> UUID:
    user_id = new_id()
    with psycopg.connect(tables.database_url) as db:
        sql = "INSERT INTO users (tenant_id, id, email, name, role) VALUES (%s, %s, %s, 'x', 'member')"
        db.execute(sql, (tables.tenant_id, user_id, f"{user_id}@example.com"))
    return user_id


async def scope_of(
    pool: Pool,
    tables: DocumentTables,
    *,
    reader: UUID | None = None,
    collections: Sequence[UUID] | None = None,
    filters: Filters | None = None,
) -> Scope:
    async with tenant_tx(pool, tables.tenant_id) as db:
        return await find_scope(db, tables.tenant_id, reader, collections=collections, filters=filters or Filters())


async def nearest(
    pool: Pool,
    scope: Scope,
    space: Space,
    query: Sequence[float] = NEAR,
    *,
    exact: bool = True,
    visible_user_id: UUID | None = None,
) -> list[UUID]:
    async with tenant_tx(pool, scope.tenant_id, user_id=visible_user_id) as db:
        return [row.chunk_id for row in await find_nearest(db, scope, space, query, limit=10, exact=exact)]


async def by_words(
    pool: Pool, scope: Scope, query: str, *phrases: str, visible_user_id: UUID | None = None
) -> list[UUID]:
    """Find the passages with any word of a query or, if given, all phrases."""
    async with tenant_tx(pool, scope.tenant_id, user_id=visible_user_id) as db:
        row = await read_words(db, scope.tenant_id, scope.reader, query, phrases)
        if not row.words:
            return []
        terms = [word for word, phrase in zip(row.words, row.phrases, strict=True) if phrase or not phrases]
        candidates = (" & " if phrases else " | ").join(f"({word})" for word in terms)
        weights = [1.0] * len(row.words)
        rows = await find_by_words(db, scope, candidates=candidates, words=row.words, weights=weights, limit=10)
    return [row.chunk_id for row in rows]


@BOTH_WAYS
async def test_the_nearest_chunks_come_first(pool: Pool, tables: DocumentTables, space: Space, exact: bool) -> None:
    document = DocumentRows(name="a", passages=["far", "near", "away"], vectors=[FAR, NEAR, AWAY])
    far, near, away = tables.add(tables.collection("c", space=space.id), document, space=space.id)["a"]
    scope = await scope_of(pool, tables)
    assert [near, far, away] == await nearest(pool, scope, space, exact=exact)
    async with tenant_tx(pool, tables.tenant_id) as db:
        (best, *_) = await find_nearest(db, scope, space, NEAR, limit=1, exact=exact)
    assert pytest.approx(1.0, abs=1e-3) == best.score


async def test_exact_and_indexed_searches_have_the_intended_plans(
    pool: Pool, tables: DocumentTables, space: Space
) -> None:
    collection = tables.collection("c", space=space.id)
    tables.add(collection, DocumentRows(name="a", passages=["x"] * 50, vectors=[FAR] * 50), space=space.id)
    plans = {}
    for exact in (True, False):
        async with tenant_tx(pool, tables.tenant_id) as db:
            scope = await find_scope(db, tables.tenant_id, None, collections=None, filters=Filters())
            plans[exact] = await explained(db, scope, space, exact=exact)
    assert "embedding_idx" not in plans[True]
    assert "embedding_idx" in plans[False]
    assert 1 == plans[False].count("Index Scan using"), "one of the eight parts is read"


async def explained(db, scope: Scope, space: Space, *, exact: bool | None) -> str:
    """The plan of the statement that a search runs."""

    class Explaining:
        def cursor(self, **options: object) -> "Explaining":
            return self

        async def execute(self, sql: str, values: object, **options: object):
            return await db.execute(f"EXPLAIN (ANALYZE) {sql}" if "<=>" in sql else sql, values, **options)

    rows = await find_nearest(Explaining(), scope, space, NEAR, limit=1, exact=exact)
    return "\n".join(row["QUERY PLAN"] for row in rows)


@BOTH_WAYS
async def test_another_tenants_passages_are_never_found(
    pool: Pool, tables: DocumentTables, space: Space, database_url: str, exact: bool
) -> None:
    other = DocumentTables(database_url, make_tenant(database_url).id)
    theirs = other.add(
        other.collection("c", space=space.id), DocumentRows(name="a", passages=["x"], vectors=[NEAR]), space=space.id
    )
    own = tables.add(
        tables.collection("c", space=space.id), DocumentRows(name="a", passages=["y"], vectors=[AWAY]), space=space.id
    )
    assert own["a"] == await nearest(pool, await scope_of(pool, tables), space, exact=exact)
    forged = Scope(tenant_id=other.tenant_id, reader=None, chunks=1)
    async with tenant_tx(pool, tables.tenant_id) as db:  # row-level security holds whatever the statement says
        assert [] == await find_nearest(db, forged, space, NEAR, limit=10, exact=exact)
        assert {} == await read_passages(db, other.tenant_id, None, theirs["a"], [], [])
        assert {} == await read_vectors(db, other.tenant_id, None, space, theirs["a"])


@pytest.mark.parametrize("names_user", [True, False], ids=["a member's transaction", "an owner's transaction"])
@BOTH_WAYS
async def test_another_users_private_documents_are_never_found(
    pool: Pool, tables: DocumentTables, space: Space, exact: bool, names_user: bool
) -> None:
    ada, ben = make_user(tables), make_user(tables)
    documents = [
        DocumentRows(name="shared", passages=["the weir is shared"], vectors=[FAR]),
        DocumentRows(name="ada's", passages=["the weir is Ada's"], vectors=[NEAR], user_id=ada),
        DocumentRows(name="ben's", passages=["the weir is Ben's"], vectors=[NEAR], user_id=ben),
    ]
    made = tables.add(tables.collection("c", space=space.id), *documents, space=space.id)
    seen = {*made["shared"], *made["ada's"]}
    scope, visible_user_id = await scope_of(pool, tables, reader=ada), ada if names_user else None
    assert seen == set(await nearest(pool, scope, space, exact=exact, visible_user_id=visible_user_id))
    assert seen == set(await by_words(pool, scope, "weir", visible_user_id=visible_user_id))
    nobody = await scope_of(pool, tables)
    assert made["shared"] == await nearest(pool, nobody, space, exact=exact)
    assert made["shared"] == await by_words(pool, nobody, "weir")
    by_id = await scope_of(pool, tables, reader=ada, filters=Filters(documents=[tables.document_id("ben's")]))
    assert ("{}", 0) == (by_id.documents, by_id.chunks)
    async with tenant_tx(pool, tables.tenant_id, user_id=visible_user_id) as db:
        assert {} == await read_passages(db, tables.tenant_id, ada, made["ben's"], [], [])
        assert {} == await read_vectors(db, tables.tenant_id, ada, space, made["ben's"])
        assert [1] == (await read_words(db, tables.tenant_id, ada, "Ada", ())).counts
        assert [0] == (await read_words(db, tables.tenant_id, ada, "Ben", ())).counts
        terms = [tables.document_id(name) for name in made]
        assert terms[2:] == await list_unknown_documents(db, tables.tenant_id, ada, terms)


async def test_a_reader_other_than_the_transactions_user_gets_only_shared_documents(
    pool: Pool, tables: DocumentTables, space: Space
) -> None:
    ada, ben = make_user(tables), make_user(tables)
    mine = DocumentRows(name="ben's", passages=["the weir"], vectors=[NEAR], user_id=ben)
    tables.add(tables.collection("c", space=space.id), mine, space=space.id)
    scope = Scope(tenant_id=tables.tenant_id, reader=ben, chunks=1)
    assert [] == await nearest(pool, scope, space, visible_user_id=ada)
    assert [] == await by_words(pool, scope, "weir", visible_user_id=ada)


async def test_words_of_other_tenants_are_neither_found_nor_counted(
    pool: Pool, tables: DocumentTables, database_url: str
) -> None:
    other = DocumentTables(database_url, make_tenant(database_url).id)
    other.add(other.collection("c"), DocumentRows(name="a", passages=["penstock"]))
    tables.add(tables.collection("c"), DocumentRows(name="a", passages=["sluice"]))
    scope = await scope_of(pool, tables)
    assert [] == await by_words(pool, scope, "penstock")
    async with tenant_tx(pool, tables.tenant_id) as db:
        assert [0] == (await read_words(db, tables.tenant_id, None, "penstock", ())).counts


@pytest.mark.parametrize("query", ["công nợ", "cong no", "CÔNG NỢ", "co\u0302ng no\u031b\u0323"])
async def test_accents_are_ignored(pool: Pool, tables: DocumentTables, query: str) -> None:
    made = tables.add(
        tables.collection("c"), DocumentRows(name="a", passages=["Quản lý công nợ khách hàng", "Vận đơn"])
    )
    found = await by_words(pool, await scope_of(pool, tables), normalize("NFC", query))
    assert made["a"][:1] == found


async def test_a_phrase_matches_literally(pool: Pool, tables: DocumentTables) -> None:
    passages = ["the mill race runs dry", "a race to the mill"]
    first, second = tables.add(tables.collection("c"), DocumentRows(name="a", passages=passages))["a"]
    scope = await scope_of(pool, tables)
    assert {first, second} == set(await by_words(pool, scope, "mill race"))
    assert [first] == await by_words(pool, scope, '"mill race"', "mill race")


@pytest.mark.parametrize(
    "query",
    [
        "a & b",
        "foo | !bar",
        "it's",
        "'",
        "\\",
        "a\\'b",
        ":*",
        "x:*A",
        "<->",
        "((",
        "mill <2> race",
        "🌊",
        "'; DROP TABLE chunks",
        "https://example.com/a?b='c'",
        "C:\\temp\\x",
        "%s %(a)s {}",
    ],
)
async def test_no_character_of_a_query_is_an_operator(pool: Pool, tables: DocumentTables, query: str) -> None:
    made = tables.add(tables.collection("c"), DocumentRows(name="a", passages=[f"It says {query} here."]))
    found = await by_words(pool, await scope_of(pool, tables), f"says {query}")
    assert made["a"] == found


@pytest.mark.parametrize("query", ["", "   ", "?!…", "&|!()"])
async def test_a_query_without_a_word_has_no_words(pool: Pool, tables: DocumentTables, query: str) -> None:
    async with tenant_tx(pool, tables.tenant_id) as db:
        row = await read_words(db, tables.tenant_id, None, query, ())
    assert ([], []) == (row.words, row.counts)


@BOTH_WAYS
async def test_collections_and_documents_limit_what_is_found(
    pool: Pool, tables: DocumentTables, space: Space, exact: bool
) -> None:
    one, two = tables.collection("one", space=space.id), tables.collection("two", space=space.id)
    made = tables.add(one, DocumentRows(name="a", passages=["a weir"], vectors=[FAR]), space=space.id)
    made |= tables.add(
        two, *(DocumentRows(name=name, passages=["a weir"], vectors=[NEAR]) for name in "bc"), space=space.id
    )
    for collections, filters, expected in (
        ([one], Filters(), made["a"]),
        ([two], Filters(), made["b"] + made["c"]),
        (None, Filters(documents=[tables.document_id("b")]), made["b"]),
        ([one], Filters(documents=[tables.document_id("b")]), []),
        ([], Filters(), []),
    ):
        scope = await scope_of(pool, tables, collections=collections, filters=filters)
        assert sorted(expected) == sorted(await nearest(pool, scope, space, exact=exact))
        assert sorted(expected) == sorted(await by_words(pool, scope, "weir"))


MAY, JUNE = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (Filters(created_before=JUNE), "a"),
        (Filters(created_after=JUNE), "b"),
        (Filters(created_after=MAY, created_before=JUNE), "a"),
        (Filters(language="vi"), "b"),
        (Filters(metadata={"year": 2026}), "ab"),
        (Filters(metadata={"year": "2026"}), ""),
        (Filters(metadata={"year": [2025, 2026], "kind": "lease"}), "a"),
        (Filters(metadata={"kind": ["lease", "deed"]}), "ab"),
        (Filters(metadata={"tags": "river"}), "a"),
        (Filters(metadata={"tags": ["mill", "canal"]}), "ab"),
        (Filters(metadata={"owner": {"town": "Hue"}}), "b"),
        (Filters(metadata={"tags": []}), ""),
        (Filters(metadata={"none": None}), "b"),
    ],
)
async def test_filters_select_the_matching_documents(
    pool: Pool, tables: DocumentTables, filters: Filters, names: str
) -> None:
    lease = {"year": 2026, "kind": "lease", "tags": ["river", "mill"]}
    deed = {"year": 2026, "kind": "deed", "tags": ["canal"], "owner": {"town": "Hue", "street": "x"}, "none": None}
    made = tables.add(
        tables.collection("c"),
        DocumentRows(name="a", passages=["a weir"], metadata=lease, created_at=MAY, language="en"),
        DocumentRows(name="b", passages=["a weir", "a lock"], metadata=deed, created_at=JUNE, language="vi"),
    )
    scope = await scope_of(pool, tables, filters=filters)
    expected = {name: len(made[name]) for name in names}
    assert (len(expected), sum(expected.values())) == (scope.found, scope.chunks)
    assert {made[name][0] for name in names} == set(await by_words(pool, scope, "weir"))


async def test_the_size_of_a_small_scope_is_exact(pool: Pool, tables: DocumentTables) -> None:
    one, two = tables.collection("one"), tables.collection("two")
    tables.add(one, DocumentRows(name="a", passages=["x"] * 3))
    tables.add(two, DocumentRows(name="b", passages=["x"] * 2))
    assert 5 == (await scope_of(pool, tables)).chunks
    ada, ben = make_user(tables), make_user(tables)
    tables.add(two, *(DocumentRows(name="c", passages=["x"] * 4, user_id=user) for user in (ada, ben)))
    with psycopg.connect(tables.database_url) as db:  # as if it had a large document
        db.execute(
            "UPDATE documents SET chunks = %s WHERE name = 'a' AND tenant_id = %s",
            (ALWAYS_EXACT_CHUNKS, tables.tenant_id),
        )
    for reader, own in ((None, 0), (ada, 4)):
        scopes = [await scope_of(pool, tables, reader=reader, collections=chosen) for chosen in (None, [one], [two])]
        assert [ALWAYS_EXACT_CHUNKS + 2 + own, ALWAYS_EXACT_CHUNKS, 2 + own] == [scope.chunks for scope in scopes]


async def test_the_cheaper_way_is_chosen(pool: Pool, tables: DocumentTables, space: Space) -> None:
    tables.add(
        tables.collection("c", space=space.id), DocumentRows(name="a", passages=["x"], vectors=[NEAR]), space=space.id
    )
    ways = []
    for chunks, indexed in (
        (ALWAYS_EXACT_CHUNKS, 10_000_000),
        (5_000, 10_000_000),
        (20_000, 1_000_000),
        (200_000, 1_000_000),
    ):
        with psycopg.connect(tables.database_url) as db:
            parts = f"chunk_vectors_{space.id}_%"
            db.execute("UPDATE pg_class SET reltuples = %s WHERE relkind = 'r' AND relname LIKE %s", (indexed, parts))
        scope = Scope(tenant_id=tables.tenant_id, reader=None, chunks=chunks)
        async with tenant_tx(pool, tables.tenant_id) as db:
            ways.append("embedding_idx" in await explained(db, scope, space, exact=None))
    assert [False, False, True, True] == ways


@BOTH_WAYS
async def test_only_vectors_of_the_searched_space_are_compared(
    pool: Pool, tables: DocumentTables, space: Space, exact: bool
) -> None:
    other = Space(tables.space("test/two", 2), "test/two", 2)
    collection = tables.collection("c", space=space.id, next_space=other.id, next_embedder="test/two")
    made = tables.add(collection, DocumentRows(name="a", passages=["x", "y"], vectors=[NEAR, FAR]), space=space.id)
    tables.embed(other.id, {made["a"][1]: [0.0, 1.0]})
    scope = await scope_of(pool, tables)
    assert made["a"] == await nearest(pool, scope, space, exact=exact)
    assert made["a"][1:] == await nearest(pool, scope, other, [0.0, 1.0], exact=exact)
    async with tenant_tx(pool, tables.tenant_id) as db:
        vectors = await read_vectors(db, tables.tenant_id, None, other, made["a"])
    assert {made["a"][1]: [0.0, 1.0]} == vectors


async def test_a_scope_that_the_index_misses_is_compared_one_by_one(
    pool: Pool, tables: DocumentTables, space: Space
) -> None:
    """As if nearly all of a tenant's documents belonged to other users."""
    ada, ben = make_user(tables), make_user(tables)
    collection = tables.collection("c", space=space.id)
    tables.add(
        collection, DocumentRows(name="b", passages=["x"] * 300, vectors=[NEAR] * 300, user_id=ben), space=space.id
    )
    mine = DocumentRows(name="a", passages=["y"] * 3, vectors=[AWAY] * 3, user_id=ada)
    made = tables.add(collection, mine, space=space.id)
    scope = Scope(tenant_id=tables.tenant_id, reader=ada, chunks=10**9)
    async with tenant_tx(pool, tables.tenant_id) as db:
        await db.execute("SELECT set_config('hnsw.max_scan_tuples', '1', true)")
        rows = await find_nearest(db, scope, space, NEAR, limit=3)
    assert sorted(made["a"]) == sorted(row.chunk_id for row in rows)


async def test_a_passage_has_all_that_a_citation_needs(pool: Pool, tables: DocumentTables) -> None:
    collection = tables.collection("rivers")
    written = DocumentRows(
        name="a.pdf", passages=["the weir", "the mill"], headings=["One", "Two"], metadata={"year": 1}
    )
    _, second = tables.add(collection, written)["a.pdf"]
    async with tenant_tx(pool, tables.tenant_id) as db:
        row = (await read_passages(db, tables.tenant_id, None, [second], ["'mill'", "'weir'"], [2.0, 0.5]))[second]
    assert ("the mill", "Two", 2, "a.pdf", "rivers", {"year": 1}, 2.0) == tuple(
        getattr(row, name) for name in ("text", "heading", "page", "document", "collection", "metadata", "covered")
    )
