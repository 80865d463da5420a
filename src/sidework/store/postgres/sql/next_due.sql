-- When the next waiting job becomes due.
SELECT min(due_at) FROM sidework.jobs WHERE state IN ('scheduled', 'retryable')
