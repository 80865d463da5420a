-- What was not started in time is cancelled (a claim lifts the expiry). The fence grows: nothing may land on it later. Bounded.
UPDATE jobs SET state = 'cancelled', finished_at = :now, fence = fence + 1, note = 'expired before it started',
                unique_key = NULL
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_expiring
             WHERE expires_at IS NOT NULL AND expires_at <= :now
               AND state IN ('blocked', 'scheduled', 'available', 'retryable')
             ORDER BY expires_at LIMIT :limit)
RETURNING id
