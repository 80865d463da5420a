-- What a turn needs to know before it claims, in one round trip: how many entries its transaction has read
-- of the indexes that claims read and of those that say what is due (next_due.sql, at its end, tells what came
-- to it); whether its worker is known, what is closed or limited, whether any task is paused, whether anything
-- is due or has expired (:since: nothing is from before, see bounds.py), and the time. From here on nobody sets a
-- limit until what this turn claims can be counted (gate.sql).
SELECT pg_stat_get_xact_tuples_returned('sidework.jobs_available'::regclass),
       pg_stat_get_xact_tuples_returned('sidework.jobs_due'::regclass)
         + pg_stat_get_xact_tuples_returned('sidework.jobs_expiring'::regclass),
       EXISTS (SELECT 1 FROM sidework.workers WHERE id = :worker::bigint),
       ARRAY(SELECT name FROM sidework.queues WHERE paused_at IS NOT NULL),
       ARRAY(SELECT name FROM sidework.queues WHERE most IS NOT NULL AND paused_at IS NULL),
       EXISTS (SELECT 1 FROM sidework.paused_tasks),
       EXISTS (SELECT 1 FROM sidework.jobs
               WHERE expires_at IS NOT NULL AND expires_at <= :now AND expires_at >= :since::bigint
                 AND state IN ('blocked', 'scheduled', 'available', 'retryable')),
       EXISTS (SELECT 1 FROM sidework.jobs
               WHERE state IN ('scheduled', 'retryable') AND due_at <= :now AND due_at >= :since::bigint),
       :now,
       pg_advisory_xact_lock_shared((1397310283::bigint << 32) + 'sidework.queues'::regclass::oid::bigint) IS NULL
