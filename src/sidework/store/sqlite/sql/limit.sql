-- So many jobs of a queue may run at a time (NULL: any number).
INSERT INTO queues (name, most) VALUES (:name, :most)
ON CONFLICT (name) DO UPDATE SET most = excluded.most
RETURNING name
