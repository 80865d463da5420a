-- Which queues are paused, :most at most.
SELECT name FROM queues WHERE paused_at IS NOT NULL ORDER BY name LIMIT :most
