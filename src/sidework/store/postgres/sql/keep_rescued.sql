-- The attempts that ended with their worker; one that has told of itself stays as it is.
INSERT INTO sidework.attempts (job_id, fence, attempt, outcome, worker, finished_at, failure)
SELECT id, fence, attempt, 'crashed', :worker::bigint, :now, :failure::bytea
FROM unnest(:id::uuid[], :fence::bigint[], :attempt::integer[]) AS gone (id, fence, attempt)
ON CONFLICT (job_id, fence) DO NOTHING
