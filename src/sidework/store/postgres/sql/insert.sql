-- Jobs as handed over. A second insert of the same id takes nothing (promise I12), nor does one of a unique
-- key that is held (promise I9): it is not in what comes back, and the caller looks which. Due later: scheduled; due now: available. The times are made
-- here, not by the caller: the clock is the server's, read once for all (OFFSET keeps the planner from
-- having it read for every row and column).
-- Unlike on SQLite, where rows of values are as fast and the clock is at hand, from arrays.
INSERT INTO sidework.jobs (id, task, lane, state, runner, priority, due_at, max_attempts, inserted_at,
                           expires_at, timeout, backoff, on_crash, tags, args, pending, callbacks, unique_key,
                           unique_until, context)
SELECT id, task, lane,
       CASE WHEN pending > 0 THEN 'blocked' WHEN coalesce(due_at, moment + delay) > moment THEN 'scheduled' ELSE 'available' END,
       runner, priority, greatest(coalesce(due_at, moment + delay), moment), max_attempts, moment,
       coalesce(expires_at, moment + expires_in), timeout, backoff, on_crash, tags, args,
       pending, callbacks, unique_key, unique_until, context
FROM unnest(:id::uuid[], :task::text[], :lane::text[], :runner::text[], :priority::integer[],
            :due_at::bigint[], :delay::bigint[], :max_attempts::integer[], :expires_at::bigint[],
            :expires_in::bigint[], :timeout::bigint[], :backoff::bigint[], :on_crash::text[],
            :tags::text[], :args::bytea[], :pending::integer[], :callbacks::bytea[], :unique_key::text[],
            :unique_until::text[], :context::text[])
     AS new (id, task, lane, runner, priority, due_at, delay, max_attempts, expires_at, expires_in,
             timeout, backoff, on_crash, tags, args, pending, callbacks, unique_key, unique_until, context),
     (SELECT :now AS moment OFFSET 0) AS clock
ON CONFLICT DO NOTHING
RETURNING id, pg_current_xact_id()::text
