-- The limit that the code declares, if it is not what it declared last: what was set by hand stands as long.
INSERT INTO queues (name, most, declared) VALUES (:name, :most, :most)
ON CONFLICT (name) DO UPDATE SET most = excluded.most, declared = excluded.declared
    WHERE queues.declared IS NOT excluded.declared
RETURNING name
