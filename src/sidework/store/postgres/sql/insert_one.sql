-- insert.sql for one plain job (no inputs, callbacks, key or context), with plain values: the enqueue of a web request. A third of the server's work on
-- the other is the arrays. It returns nothing: how many it wrote, one or none, says as much.
INSERT INTO sidework.jobs (id, task, lane, state, runner, priority, due_at, max_attempts, inserted_at,
                           expires_at, timeout, backoff, on_crash, tags, args)
SELECT :id::uuid, :task, :lane,
       CASE WHEN coalesce(:due_at::bigint, moment + :delay::bigint) > moment THEN 'scheduled' ELSE 'available' END,
       :runner, :priority::integer, greatest(coalesce(:due_at::bigint, moment + :delay::bigint), moment),
       :max_attempts::integer, moment, coalesce(:expires_at::bigint, moment + :expires_in::bigint),
       :timeout::bigint, :backoff::bigint, :on_crash, :tags, :args::bytea
FROM (SELECT :now AS moment OFFSET 0) AS clock
ON CONFLICT DO NOTHING
