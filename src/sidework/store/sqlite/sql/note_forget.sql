-- A claim tells its first: kept are its notes and those of the last one before it that told anything.
DELETE FROM notes
WHERE job_id = :id AND fence < (SELECT max(fence) FROM notes WHERE job_id = :id AND fence < :fence)
  AND EXISTS (SELECT 1 FROM jobs WHERE id = :id AND fence = :fence)
