-- Whether a claim still stands: by its fence and nothing else (promise I3).
SELECT 1 FROM jobs WHERE id = ? AND fence = ?
