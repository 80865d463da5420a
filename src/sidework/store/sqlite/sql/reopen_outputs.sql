-- What still waits for others, too, waits anew for a job that is retried.
UPDATE edges SET done = 0
WHERE parent = :id AND child <> parent AND done = 1
  AND EXISTS (SELECT 1 FROM jobs WHERE id = edges.child AND state = 'blocked' AND pending > 0)
RETURNING child
