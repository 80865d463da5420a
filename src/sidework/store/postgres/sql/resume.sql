-- A queue is open again.
UPDATE sidework.queues SET paused_at = NULL, paused_by = NULL, paused_why = NULL
WHERE name = :name AND paused_at IS NOT NULL
RETURNING name
