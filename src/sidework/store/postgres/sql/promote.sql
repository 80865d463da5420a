-- What is due becomes available and keeps its due time as its place in the lane. Bounded.
UPDATE sidework.jobs SET state = 'available'
WHERE id = ANY (ARRAY(SELECT id FROM sidework.jobs
                      WHERE state IN ('scheduled', 'retryable') AND due_at <= :now AND due_at >= :since::bigint
                      ORDER BY due_at LIMIT :limit::bigint
                      FOR UPDATE SKIP LOCKED))
RETURNING id
