-- Bring back the jobs of a worker that is gone. The attempt is given back and the crash counted.
-- The fence stays: a result that was held through an outage still lands if nobody else claimed
-- (promise I3). A worker runs no user code, so its death condemns no job, however often: machines
-- lose power and deploys are hard. At the second the job runs alone next, and if its process then
-- dies under a worker that lives to tell, that counts against it (settle.sql).
UPDATE jobs SET
    state = CASE
        WHEN on_crash = 'discard' THEN 'discarded'
        WHEN cancel_requested = 1 THEN 'cancelled'
        ELSE 'available' END,
    finished_at = CASE WHEN on_crash = 'discard' OR cancel_requested = 1 THEN :now END,
    fence = CASE WHEN on_crash = 'discard' OR cancel_requested = 1 THEN fence + 1 ELSE fence END,
    runner = CASE WHEN crashes + 1 >= 2 THEN 'process' ELSE runner END,
    unique_key = CASE WHEN NOT (on_crash = 'discard' OR cancel_requested = 1) THEN unique_key END,
    crashes = crashes + 1, attempt = attempt - 1, worker = NULL, cancel_requested = 0,
    note = 'its worker died while it ran'
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_running
             WHERE state = 'running' AND worker = :worker LIMIT :limit)
RETURNING id, state, fence, attempt
