-- What running jobs told. By the fence of each claim and nothing else (promise I3). Said again after a lost
-- answer, it is there already; only the row that says what is not kept (number 0) moves on.
-- Unlike on SQLite, where a statement costs no round trip, many at once.
INSERT INTO sidework.notes AS note (job_id, fence, number, kind, at, body)
SELECT told.id, told.fence, told.number, told.kind, told.at, told.body
FROM unnest(:id::uuid[], :fence::bigint[], :number::integer[], :kind::text[], :at::bigint[], :body::bytea[])
     AS told (id, fence, number, kind, at, body)
JOIN sidework.jobs AS job ON job.id = told.id AND job.fence = told.fence
ON CONFLICT (job_id, fence, number) DO UPDATE SET at = excluded.at, body = excluded.body
WHERE note.number = 0 AND convert_from(excluded.body, 'UTF8')::bigint > convert_from(note.body, 'UTF8')::bigint
