-- One thing that a running job told. Said again after a lost answer, it is there already; only the row
-- that says what is not kept (number 0) moves on.
INSERT INTO notes (job_id, fence, number, kind, at, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id, fence, number) DO UPDATE SET at = excluded.at, body = excluded.body
WHERE number = 0 AND CAST(excluded.body AS INTEGER) > CAST(body AS INTEGER)
