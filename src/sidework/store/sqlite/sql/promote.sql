-- What is due becomes available and keeps its due time as its place in the lane. Bounded.
UPDATE jobs SET state = 'available'
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_due
             WHERE state IN ('scheduled', 'retryable') AND due_at <= :now
             ORDER BY due_at LIMIT :limit)
RETURNING id
