-- The attempt that is about to be settled, kept for whoever asks why; only if the claim still holds.
-- A rescue may have left a row under this very fence: what the attempt itself says replaces it.
INSERT OR REPLACE INTO attempts (job_id, fence, attempt, outcome, worker, started_at, finished_at, failure)
SELECT id, fence, :attempt, :kind, worker, started_at, :now, :failure
FROM jobs WHERE id = :id AND fence = :fence
