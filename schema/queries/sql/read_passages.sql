-- Chunks with their documents, by key. The words that each contains are weighed here, so that no text is parsed again.
SELECT c.id AS chunk_id, c.document_id, c.collection_id, c.place, c.text, c.heading, c.page, c.page_end, c.start, c.stop,
  c.digest, d.name AS document, d.title, d.metadata, d.created_at, d.source_url, d.user_id IS NOT NULL AS private,
  o.name AS collection,
  (SELECT coalesce(sum((%(weights)s::real[])[i]), 0) FROM generate_subscripts(%(words)s::text[], 1) AS i
    WHERE c.words @@ ((%(words)s::text[])[i])::tsquery)::real AS covered
FROM chunks c JOIN documents d ON d.tenant_id = c.tenant_id AND d.id = c.document_id
JOIN collections o ON o.tenant_id = d.tenant_id AND o.id = d.collection_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = ANY (%(ids)s::uuid[]) AND (c.user_id IS NULL OR c.user_id = %(reader)s::uuid)
