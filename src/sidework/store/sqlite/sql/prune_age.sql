-- Final jobs of one state that ended before a moment, oldest first. Bounded.
DELETE FROM jobs
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_final
             WHERE state = :state AND finished_at <= :before
             ORDER BY finished_at LIMIT :limit)
RETURNING id
