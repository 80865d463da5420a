-- So many inputs of a job have ended, and perhaps one failed that it may not do without. At the last one it
-- is available, and stands in the lane by that time (promise I6), or waits until it is due. Cancelled, its
-- fence grows: nothing may land on it later.
UPDATE jobs SET
    state = CASE WHEN :failed IS NOT NULL THEN 'cancelled' WHEN pending > :ended THEN 'blocked'
                 WHEN due_at > :now THEN 'scheduled' ELSE 'available' END,
    due_at = CASE WHEN :failed IS NULL AND pending <= :ended THEN max(due_at, :now) ELSE due_at END,
    finished_at = CASE WHEN :failed IS NOT NULL THEN :now END,
    fence = fence + (:failed IS NOT NULL),
    unique_key = CASE WHEN :failed IS NULL THEN unique_key END,
    note = CASE WHEN :failed IS NOT NULL THEN 'its input ' || :failed ELSE note END,
    pending = max(pending - :ended, 0)
WHERE id = :child AND state = 'blocked' AND pending > 0
RETURNING state
