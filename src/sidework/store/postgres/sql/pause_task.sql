-- Nothing more of a task is started; who does it again says anew why.
INSERT INTO sidework.paused_tasks (name, at, by, why) VALUES (:name, :now, :by, :why)
ON CONFLICT (name) DO UPDATE SET at = excluded.at, by = excluded.by, why = excluded.why
RETURNING name
