-- Inputs of jobs have ended, and perhaps some failed that a job may not do without. At the last one it is
-- available, and stands in the lane by that time (promise I6), or waits until it is due. Cancelled, its fence
-- grows: nothing may land on it later.
-- Unlike on SQLite many pairs at once, and others do the same: a child that is locked is passed over, with its
-- waits, for whoever comes next; so nobody waits here, and no two for each other. An end that another has
-- counted meanwhile is not counted again: its row is looked at anew (READ COMMITTED). What is held is compared
-- with what was asked: with the edges it would be looked up in all that a wide child waits for, for each pair.
-- What has moved is of what has ended, so that a full join gives what a left one would: a nested loop, which the
-- planner chooses for rows that it cannot count, took two thirds of the time of 500 pairs, and is none for it.
WITH held AS MATERIALIZED (
    SELECT id FROM sidework.jobs WHERE id = ANY (:child::uuid[]) FOR UPDATE SKIP LOCKED),
ended AS (
    UPDATE sidework.edges AS edge SET done = true
    FROM unnest(:parent::uuid[], :child::uuid[]) AS asked (parent, child)
         LEFT JOIN sidework.jobs AS parent ON parent.id = asked.parent
    WHERE edge.parent = asked.parent AND edge.child = asked.child AND NOT edge.done
      AND asked.child = ANY (ARRAY(SELECT id FROM held))
      AND (parent.id IS NULL OR parent.finished_at IS NOT NULL)
    RETURNING edge.parent, edge.child,
              CASE WHEN edge.policy = 'cancel' AND parent.state IS DISTINCT FROM 'completed'
                   THEN edge.parent || ' was ' || coalesce(parent.state, 'gone') END AS failed),
counted AS (
    SELECT child, count(*)::integer AS ended, min(failed COLLATE "C") AS failed FROM ended GROUP BY child),
moved AS (
    UPDATE sidework.jobs AS job SET
        state = CASE WHEN failed IS NOT NULL THEN 'cancelled' WHEN job.pending > ended THEN 'blocked'
                     WHEN job.due_at > :now THEN 'scheduled' ELSE 'available' END,
        due_at = CASE WHEN failed IS NULL AND job.pending <= ended THEN greatest(job.due_at, :now) ELSE job.due_at END,
        finished_at = CASE WHEN failed IS NOT NULL THEN :now END,
        fence = CASE WHEN failed IS NOT NULL THEN job.fence + 1 ELSE job.fence END,
        unique_key = CASE WHEN failed IS NULL THEN job.unique_key END,
        note = CASE WHEN failed IS NOT NULL THEN 'its input ' || failed ELSE job.note END,
        pending = greatest(job.pending - ended, 0)
    FROM counted
    WHERE job.id = counted.child AND job.state = 'blocked' AND job.pending > 0
    RETURNING job.id, job.state)
SELECT ended.parent, ended.child, moved.state FROM ended FULL JOIN moved ON moved.id = ended.child
