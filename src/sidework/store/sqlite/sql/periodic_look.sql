-- When the next look at a periodic is due.
SELECT min(look_at) FROM periodics WHERE paused_at IS NULL AND retired_at IS NULL
