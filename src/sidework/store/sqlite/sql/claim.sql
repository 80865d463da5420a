-- Take the first of one (lane, runner). The attempt is counted here (promise I5), the fence grows
-- here (promise I1). RETURNING has no order: the caller sorts. An expiry is for what never started:
-- it is lifted here, or it would cancel a job that waits for its retry. :open when no task is paused.
UPDATE jobs SET state = 'running', fence = fence + 1, attempt = attempt + 1, worker = :worker,
                started_at = :now, expires_at = NULL, note = NULL,
                unique_key = CASE unique_until WHEN 'started' THEN NULL ELSE unique_key END
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_available
             WHERE state = 'available' AND lane = :lane AND runner = :runner
               AND (expires_at IS NULL OR expires_at > :now)
               AND (:open OR task NOT IN (SELECT name FROM paused_tasks))
             ORDER BY priority DESC, due_at, id LIMIT :limit)
RETURNING id, fence, attempt, max_attempts, task, lane, runner, priority, due_at, timeout, backoff,
          on_crash, args, context
