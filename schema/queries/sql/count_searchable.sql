-- A tenant that has few chunks in all is not looked at any closer. Of all collections of a larger one, what is other people's is
-- taken off; of some, what they hold is added up.
SELECT CASE WHEN k.chunks <= {SMALL} THEN k.chunks
  WHEN %(collections)s::uuid[] IS NULL THEN k.chunks - (SELECT coalesce(sum(chunks), 0) FROM (
    SELECT d.chunks FROM documents d WHERE d.tenant_id = %(tenant_id)s AND d.user_id IS NOT NULL
      AND d.user_id IS DISTINCT FROM %(reader)s::uuid LIMIT {LOOKED_AT}) AS private)
  ELSE (SELECT coalesce(sum(chunks), 0) FROM (
    SELECT d.chunks FROM documents d WHERE {FITS} LIMIT {LOOKED_AT}) AS fitting) END::bigint AS chunks
FROM knowledge k WHERE k.tenant_id = %(tenant_id)s
