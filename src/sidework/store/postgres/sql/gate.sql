-- Waits for the turns that claim, and keeps others out: whoever sets a limit does it between turns, each of which
-- either counts by it or has been counted.
-- Unlike on SQLite, where one transaction writes at a time.
SELECT pg_advisory_xact_lock((1397310283::bigint << 32) + 'sidework.queues'::regclass::oid::bigint) IS NULL
