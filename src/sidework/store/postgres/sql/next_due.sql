-- When the next waiting job becomes due (:since as in look.sql), the time, and how many entries the transaction has
-- read by now: of a worker's own reads nothing else tells how many dead ones it had to step over.
-- Unlike on SQLite it counts what it stepped over, for the bounds (bounds.py).
SELECT (SELECT due_at FROM sidework.jobs
        WHERE state IN ('scheduled', 'retryable') AND due_at >= :since::bigint ORDER BY due_at LIMIT 1),
       :now,
       pg_stat_get_xact_tuples_returned('sidework.jobs_available'::regclass),
       pg_stat_get_xact_tuples_returned('sidework.jobs_due'::regclass)
         + pg_stat_get_xact_tuples_returned('sidework.jobs_expiring'::regclass)
