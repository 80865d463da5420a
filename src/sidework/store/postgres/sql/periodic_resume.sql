-- Let a periodic fire again: the first tick from now on; the pause is not made up for.
UPDATE sidework.periodics SET paused_at = NULL, paused_by = NULL, paused_why = NULL,
                     next_at = NULL, look_at = :now, moved_at = :now, version = version + 1
WHERE name = :name AND paused_at IS NOT NULL
RETURNING name
