-- What filters leave: ids as text, which goes back as it came, and one more than may be, so that too many are noticed.
SELECT count(*)::int AS found, coalesce(sum(chunks), 0)::bigint AS chunks, coalesce(array_agg(id), '{}')::text AS documents
FROM (SELECT d.id, d.chunks FROM documents d WHERE {FITS} LIMIT {MOST}) AS fitting
