-- A final job is removed; a live one is not (cancel it first).
DELETE FROM jobs WHERE id = :id AND state IN ('completed', 'cancelled', 'discarded') RETURNING id
