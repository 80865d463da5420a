-- What a running job has told newer things in place of, by key and fence.
DELETE FROM notes
WHERE job_id = :id AND fence = :fence AND number = :number
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :id AND fence = :fence)
