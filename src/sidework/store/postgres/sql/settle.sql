-- Every other end of an attempt. Guards are resolved here, against the row itself:
--   cancel requested and not final otherwise -> cancelled; no attempts left -> discarded.
-- Snooze, release and crash give the attempt back; release and crash keep the fence of a rescue
-- open only to their own claim, which ends here, so the fence grows for all (promise I3).
-- Unlike on SQLite many at once, as for complete.sql.
UPDATE sidework.jobs AS job SET
    state = CASE
        WHEN kind = 'discarded' THEN 'discarded'
        WHEN kind = 'crashed' AND (on_crash = 'discard' OR (alone AND crashes + 1 >= :max_crashes::integer))
            THEN 'discarded'
        WHEN kind = 'cancelled' OR cancel_requested THEN 'cancelled'
        WHEN kind = 'retry' AND done.attempt >= max_attempts THEN 'discarded'
        WHEN kind = 'retry' THEN 'retryable'
        WHEN kind = 'snoozed' THEN 'scheduled'
        ELSE 'available' END,
    finished_at = CASE
        WHEN kind IN ('discarded', 'cancelled') OR cancel_requested
          OR (kind = 'retry' AND done.attempt >= max_attempts)
          OR (kind = 'crashed' AND (on_crash = 'discard' OR (alone AND crashes + 1 >= :max_crashes::integer)))
        THEN :now END,
    unique_key = CASE
        WHEN NOT (kind IN ('discarded', 'cancelled') OR cancel_requested
          OR (kind = 'retry' AND done.attempt >= max_attempts)
          OR (kind = 'crashed' AND (on_crash = 'discard' OR (alone AND crashes + 1 >= :max_crashes::integer))))
        THEN unique_key END,
    attempt = CASE WHEN kind IN ('snoozed', 'released', 'crashed') THEN done.attempt - 1 ELSE done.attempt END,
    due_at = CASE WHEN kind IN ('retry', 'snoozed') THEN :now + delay ELSE due_at END,
    crashes = CASE kind WHEN 'crashed' THEN crashes + 1 WHEN 'released' THEN crashes ELSE 0 END,
    runner = CASE kind WHEN 'crashed' THEN 'process' ELSE runner END,
    fence = job.fence + 1, worker = NULL, cancel_requested = false, note = done.note
FROM unnest(:id::uuid[], :fence::bigint[], :attempt::integer[], :kind::text[], :delay::bigint[],
            :note::text[], :alone::boolean[])
     AS done (id, fence, attempt, kind, delay, note, alone)
WHERE job.id = done.id AND job.fence = done.fence
RETURNING job.id, done.fence, (SELECT true FROM sidework.edges WHERE parent = job.id AND NOT edges.done LIMIT 1)
