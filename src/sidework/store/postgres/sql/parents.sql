-- How the jobs stand that others are to wait for.
-- Unlike on SQLite many at once, as for complete.sql.
SELECT job.id, job.state, job.finished_at IS NOT NULL
FROM unnest(:id::uuid[]) AS asked (id) JOIN sidework.jobs AS job ON job.id = asked.id
