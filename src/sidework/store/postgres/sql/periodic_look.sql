-- When the next look at a periodic is due. Unlike on SQLite, together with what the clock shows: it is the
-- server's.
SELECT moment, (SELECT min(look_at) FROM sidework.periodics WHERE paused_at IS NULL AND retired_at IS NULL)
FROM (SELECT :now AS moment OFFSET 0) AS clock
