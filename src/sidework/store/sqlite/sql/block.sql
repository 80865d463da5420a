-- So many more inputs of a job are not final.
UPDATE jobs SET state = 'blocked', pending = pending + :pending WHERE id = :id
