-- Periodics that have been retired for long go; not those that somebody has locked.
DELETE FROM sidework.periodics WHERE name IN (
    SELECT name FROM sidework.periodics WHERE retired_at < :now - :age::bigint FOR UPDATE SKIP LOCKED
)
RETURNING name
