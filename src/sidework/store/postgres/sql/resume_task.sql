-- A task is open again.
DELETE FROM sidework.paused_tasks WHERE name = :name RETURNING name
