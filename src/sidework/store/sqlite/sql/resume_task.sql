-- A task is open again.
DELETE FROM paused_tasks WHERE name = :name RETURNING name
