-- Whether the job that has this id is the one that was handed over again (NULL: none has it), and which job
-- holds the unique key.
SELECT (SELECT task = ? AND lane = ? AND args = ? FROM jobs WHERE id = ?),
       (SELECT id FROM jobs INDEXED BY jobs_unique WHERE unique_key = ?)
