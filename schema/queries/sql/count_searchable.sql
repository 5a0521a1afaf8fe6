-- Estimates how many chunks a search without filters covers. For a tenant with few chunks, their number is enough. Of a larger
-- one, other users' private chunks are subtracted if all collections are searched; else the collections are added up.
SELECT CASE WHEN k.chunks <= {ALWAYS_EXACT_CHUNKS} THEN k.chunks
  WHEN %(collections)s::uuid[] IS NULL THEN k.chunks - (SELECT coalesce(sum(chunks), 0) FROM (
    SELECT d.chunks FROM documents d WHERE d.tenant_id = %(tenant_id)s AND d.user_id IS NOT NULL
      AND d.user_id IS DISTINCT FROM %(reader)s::uuid LIMIT {MAX_COUNTED_DOCUMENTS}) AS private)
  ELSE (SELECT coalesce(sum(chunks), 0) FROM (
    SELECT d.chunks FROM documents d WHERE {MATCHES} LIMIT {MAX_COUNTED_DOCUMENTS}) AS fitting) END::bigint AS chunks
FROM knowledge k WHERE k.tenant_id = %(tenant_id)s
