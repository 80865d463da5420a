-- A job as handed over. A second insert of the same id takes nothing (promise I12), nor does
-- one of a unique key that is held (promise I9); the caller looks which. Due later: scheduled; due now: available. In bulk the row of values repeats.
INSERT INTO jobs (id, task, lane, state, runner, priority, due_at, max_attempts, inserted_at,
                  expires_at, timeout, backoff, on_crash, pending, callbacks, unique_key, unique_until,
                  context, tags, args)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
