-- A job that has ended with its callbacks still to be enqueued: they are as good as enqueued.
UPDATE edges SET done = 1
WHERE parent = :id AND child = :id AND done = 0
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :id AND finished_at IS NOT NULL)
