-- Final jobs of one state that ended before a moment, oldest first, with their attempts, notes and waits. Bounded.
-- One whose output a live job takes is kept for it, as is one whose end has not been followed.
-- Unlike on SQLite, where a second statement in the transaction takes the attempts, one statement.
WITH gone AS (
    DELETE FROM sidework.jobs
    WHERE id = ANY (ARRAY(SELECT id FROM sidework.jobs AS job
                          WHERE state = :state AND finished_at IS NOT NULL AND finished_at <= :before::bigint
                            AND (SELECT true FROM sidework.edges AS edge JOIN sidework.jobs AS child ON child.id = edge.child
                                 WHERE edge.parent = job.id AND (child.finished_at IS NULL OR NOT edge.done) LIMIT 1) IS NULL
                          ORDER BY finished_at LIMIT :limit::bigint
                          FOR UPDATE SKIP LOCKED))
    RETURNING id),
told AS (DELETE FROM sidework.attempts WHERE job_id IN (SELECT id FROM gone)),
noted AS (DELETE FROM sidework.notes WHERE job_id IN (SELECT id FROM gone)),
waited AS (DELETE FROM sidework.edges WHERE child IN (SELECT id FROM gone))
SELECT id FROM gone
