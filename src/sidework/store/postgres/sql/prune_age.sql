-- Final jobs of one state that ended before a moment, oldest first, with their attempts and notes. Bounded.
-- Unlike on SQLite, where a second statement in the transaction takes the attempts, one statement.
WITH gone AS (
    DELETE FROM sidework.jobs
    WHERE id = ANY (ARRAY(SELECT id FROM sidework.jobs
                          WHERE state = :state AND finished_at IS NOT NULL AND finished_at <= :before::bigint
                          ORDER BY finished_at LIMIT :limit::bigint
                          FOR UPDATE SKIP LOCKED))
    RETURNING id),
told AS (DELETE FROM sidework.attempts WHERE job_id IN (SELECT id FROM gone)),
noted AS (DELETE FROM sidework.notes WHERE job_id IN (SELECT id FROM gone))
SELECT id FROM gone
