-- The attempts that are about to be settled, kept for whoever asks why; only where the claim still holds.
-- A rescue may have left a row under this very fence: what the attempt itself says replaces it.
-- Unlike on SQLite many at once, as for complete.sql.
INSERT INTO sidework.attempts (job_id, fence, attempt, outcome, worker, started_at, finished_at, failure)
SELECT job.id, job.fence, done.attempt, done.kind, job.worker, job.started_at, :now, done.failure
FROM unnest(:id::uuid[], :fence::bigint[], :attempt::integer[], :kind::text[], :failure::bytea[])
     AS done (id, fence, attempt, kind, failure)
JOIN sidework.jobs AS job ON job.id = done.id AND job.fence = done.fence
ON CONFLICT (job_id, fence) DO UPDATE SET
    attempt = excluded.attempt, outcome = excluded.outcome, worker = excluded.worker,
    started_at = excluded.started_at, finished_at = excluded.finished_at, failure = excluded.failure
