-- Of jobs that are locked, those that nobody needs go, with their attempts, notes and waits.
-- Unlike on SQLite it is asked again, after they were locked: what takes the output of one may have been stored
-- between the snapshot of prune_age.sql and its lock. And one statement, where on SQLite another takes the attempts.
WITH gone AS (
    DELETE FROM sidework.jobs AS job
    WHERE id = ANY (:id::uuid[])
      AND (SELECT true FROM sidework.edges AS edge JOIN sidework.jobs AS child ON child.id = edge.child
           WHERE edge.parent = job.id AND (child.finished_at IS NULL OR NOT edge.done) LIMIT 1) IS NULL
    RETURNING id),
told AS (DELETE FROM sidework.attempts WHERE job_id IN (SELECT id FROM gone)),
noted AS (DELETE FROM sidework.notes WHERE job_id IN (SELECT id FROM gone)),
waited AS (DELETE FROM sidework.edges WHERE child IN (SELECT id FROM gone))
SELECT id FROM gone
