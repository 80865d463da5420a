-- The callbacks of a job that has ended are as good as enqueued.
UPDATE edges SET done = 1 WHERE parent = :id AND child = :id
