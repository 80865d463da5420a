-- A claim tells its first: kept are its notes and those of the last one before it that told anything. What
-- is gone leaves a row that says so.
-- Unlike on SQLite, where a second statement in the transaction leaves it, one statement, and for many.
WITH claim AS MATERIALIZED (
    SELECT job.id, (SELECT max(fence) FROM sidework.notes WHERE job_id = job.id AND fence < job.fence) AS last
    FROM unnest(:id::uuid[], :fence::bigint[]) AS told (id, fence)
    JOIN sidework.jobs AS job ON job.id = told.id AND job.fence = told.fence),
gone AS (
    DELETE FROM sidework.notes AS note USING claim WHERE note.job_id = claim.id AND note.fence < claim.last
    RETURNING claim.id, claim.last)
INSERT INTO sidework.notes (job_id, fence, number, kind, at, body)
SELECT DISTINCT id, last, 0, 'cut', :at::bigint, '0'::bytea FROM gone
ON CONFLICT (job_id, fence, number) DO NOTHING
