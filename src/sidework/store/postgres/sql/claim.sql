-- Take the first of one (lane, runner). The attempt is counted here (promise I5), the fence grows
-- here (promise I1). RETURNING has no order: the caller sorts. An expiry is for what never started:
-- it is lifted here, or it would cancel a job that waits for its retry.
-- Unlike on SQLite others claim at the same time: rows that they have locked are passed over. The list
-- is materialized, or the planner may run its LIMIT again for every row it joins. And a pause or
-- a limit may come between the turn's look at the queues and this: what is enqueued after it must not be taken.
WITH first AS MATERIALIZED (
    SELECT id FROM sidework.jobs
    WHERE state = 'available' AND lane = :lane AND runner = :runner
      AND (expires_at IS NULL OR expires_at > :now)
      AND NOT EXISTS (SELECT FROM sidework.queues
                      WHERE name = :lane AND (paused_at IS NOT NULL OR most IS NOT NULL AND NOT :limited::boolean))
      AND task <> ALL (ARRAY(SELECT name FROM sidework.paused_tasks))
    ORDER BY priority DESC, due_at, id LIMIT :limit::bigint
    FOR UPDATE SKIP LOCKED)
UPDATE sidework.jobs SET state = 'running', fence = fence + 1, attempt = attempt + 1, worker = :worker::bigint,
                         started_at = :now, expires_at = NULL, note = NULL,
                         unique_key = CASE unique_until WHEN 'started' THEN NULL ELSE unique_key END
WHERE id = ANY (ARRAY(SELECT id FROM first))
RETURNING id, fence, attempt, max_attempts, task, lane, runner, priority, due_at, timeout, backoff,
          on_crash, args, context
