-- A waiting job is cancelled at once (the fence grows: a held result is refused); a running one is
-- asked, and its attempt observes it. A final one stays as it is (promise I4).
UPDATE jobs SET
    state = CASE state WHEN 'running' THEN 'running' ELSE 'cancelled' END,
    cancel_requested = (state = 'running'),
    finished_at = CASE state WHEN 'running' THEN NULL ELSE :now END,
    fence = CASE state WHEN 'running' THEN fence ELSE fence + 1 END,
    unique_key = CASE state WHEN 'running' THEN unique_key END,
    note = :note
WHERE id = :id AND state IN ('blocked', 'scheduled', 'available', 'retryable', 'running')
RETURNING state
