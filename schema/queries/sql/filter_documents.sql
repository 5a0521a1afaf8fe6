-- The documents that match filters. Ids are text, as they are only passed back; one more than allowed shows that there are too
-- many.
SELECT count(*)::int AS found, coalesce(sum(chunks), 0)::bigint AS chunks, coalesce(array_agg(id), '{}')::text AS documents
FROM (SELECT d.id, d.chunks FROM documents d WHERE {MATCHES} LIMIT {LIMIT}) AS fitting
