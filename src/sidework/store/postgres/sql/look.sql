-- What a turn needs to know before it claims, in one round trip: whether its worker is known, what is
-- closed, whether anything is due or has expired, and what becomes due next.
SELECT EXISTS (SELECT 1 FROM sidework.workers WHERE id = :worker::bigint),
       ARRAY(SELECT name FROM sidework.queues WHERE paused_at IS NOT NULL),
       EXISTS (SELECT 1 FROM sidework.jobs
               WHERE expires_at IS NOT NULL AND expires_at <= :now
                 AND state IN ('blocked', 'scheduled', 'available', 'retryable')),
       EXISTS (SELECT 1 FROM sidework.jobs WHERE state IN ('scheduled', 'retryable') AND due_at <= :now)
