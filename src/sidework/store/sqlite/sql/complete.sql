-- The claim's last word. The fence is the only condition (promise I3), and it grows, so that the
-- same outcome cannot land twice, nor on a job that was settled otherwise.
UPDATE jobs SET state = 'completed', fence = fence + 1, attempt = ?, finished_at = ?, result = ?,
                worker = NULL, cancel_requested = 0, crashes = 0, note = NULL,
                unique_key = NULL
WHERE id = ? AND fence = ?
