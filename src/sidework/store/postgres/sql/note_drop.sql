-- What running jobs have told newer things in place of, by key and fence.
-- Unlike on SQLite, where a statement costs no round trip, many at once.
DELETE FROM sidework.notes AS note
USING unnest(:id::uuid[], :fence::bigint[], :number::integer[]) AS dropped (id, fence, number)
JOIN sidework.jobs AS job ON job.id = dropped.id AND job.fence = dropped.fence
WHERE note.job_id = dropped.id AND note.fence = dropped.fence AND note.number = dropped.number
