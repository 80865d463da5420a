-- As claim.sql, but beginning where live jobs are believed to begin: for each known priority, highest
-- first, after the position last taken; what lies between two known priorities is read whole. The index
-- is entered behind the dead entries that an old transaction keeps (bounds.py), instead of stepping over
-- them: 0.2 ms instead of 80 with 300,000 of them. Each part is a range of the index on its own, since a
-- row comparison over "priority DESC, due_at, id" is none; they are read in order, and no further than
-- the limit.
WITH first AS MATERIALIZED (
    SELECT found.id
    FROM unnest(:above::integer[], :priority::integer[], :due_at::bigint[], :after::uuid[])
             AS part (above, priority, due_at, id),
    LATERAL (
        SELECT id FROM (
            SELECT id FROM sidework.jobs
            WHERE state = 'available' AND lane = :lane AND runner = :runner
              AND priority < part.above AND priority > part.priority
              AND (expires_at IS NULL OR expires_at > :now)
              AND NOT EXISTS (SELECT FROM sidework.queues WHERE name = :lane
                                AND (paused_at IS NOT NULL OR most IS NOT NULL AND NOT :limited::boolean))
              AND task <> ALL (ARRAY(SELECT name FROM sidework.paused_tasks))
            ORDER BY priority DESC, due_at, id LIMIT :limit::bigint
            FOR UPDATE SKIP LOCKED) AS between_known
        UNION ALL
        SELECT id FROM (
            SELECT id FROM sidework.jobs
            WHERE state = 'available' AND lane = :lane AND runner = :runner
              AND priority = part.priority AND (due_at, id) > (part.due_at, part.id)
              AND (expires_at IS NULL OR expires_at > :now)
              AND NOT EXISTS (SELECT FROM sidework.queues WHERE name = :lane
                                AND (paused_at IS NOT NULL OR most IS NOT NULL AND NOT :limited::boolean))
              AND task <> ALL (ARRAY(SELECT name FROM sidework.paused_tasks))
            ORDER BY due_at, id LIMIT :limit::bigint
            FOR UPDATE SKIP LOCKED) AS known) AS found
    LIMIT :limit::bigint)
UPDATE sidework.jobs SET state = 'running', fence = fence + 1, attempt = attempt + 1, worker = :worker::bigint,
                         started_at = :now, expires_at = NULL, note = NULL,
                         unique_key = CASE unique_until WHEN 'started' THEN NULL ELSE unique_key END
WHERE id = ANY (ARRAY(SELECT id FROM first))
RETURNING id, fence, attempt, max_attempts, task, lane, runner, priority, due_at, timeout, backoff,
          on_crash, args, context
