-- Of the first jobs of one (lane, runner), those of paused tasks are set aside, where no claim comes to them.
UPDATE jobs SET state = 'blocked'
WHERE id IN (SELECT id FROM (SELECT id, task FROM jobs INDEXED BY jobs_available
                             WHERE state = 'available' AND lane = :lane AND runner = :runner
                             ORDER BY priority DESC, due_at, id LIMIT :limit)
             WHERE task IN (SELECT name FROM paused_tasks))
RETURNING id
