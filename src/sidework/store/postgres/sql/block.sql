-- One more input, or so many, of jobs is not final.
-- Unlike on SQLite many at once, as for complete.sql.
UPDATE sidework.jobs AS job SET state = 'blocked', pending = job.pending + :pending::integer
WHERE id = ANY (:id::uuid[])
