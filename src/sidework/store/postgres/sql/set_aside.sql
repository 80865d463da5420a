-- Of the first jobs of one (lane, runner), those of paused tasks are set aside, where no claim comes to them; how
-- many were looked at, and how many were set aside.
-- Unlike on SQLite others claim at the same time: rows that they have locked are passed over. The state is
-- compared with what was read: as a literal it would lead the planner away from the key.
WITH first AS MATERIALIZED (
    SELECT id, state, task FROM sidework.jobs
    WHERE state = 'available' AND lane = :lane AND runner = :runner
    ORDER BY priority DESC, due_at, id LIMIT :limit::bigint),
mine AS MATERIALIZED (
    SELECT job.id FROM first JOIN sidework.jobs AS job ON job.id = first.id AND job.state = first.state
    WHERE first.task = ANY (ARRAY(SELECT name FROM sidework.paused_tasks))
    FOR UPDATE OF job SKIP LOCKED),
moved AS (
    UPDATE sidework.jobs SET state = 'blocked' WHERE id = ANY (ARRAY(SELECT id FROM mine)) RETURNING id)
SELECT (SELECT count(*) FROM first), (SELECT count(*) FROM moved)
