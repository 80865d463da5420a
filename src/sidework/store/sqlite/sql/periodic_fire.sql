-- A periodic moves on, in the transaction that stores its jobs (promise I8); no row when it has been changed
-- or fired since it was looked at.
UPDATE periodics SET next_at = :next_at, look_at = :look_at, last_at = :last_at,
                     last_job = coalesce(:last_job, last_job), moved_at = :now, version = version + 1
WHERE name = :name AND version = :version
RETURNING name
