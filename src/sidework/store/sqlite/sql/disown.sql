-- A job that another store has now ends here, as long as it waits and is the one that was copied. The
-- fence grows: nothing may land on it later.
UPDATE jobs SET state = 'cancelled', finished_at = :now, fence = fence + 1, note = :note, unique_key = NULL
WHERE id = :id AND fence = :fence AND state IN ('blocked', 'scheduled', 'available', 'retryable')
