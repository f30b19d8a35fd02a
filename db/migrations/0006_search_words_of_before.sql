-- The words of jobs that were there before search_words was, by the rule of db/search-words.ts.
INSERT INTO "search_words" ("tenant", "word", "job_id")
SELECT j.tenant, said.word, j.id FROM "jobs" j CROSS JOIN LATERAL (
	SELECT 'tag:' || tag AS word FROM unnest(j.tags) AS tag
	UNION ALL
	SELECT word FROM (
		SELECT 'metadata:' || replace(replace(key, '~', '~0'), '=', '~1') || '=' || (value #>> '{}') AS word
		FROM json_each(CASE WHEN j.metadata::text ~* '\\u(0000|d[89a-f])' THEN '{}' ELSE j.metadata END)
		WHERE json_typeof(value) IN ('string', 'number', 'boolean') LIMIT 20
	) AS field WHERE char_length(word) <= 200
	UNION ALL
	SELECT 'status:' || j.status WHERE j.status IN ('failed', 'cancelled')
) AS said
WHERE cardinality(j.tags) > 0 OR j.metadata::text <> '{}' OR j.status IN ('failed', 'cancelled')
ON CONFLICT DO NOTHING;
