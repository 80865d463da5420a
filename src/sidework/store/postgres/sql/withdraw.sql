-- Jobs that were stored a moment ago on a caller's connection go again: another one, for which one of them would
-- wait, was not. In autocommit one of them may have been claimed.
-- Unlike on SQLite, which goes back to a savepoint; drivers have ways of their own with those.
DELETE FROM sidework.jobs
WHERE id = ANY (ARRAY(SELECT id FROM unnest(:id::uuid[]) AS asked (id))) AND state <> 'running' AND fence = 0
RETURNING id, state
