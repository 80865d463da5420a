-- Jobs that were set aside for a task that is open are available again, first those that are claimed first.
-- Unlike on SQLite it passes over what others have locked.
UPDATE sidework.jobs SET state = 'available'
WHERE id = ANY (ARRAY(SELECT id FROM sidework.jobs
                      WHERE state = 'blocked' AND pending = 0 AND task = :task
                        AND NOT EXISTS (SELECT FROM sidework.paused_tasks WHERE name = :task)
                      ORDER BY priority DESC, due_at, id LIMIT :limit::bigint
                      FOR UPDATE SKIP LOCKED))
RETURNING id
