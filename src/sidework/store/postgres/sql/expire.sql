-- What was not started in time is cancelled (a claim lifts the expiry). The fence grows: nothing may land on it later. Bounded.
-- Unlike on SQLite it passes over what others have locked, and may start behind a bound (bounds.py).
UPDATE sidework.jobs SET state = 'cancelled', finished_at = :now, fence = fence + 1, note = 'expired before it started',
                         unique_key = NULL
WHERE id = ANY (ARRAY(SELECT id FROM sidework.jobs
                      WHERE expires_at IS NOT NULL AND expires_at <= :now AND expires_at >= :since::bigint
                        AND state IN ('blocked', 'scheduled', 'available', 'retryable')
                      ORDER BY expires_at LIMIT :limit::bigint
                      FOR UPDATE SKIP LOCKED))
RETURNING id
