-- The words of a query, stemmed by Postgres, then its phrases, and how many of the reader's passages contain each.
WITH lexemes AS (
  SELECT {QUOTED_LEXEME} AS word FROM unnest(to_tsvector('public.headrace', %(query)s))
  WHERE lexeme ~ '[[:alnum:]]'
  ORDER BY positions[1], lexeme LIMIT {MAX_WORDS}),
phrases AS (
  SELECT phraseto_tsquery('public.headrace', phrase) AS word
  FROM unnest(%(phrases)s::text[]) WITH ORDINALITY AS p (phrase, place) ORDER BY place),
terms AS (
  SELECT word, false AS is_phrase FROM lexemes UNION ALL SELECT word, true FROM phrases WHERE numnode(word) > 0),
listed AS (SELECT array_agg(word) AS words, array_agg(word::text) AS texts, array_agg(is_phrase) AS phrases FROM terms)
SELECT coalesce(texts, '{}') AS words, coalesce(phrases, '{}') AS phrases, CASE WHEN words IS NULL THEN '{}' ELSE
  count_words(words, %(reader)s::uuid, {MAX_WORD_COUNT}) END AS counts,
  coalesce((SELECT chunks FROM knowledge WHERE tenant_id = %(tenant_id)s), 0) AS chunks
FROM listed
