-- A queue's lanes are closed, by whom and why.
INSERT INTO sidework.queues (name, paused_at, paused_by, paused_why) VALUES (:name, :now, :by, :why)
ON CONFLICT (name) DO UPDATE SET
    paused_at = excluded.paused_at, paused_by = excluded.paused_by, paused_why = excluded.paused_why
RETURNING name
