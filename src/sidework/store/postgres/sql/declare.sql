-- The limit that the code declares, if it is not what it declared last: what was set by hand stands as long.
-- Unlike on SQLite, whose IS NOT is this.
INSERT INTO sidework.queues (name, most, declared) VALUES (:name, :most::integer, :most::integer)
ON CONFLICT (name) DO UPDATE SET most = excluded.most, declared = excluded.declared
    WHERE queues.declared IS DISTINCT FROM excluded.declared
RETURNING name
