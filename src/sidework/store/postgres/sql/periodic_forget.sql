-- Periodics that have been retired for long go. Unlike on SQLite, not those that somebody has locked: whoever
-- clears away also looks for deaths.
DELETE FROM sidework.periodics WHERE name IN (
    SELECT name FROM sidework.periodics WHERE retired_at < :now - :age::bigint FOR UPDATE SKIP LOCKED
)
RETURNING name
