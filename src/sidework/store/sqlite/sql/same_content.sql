-- Whether the job that has this id is the one that was handed over again.
SELECT task = ? AND lane = ? AND args = ? FROM jobs WHERE id = ?
