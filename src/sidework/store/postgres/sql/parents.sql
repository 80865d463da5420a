-- How the jobs stand that others are to wait for. Those that are final are locked until that is stored: nobody
-- deletes them meanwhile, and a claim or an end is not kept up. One that was retried or deleted by the time it
-- is locked is told as not final: its wait stays open, and what became of it is looked at with the next snapshot.
-- Only who deletes a job is waited for, and who has one of them waits for no other: so no two for each other.
-- Unlike on SQLite many at once, as for complete.sql; a full join, for the reason that resolve.sql has one.
WITH looked AS MATERIALIZED (
    SELECT job.id, job.state, job.finished_at IS NOT NULL AS final
    FROM unnest(:id::uuid[]) AS asked (id) JOIN sidework.jobs AS job ON job.id = asked.id),
held AS MATERIALIZED (
    SELECT id, state FROM sidework.jobs
    WHERE id = ANY (ARRAY(SELECT id FROM looked WHERE final)) AND finished_at IS NOT NULL
    FOR KEY SHARE)
SELECT looked.id, coalesce(held.state, looked.state), held.id IS NOT NULL
FROM looked FULL JOIN held ON held.id = looked.id
