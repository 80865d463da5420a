-- When the next waiting job becomes due.
SELECT min(due_at) FROM jobs INDEXED BY jobs_due WHERE state IN ('scheduled', 'retryable')
