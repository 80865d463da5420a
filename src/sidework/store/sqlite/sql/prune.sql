-- One that prune_age.sql has found goes, if that still holds: it was looked for in another transaction.
-- Unlike on PostgreSQL, where who looks keeps nobody from writing, so that one statement does both.
DELETE FROM jobs
WHERE id = :id AND state = :state AND finished_at <= :before
  AND NOT EXISTS (SELECT 1 FROM edges JOIN jobs AS child ON child.id = edges.child
                  WHERE edges.parent = jobs.id AND (child.finished_at IS NULL OR edges.done = 0))
RETURNING id
