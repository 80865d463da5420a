-- Of jobs that were handed over again: which are there with the same content, by their
-- place in what was asked.
-- Unlike on SQLite, where a statement costs no round trip, many at once.
SELECT job.id, new.number
FROM unnest(:id::uuid[], :task::text[], :lane::text[], :args::bytea[])
     WITH ORDINALITY AS new (id, task, lane, args, number)
JOIN sidework.jobs AS job ON job.id = new.id
WHERE job.task = new.task AND job.lane = new.lane AND job.args = new.args
