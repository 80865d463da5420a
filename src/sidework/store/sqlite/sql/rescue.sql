-- Bring back the jobs of a worker that is gone. The attempt is given back and the crash counted.
-- The fence stays: a result that was held through an outage still lands if nobody else claimed
-- (promise I3). One crash of a worker is no evidence against a job (no user code runs in it); at
-- the second the job runs alone next, and if a crash finds it alone then, it is quarantined.
UPDATE jobs SET
    state = CASE
        WHEN on_crash = 'discard' THEN 'discarded'
        WHEN runner = 'process' AND crashes + 1 >= :max_crashes THEN 'discarded'
        WHEN cancel_requested = 1 THEN 'cancelled'
        ELSE 'available' END,
    finished_at = CASE
        WHEN on_crash = 'discard' OR cancel_requested = 1
          OR (runner = 'process' AND crashes + 1 >= :max_crashes) THEN :now END,
    fence = CASE
        WHEN on_crash = 'discard' OR cancel_requested = 1
          OR (runner = 'process' AND crashes + 1 >= :max_crashes) THEN fence + 1 ELSE fence END,
    runner = CASE WHEN crashes + 1 >= 2 THEN 'process' ELSE runner END,
    crashes = crashes + 1, attempt = attempt - 1, worker = NULL, cancel_requested = 0,
    note = 'its worker died while it ran'
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_running
             WHERE state = 'running' AND worker = :worker LIMIT :limit)
RETURNING id, state, fence, attempt
