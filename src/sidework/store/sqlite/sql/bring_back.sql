-- Jobs that were set aside for a task that is open are available again, first those that are claimed first.
UPDATE jobs SET state = 'available'
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_aside
             WHERE state = 'blocked' AND pending = 0 AND task = :task
               AND NOT EXISTS (SELECT 1 FROM paused_tasks WHERE name = :task)
             ORDER BY priority DESC, due_at, id LIMIT :limit)
RETURNING id
