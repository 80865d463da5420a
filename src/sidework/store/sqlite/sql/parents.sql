-- How a job stands that others are to wait for.
SELECT state, finished_at IS NOT NULL FROM jobs WHERE id = ?
