-- Of jobs that were not stored, by their place in what was asked: whether the one that has the id is the same
-- (NULL: none has it), which job holds the unique key, and for whom the one that has the id waits, or waited.
-- Unlike on SQLite, where a statement costs no round trip, many at once, and all in one.
SELECT new.number,
       (SELECT job.task = new.task AND job.lane = new.lane AND job.args = new.args
        FROM sidework.jobs AS job WHERE job.id = new.id),
       (SELECT holder.id FROM sidework.jobs AS holder WHERE holder.unique_key = new.unique_key),
       (SELECT string_agg(edge.parent::text, ' ')
        FROM sidework.edges AS edge WHERE edge.child = new.id AND edge.parent <> new.id)
FROM unnest(:id::uuid[], :task::text[], :lane::text[], :args::bytea[], :unique_key::text[])
     WITH ORDINALITY AS new (id, task, lane, args, unique_key, number)
