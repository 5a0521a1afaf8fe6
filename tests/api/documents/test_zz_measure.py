import time, pytest, psycopg
pytestmark = pytest.mark.asyncio(loop_scope="module")
from tests.api.documents.conftest import *
async def test_m(client, shelf, people):
    ids = await shelf.upload("big", "other", "share", by=people["ada"].actor, user_id=people["ada"].id, private=True)
    with psycopg.connect(shelf.database_url, autocommit=True) as db:
        db.execute("SELECT open_vector_space('m/384', 384)")
        for n,i in enumerate(ids):
            t=time.perf_counter()
            db.execute("""WITH made AS (
      INSERT INTO chunks (tenant_id, id, document_id, collection_id, user_id, place, text, heading, page, start, stop, digest)
      SELECT d.tenant_id, uuidv7(), d.id, d.collection_id, d.user_id, n, repeat('word' || n || ' other text ', 40), 'Head', 1, 0, 9, sha256(n::text::bytea)
      FROM documents d, generate_series(1,%(n)s) n WHERE d.id = %(id)s RETURNING *)
    INSERT INTO chunk_vectors (tenant_id, chunk_id, space, document_id, collection_id, user_id, embedding)
    SELECT m.tenant_id, m.id, s.id, m.document_id, m.collection_id, m.user_id, (SELECT array_agg(random()) FROM generate_series(1,384+0*m.place))::real[]::vector::halfvec
    FROM made m, vector_spaces s WHERE s.name = 'm/384'""", {"id": i, "n": 10000 if n==0 else 3000})
            print("insert", time.perf_counter()-t)
            db.execute("UPDATE documents SET chunks=(SELECT count(*) FROM chunks WHERE document_id=documents.id), live_version=1 WHERE id=%s",(i,))
    t=time.perf_counter(); r=await client.patch(f"/api/documents/{ids[2]}", json={"private": False}, headers=people["ada"].headers); print("share 3000", r.status_code, time.perf_counter()-t)
    t=time.perf_counter(); r=await client.delete(f"/api/documents/{ids[0]}"); print("delete 10k", r.status_code, time.perf_counter()-t)
    t=time.perf_counter(); r=await client.delete("/api/collections/default"); print("rest", r.status_code, time.perf_counter()-t)
