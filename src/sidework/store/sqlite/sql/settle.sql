-- Every other end of an attempt. Guards are resolved here, against the row itself:
--   cancel requested and not final otherwise -> cancelled; no attempts left -> discarded.
-- Snooze, release and crash give the attempt back; release and crash keep the fence of a rescue
-- open only to their own claim, which ends here, so the fence grows for all (promise I3).
UPDATE jobs SET
    state = CASE
        WHEN :kind = 'discarded' THEN 'discarded'
        WHEN :kind = 'crashed' AND (on_crash = 'discard' OR (:alone AND crashes + 1 >= :max_crashes))
            THEN 'discarded'
        WHEN :kind = 'cancelled' OR cancel_requested = 1 THEN 'cancelled'
        WHEN :kind = 'retry' AND :attempt >= max_attempts THEN 'discarded'
        WHEN :kind = 'retry' THEN 'retryable'
        WHEN :kind = 'snoozed' THEN 'scheduled'
        ELSE 'available' END,
    finished_at = CASE
        WHEN :kind IN ('discarded', 'cancelled') OR cancel_requested = 1
          OR (:kind = 'retry' AND :attempt >= max_attempts)
          OR (:kind = 'crashed' AND (on_crash = 'discard' OR (:alone AND crashes + 1 >= :max_crashes)))
        THEN :now END,
    unique_key = CASE
        WHEN NOT (:kind IN ('discarded', 'cancelled') OR cancel_requested = 1
          OR (:kind = 'retry' AND :attempt >= max_attempts)
          OR (:kind = 'crashed' AND (on_crash = 'discard' OR (:alone AND crashes + 1 >= :max_crashes))))
        THEN unique_key END,
    attempt = CASE WHEN :kind IN ('snoozed', 'released', 'crashed') THEN :attempt - 1 ELSE :attempt END,
    due_at = CASE WHEN :kind IN ('retry', 'snoozed') THEN :now + :delay ELSE due_at END,
    crashes = CASE :kind WHEN 'crashed' THEN crashes + 1 WHEN 'released' THEN crashes ELSE 0 END,
    runner = CASE :kind WHEN 'crashed' THEN 'process' ELSE runner END,
    fence = fence + 1, worker = NULL, cancel_requested = 0, note = :note
WHERE id = :id AND fence = :fence
