-- Periodics that have been retired for long go.
DELETE FROM periodics WHERE retired_at < :before RETURNING name
